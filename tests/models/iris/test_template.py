"""The iris code: the stored form, shifts, and the order of its bits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.iris.template import (
    BITS,
    COLUMNS,
    FORMAT,
    ORDER,
    SHIFTS,
    SIZE,
    WORDS,
    IrisCode,
    bits_of,
    empty_code,
    pack,
    unpack,
    words_of,
)
from models.template import Template, TemplateError
from tests.rigs.iris_codes import columns, some_code

seeds = st.integers(0, 2**32)


@given(seeds, st.floats(0, 1))
@settings(max_examples=30, deadline=None)
def test_what_is_packed_is_unpacked(seed: int, known: float) -> None:
    iris = some_code(seed, known)
    template = pack(iris)
    assert (template.format, len(template.data)) == (FORMAT, SIZE)
    again = unpack(template)
    assert again.quality == 50
    assert (again.code == iris.code).all()
    assert (again.mask == iris.mask).all()


@given(st.binary(max_size=2 * SIZE))
@settings(max_examples=100, deadline=None)
def test_random_bytes_are_a_template_error(data: bytes) -> None:
    with pytest.raises(TemplateError):
        unpack(Template(FORMAT, data))


@given(seeds, st.integers(0, SIZE - 1), st.integers(1, 255))
@settings(max_examples=100, deadline=None)
def test_a_damaged_template_is_rejected_or_consistent(seed: int, at: int, flip: int) -> None:
    data = bytearray(pack(some_code(seed)).data)
    data[at] ^= flip
    try:
        iris = unpack(Template(FORMAT, bytes(data)))
    except TemplateError:
        return
    assert not np.any(iris.code & ~iris.mask)
    assert iris.quality <= 100


def test_other_formats_versions_and_lengths_are_rejected_with_the_reason() -> None:
    data = pack(some_code(1)).data
    for template, complaint in (
        (Template("finger-minutiae/1", data), "format is 'finger-minutiae/1'"),
        (Template(FORMAT, data[:-1]), "1029 bytes, expected 1030"),
        (Template(FORMAT, data + b"\0"), "1031 bytes"),
        (Template(FORMAT, data[:3] + b"\2" + data[4:]), "magic and version"),
        (Template(FORMAT, data[:5] + b"\1" + data[6:]), "magic and version"),
        (Template(FORMAT, data[:4] + b"\x65" + data[5:]), "quality is out of range"),
        (Template(FORMAT, data[:518] + bytes(512)), "the mask says are not known"),
    ):
        with pytest.raises(TemplateError, match=complaint):
            unpack(template)


def test_a_code_with_bits_that_are_not_known_cannot_be_packed() -> None:
    ones = np.full(WORDS, 2**64 - 1, np.uint64)
    with pytest.raises(TemplateError, match="not known"):
        pack(IrisCode(0, ones, ones >> np.uint64(1)))
    with pytest.raises(TemplateError, match="4096 bits"):
        pack(IrisCode(0, ones[1:], ones[1:]))


def test_no_representation_shows_a_bit() -> None:
    iris = some_code(1)
    assert repr(iris) == f"<IrisCode {len(iris)} of 4096 bits>"
    assert repr(pack(iris)) == "<Template iris-code/1 1030 bytes>"
    assert len(empty_code()) == 0


def test_a_shift_rotates_whole_columns() -> None:
    iris = some_code(7)
    codes, masks = iris.shifted()
    for number, shift in enumerate(SHIFTS):
        assert (columns(codes[number]) == np.roll(columns(iris.code), shift, axis=0)).all()
        assert (columns(masks[number]) == np.roll(columns(iris.mask), shift, axis=0)).all()
    assert (codes[SHIFTS.index(0)] == iris.code).all()


def test_there_are_21_shifts_and_they_are_symmetric() -> None:
    assert len(set(SHIFTS)) == 21
    assert sorted(-shift for shift in SHIFTS) == sorted(SHIFTS)


def test_any_first_part_of_a_code_samples_all_angles_evenly() -> None:
    assert sorted(ORDER) == list(range(COLUMNS))
    for count in (2, 4, 8, 32, 128):
        gaps = np.diff(sorted(ORDER[:count]))
        assert set(gaps.tolist()) == {COLUMNS // count}


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_words_and_bits_are_converted_in_both_directions(seed: int) -> None:
    bits = np.random.default_rng(seed).random((3, BITS)) < 0.5
    words = words_of(bits)
    assert words.shape == (3, WORDS)
    assert (bits_of(words) == bits).all()
    assert int(words[1, 0]) & 1 == bits[1, 0]
    assert int(words[2, 63]) >> 63 == bits[2, -1]
