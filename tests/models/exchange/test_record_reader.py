"""A reader of records takes fields in order, and names the one at which the bytes end."""

import pytest

from models.exchange.record_reader import RecordReader
from models.template import TemplateError


@pytest.fixture(name="reader")
def _reader() -> RecordReader:
    return RecordReader(b"\x01\x02\x03abc", "FORMAT")


def test_fields_are_taken_in_order(reader: RecordReader) -> None:
    assert reader.take(3, "numbers") == b"\x01\x02\x03"
    assert (reader.at, reader.left) == (3, 3)
    assert reader.take(3, "letters") == b"abc"
    reader.expect_end()


def test_a_field_that_is_cut_short_is_named_with_its_position(reader: RecordReader) -> None:
    reader.take(4, "letters")
    with pytest.raises(
        TemplateError, match="FORMAT: ends within the pair that begins at byte 4: it takes 3 bytes, 2 are"
    ):
        reader.take(3, "pair")
    assert reader.at == 4


def test_bytes_after_the_last_field_are_an_error(reader: RecordReader) -> None:
    reader.take(3, "pair")
    with pytest.raises(TemplateError, match="FORMAT: 3 bytes follow the last view"):
        reader.expect_end()


def test_a_length_other_than_that_of_the_header_is_an_error(reader: RecordReader) -> None:
    reader.end_at(6)
    with pytest.raises(TemplateError, match="FORMAT: the header says 7 bytes, there are 6"):
        reader.end_at(7)


def test_a_length_shorter_than_what_was_read_is_an_error(reader: RecordReader) -> None:
    reader.take(3, "header")
    with pytest.raises(TemplateError, match="FORMAT: the header says 2 bytes, there are 6"):
        reader.end_at(2)


def test_zeros_behind_the_length_are_padding_and_not_read() -> None:
    reader = RecordReader(b"abc" + bytes(100), "FORMAT")
    reader.end_at(3)
    assert reader.left == 3
    with pytest.raises(TemplateError, match="ends within the letters"):
        reader.take(4, "letters")
    reader.take(3, "letters")
    reader.expect_end()


@pytest.mark.parametrize("at", [3, 50, 102])
def test_other_bytes_behind_the_length_are_named_and_refused(at: int) -> None:
    data = bytearray(b"abc" + bytes(100))
    data[at] = 7
    with pytest.raises(TemplateError, match=f"says 3 bytes, there are 103; only zeros may follow, byte {at} is 7"):
        RecordReader(bytes(data), "FORMAT").end_at(3)


def test_another_identifier_or_version_is_named() -> None:
    reader = RecordReader(b"FMR\x00 20\x00", "FORMAT")
    reader.expect_identity(b"FMR\0", b" 20\0", {})
    with pytest.raises(TemplateError, match=r"identifier is b'FMR\\x00', expected b'IIR\\x00'"):
        reader.expect_identity(b"IIR\0", b"020\0", {})
    with pytest.raises(TemplateError, match=r"version is b' 20\\x00' \(the old one\), expected b'030\\x00'"):
        reader.expect_identity(b"FMR\0", b"030\0", {b" 20\0": "the old one"})
