"""A layout reads the bits of its fields in order, refuses what is not accepted, and writes what it reads."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.exchange import iso19794_2, iso19794_6
from models.exchange.fields import Field, Layout, Use
from models.exchange.record_reader import RecordReader
from models.template import TemplateError

ROOT = Path(__file__).parents[3]

LAYOUT = Layout(
    "header",
    (
        Field("kind", 2, Use.HONOURED, "", {0: "none", 1: "one"}),
        Field("x", 14, Use.HONOURED, "", range(1, 101)),
        Field("free", 8, Use.SKIPPED, ""),
    ),
)


def _read(data: bytes) -> dict[str, int]:
    return LAYOUT.read(RecordReader(data, "FORMAT"))


def test_bits_are_read_from_the_highest_on() -> None:
    assert _read(b"\x40\x05\xff") == {"kind": 1, "x": 5, "free": 255}
    assert LAYOUT.size == 3


@given(st.fixed_dictionaries({"kind": st.integers(0, 1), "x": st.integers(1, 100), "free": st.integers(0, 255)}))
def test_what_is_written_is_read_again(values: dict[str, int]) -> None:
    assert _read(LAYOUT.to_bytes(values)) == values


def test_a_value_that_does_not_fit_is_not_written() -> None:
    with pytest.raises(OverflowError, match="x 16384 does not fit into 14 bits"):
        LAYOUT.to_bytes({"x": 16_384})


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"\x80\x05\x00", "FORMAT: byte 0: kind is 2; accepted: 0 (none), 1 (one)"),
        (b"\x00\x65\x00", "FORMAT: byte 0: x is 101; 1 to 100 are accepted"),
        (b"\x00", "FORMAT: ends within the header that begins at byte 0: it takes 3 bytes, 1 are left"),
    ],
)
def test_a_value_that_is_not_accepted_is_refused_with_its_name_and_place(data: bytes, complaint: str) -> None:
    with pytest.raises(TemplateError, match=re.escape(complaint)):
        _read(data)


@pytest.mark.parametrize("layout", [*iso19794_2.LAYOUTS, *iso19794_6.LAYOUTS], ids=lambda layout: layout.title)
def test_the_readme_says_what_we_do_with_each_field(layout: Layout) -> None:
    text = (ROOT / "models/README.md").read_text()
    for field in layout.fields:
        assert re.search(rf"^\| {field.name}\s*\| {field.bits} \| {field.use} \|", text, re.MULTILINE), field.name
