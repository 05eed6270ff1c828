"""A reader of records takes fields in order, and names the one at which the bytes end."""

import struct

import pytest

from models.exchange.record_reader import RecordReader
from models.template import TemplateError

PAIR = struct.Struct(">HB")


@pytest.fixture(name="reader")
def _reader() -> RecordReader:
    return RecordReader(b"\x01\x02\x03abc", "FORMAT")


def test_fields_are_taken_in_order(reader: RecordReader) -> None:
    assert reader.take(PAIR, "pair") == (0x0102, 3)
    assert reader.at == 3
    assert reader.bytes(3, "letters") == b"abc"
    reader.expect_end()


def test_a_field_that_is_cut_short_is_named_with_its_position(reader: RecordReader) -> None:
    reader.bytes(4, "letters")
    with pytest.raises(TemplateError, match="FORMAT: ends within the pair that begins at byte 4"):
        reader.take(PAIR, "pair")
    assert reader.at == 4


def test_bytes_after_the_last_field_are_an_error(reader: RecordReader) -> None:
    reader.take(PAIR, "pair")
    with pytest.raises(TemplateError, match="FORMAT: 3 bytes follow the last view"):
        reader.expect_end()


def test_a_length_other_than_that_of_the_header_is_an_error(reader: RecordReader) -> None:
    reader.expect_length(6)
    with pytest.raises(TemplateError, match="FORMAT: the header says 7 bytes, there are 6"):
        reader.expect_length(7)
