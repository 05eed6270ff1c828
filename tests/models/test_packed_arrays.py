"""Packed arrays: what was packed comes back without a copy, and bytes that are anything else are refused."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.packed_arrays import ALIGNMENT, MAX_HEADER, Shape, pack, unpack
from models.template import TemplateError
from tests.rigs.packed_blocks import damaged, header_of, with_header

SHAPES: dict[str, Shape] = {"small": ("u1", (None,)), "square": ("<u4", (None, 2))}
SMALL, SQUARE = np.arange(5, dtype=np.uint8), np.arange(6, dtype=np.uint32).reshape(3, 2)
PACKED = pack("thing 1", ("a", "", "ñ"), {"small": SMALL, "square": SQUARE})


def _unpacked(data: bytes) -> tuple[tuple[str, ...], dict[str, Any]]:
    return unpack("thing 1", data, SHAPES)


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"))),
    st.integers(0, 200),
    st.integers(0, 30),
)
def test_keys_and_arrays_come_back_the_same_read_only_and_aligned(keys: list[str], small: int, square: int) -> None:
    arrays = {"small": np.arange(small, dtype=np.uint8), "square": np.arange(2 * square, dtype="<u4").reshape(-1, 2)}
    data = pack("thing 1", keys, arrays)
    begin = np.frombuffer(data, np.uint8).__array_interface__["data"][0]
    found, made = _unpacked(data)
    assert found == tuple(keys)
    assert list(made) == list(arrays)
    for name, array in made.items():
        assert array.dtype == arrays[name].dtype
        assert array.tolist() == arrays[name].tolist()
        assert not array.flags.writeable
        assert array.flags.c_contiguous
        if array.size:  # a view of the bytes, not a copy of them
            place = array.__array_interface__["data"][0] - begin
            assert 0 < place < len(data)
            assert place % ALIGNMENT == 0


def test_an_array_that_is_not_contiguous_is_packed_as_it_looks() -> None:
    data = pack("thing 1", ("k",), {"small": np.arange(9, dtype=np.uint8)[::2], "square": SQUARE[:, ::-1]})
    _, made = _unpacked(data)
    assert made["small"].tolist() == [0, 2, 4, 6, 8]
    assert made["square"].tolist() == SQUARE[:, ::-1].tolist()


def test_a_key_with_a_line_break_is_refused_because_it_would_become_two() -> None:
    with pytest.raises(ValueError, match="a key has a line break"):
        pack("thing 1", ("a\nb",), {})


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a packed block"),
        (PACKED[:7], "not a packed block"),
        (b"KPA2" + PACKED[4:], "not a packed block"),
        (PACKED[:20], "no header"),
        (b"KPA1\xff\xff\xff\xff" + PACKED[8:], "no header"),
        (b"KPA1\x02\0\0\0[]", "of another kind"),
        (pack("thing 2", (), {"small": SMALL, "square": SQUARE}), "of another kind"),
        (pack("thing 1", (), {"small": SMALL}), "square"),
        (pack("thing 1", (), {"small": SMALL, "square": SQUARE, "more": SMALL}), "not those of the header"),
        (pack("thing 1", (), {"small": SMALL, "square": SQUARE.astype("<i4")}), "another type or shape"),
        (pack("thing 1", (), {"small": SMALL, "square": SQUARE.astype(">u4")}), "another type or shape"),
        (pack("thing 1", (), {"small": SMALL, "square": SQUARE.ravel()}), "another type or shape"),
        (pack("thing 1", (), {"small": SMALL, "square": SQUARE.reshape(2, 3)}), "another type or shape"),
        (PACKED[:-64], "does not lie within the block"),
        (PACKED.replace("ñ".encode(), b"\xff\xff"), "decode"),
        (PACKED.replace(b"a\n", b"ab"), "not those of the header"),
    ],
)
def test_what_is_not_the_packed_thing_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(TemplateError, match=rf"^thing 1: .*{reason}"):
        _unpacked(data)


@pytest.mark.parametrize(
    "change",
    [
        {"count": 4}, {"count": 0}, {"count": -1}, {"count": True}, {"count": 3.0}, {"count": float("inf")},
        {"keys": -1}, {"keys": 10**30}, {"keys": 1}, {"arrays": None}, {"arrays": [[]]}, {"arrays": [[{}, 1]]},
        {"arrays": [["small", "|u1", [5], 0, 0], ["square", "<u4", [3, 2], 64]]},
        {"arrays": [["small", "|u1", [5], 1], ["square", "<u4", [3, 2], 64]]},  # not aligned
        {"arrays": [["small", "|u1", [-5], 0], ["square", "<u4", [3, 2], 64]]},
        {"arrays": [["small", "|u1", [10**9], 0], ["square", "<u4", [3, 2], 64]]},
        {"arrays": [["small", "|O", [1], 0], ["square", "<u4", [3, 2], 64]]},
    ],
)  # fmt: skip
def test_a_header_that_cannot_be_is_refused(change: dict[str, object]) -> None:
    header = header_of(PACKED)
    assert _unpacked(with_header(PACKED, header))[0] == ("a", "", "ñ")
    with pytest.raises(TemplateError, match=r"^thing 1: the block is damaged"):
        _unpacked(with_header(PACKED, header | change))


def test_a_header_that_is_deep_or_huge_is_refused() -> None:
    for text in (b"[" * MAX_HEADER, json.dumps({"kind": "thing 1", "x": "y" * MAX_HEADER}).encode(), b"9" * 9999):
        with pytest.raises(TemplateError, match="no header"):
            _unpacked(b"KPA1" + len(text).to_bytes(4, "little") + text)


@given(damaged(PACKED))
def test_damaged_bytes_are_refused_or_have_arrays_of_the_types_wanted(data: bytes) -> None:
    try:
        keys, arrays = _unpacked(data)
    except TemplateError:
        return
    assert all(isinstance(key, str) for key in keys)
    assert [array.dtype.str for array in arrays.values()] == ["|u1", "<u4"]
    assert arrays["square"].shape[1:] == (2,)
    assert [array.sum() >= 0 for array in arrays.values()] == [True, True]  # every byte can be read
