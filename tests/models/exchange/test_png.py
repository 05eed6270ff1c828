"""The header of a PNG image is checked, and only the parts that make the picture reach the decoder."""

import zlib

import pytest

from models.exchange.png import MAX_CHUNKS, SIGNATURE, checked_png
from models.template import TemplateError
from tests.rigs.records import chunk, png

ROWS = b"\0\0\1\2\0\3\4\5"
GREY = png(3, 2, 8, 0, ROWS)


def test_a_grey_and_a_colour_image_pass_unchanged() -> None:
    assert checked_png(GREY, 3, 2) == GREY
    colour = png(3, 2, 8, 2, bytes(20))
    assert checked_png(colour, 3, 2) == colour


def test_texts_profiles_and_animations_do_not_reach_the_decoder() -> None:
    bomb = zlib.compress(bytes(1_000_000))
    extra = (chunk(b"zTXt", b"a\0\0" + bomb), chunk(b"iCCP", b"a\0\0" + bomb), chunk(b"acTL", bytes(8)))
    assert checked_png(png(3, 2, 8, 0, ROWS, *extra), 3, 2) == GREY


def test_bytes_behind_the_last_chunk_do_not_reach_the_decoder() -> None:
    assert checked_png(GREY + b"anything", 3, 2) == GREY


def test_a_second_header_does_not_reach_the_decoder() -> None:
    second = png(9000, 9000, 8, 0, b"")[8:33]
    assert checked_png(png(3, 2, 8, 0, ROWS, second), 3, 2) == GREY


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"\xff\xd8\xff\xe0", "no PNG: it begins with b'"),
        (SIGNATURE, "without its last chunk"),
        (SIGNATURE + b"\0\0", "ends within the chunk at its byte 8"),
        (GREY[:45], "ends within the chunk b'IDAT' at its byte 33"),
        (GREY[:-12], "without its last chunk"),
        (SIGNATURE + chunk(b"prVt", bytes(13)) + GREY[8:], "begins with a chunk b'prVt' of 13 bytes"),
        (SIGNATURE + chunk(b"IHDR", bytes(12)), "begins with a chunk b'IHDR' of 12 bytes"),
        (png(60_000, 60_000, 8, 0, b""), "is of 60000x60000, the record says 3x2"),
        (png(2, 3, 8, 0, ROWS), "is of 2x3, the record says 3x2"),
        (png(3, 2, 16, 0, bytes(14)), "has 16 bits a sample"),
        (png(3, 2, 1, 0, bytes(14)), "has 1 bits a sample"),
        (png(3, 2, 8, 3, bytes(14)), r"colour type 3 \(a palette\)"),
        (png(3, 2, 8, 6, bytes(14)), r"colour type 6 \(colour with transparency\)"),
        (png(3, 2, 8, 0, ROWS, *[chunk(b"IDAT", b"")] * MAX_CHUNKS), "more than 8192 chunks"),
        (png(3, 2, 8, 7, bytes(14)), r"colour type 7 \(unknown\)"),
    ],
    ids=range(15),
)
def test_another_image_is_refused_with_the_value(data: bytes, complaint: str) -> None:
    with pytest.raises(TemplateError, match=complaint):
        checked_png(data, 3, 2)
