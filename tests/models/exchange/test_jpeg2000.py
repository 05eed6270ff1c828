"""The headers of a JPEG 2000 image are checked, so that a few bytes cannot make the decoder fill the memory."""

import contextlib
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.exchange.jpeg2000 import MAX_BOXES, MAX_LAYERS, MAX_SEGMENTS, MAX_TILE_PARTS, MAX_TILES, checked_jpeg2000
from models.template import TemplateError
from tests.rigs.records import jpeg2000

PIXELS = np.random.default_rng(1).integers(0, 256, (48, 64)).astype(np.uint8)
BARE, FILE = jpeg2000(PIXELS, bare=True), jpeg2000(PIXELS)
COLOUR = jpeg2000(np.dstack([PIXELS] * 3), bare=True)
SIZE, STYLE, TILE = 2, BARE.index(b"\xff\x52"), BARE.index(b"\xff\x90")
EMPTY_TILE_PART = bytes.fromhex("ff90 000a 0000 0000000e 00 ff ff93")


def _fixed(at: int, *changed: bytes, data: bytes = BARE) -> bytes:
    new = b"".join(changed)
    return data[:at] + new + data[at + len(new) :]


def _with_segment(segment: bytes, at: int = STYLE) -> bytes:
    return BARE[:at] + segment + BARE[at:]


def _with_precincts(exponents: int, data: bytes = BARE) -> bytes:
    """The same, with this size of the precincts at each level. The pixels are no longer right."""
    length, levels = struct.unpack_from(">H", data, STYLE + 2)[0], data[STYLE + 9]
    end = STYLE + 2 + length
    style = data[STYLE : STYLE + 2] + struct.pack(">HB", length + levels + 1, 1) + data[STYLE + 5 : end]
    return data[:STYLE] + style + bytes([exponents]) * (levels + 1) + data[end:]


def _box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), name) + body


def _file(*boxes: bytes) -> bytes:
    return FILE[:12] + b"".join(boxes) + _box(b"jp2c", BARE)


@pytest.mark.parametrize("data", [BARE, FILE])
def test_a_file_and_a_bare_codestream_are_the_same(data: bytes) -> None:
    found = checked_jpeg2000(data, 64, 48)
    assert found.data[: len(BARE)] == BARE
    assert found.reversible


def test_a_wavelet_with_loss_is_told() -> None:
    assert not checked_jpeg2000(jpeg2000(PIXELS, lossy=True), 64, 48).reversible
    assert checked_jpeg2000(COLOUR, 64, 48).reversible


def test_a_component_with_a_style_of_its_own_tells_its_wavelet() -> None:
    own = bytes.fromhex("ff53 0009 00 00 01 04 04 00 00")
    assert not checked_jpeg2000(_with_segment(own, TILE), 64, 48).reversible


def test_boxes_of_8_bytes_of_length_or_up_to_the_end_are_read() -> None:
    long = FILE[:12] + struct.pack(">I4sQ", 1, b"jp2c", 16 + len(BARE)) + BARE
    last = FILE[:12] + struct.pack(">I4s", 0, b"jp2c") + BARE
    assert checked_jpeg2000(long, 64, 48).data == checked_jpeg2000(last, 64, 48).data == BARE


def test_the_last_tile_part_may_leave_its_length_open() -> None:
    assert checked_jpeg2000(_fixed(TILE + 6, bytes(4)), 64, 48).data


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "no JPEG 2000: it begins with b''"),
        (b"\x89PNG\r\n\x1a\n", "no JPEG 2000"),
        (FILE[:12], "has no codestream"),
        (FILE[:12] + _box(b"jp2c", b"\xff\x4f\xff\x52"), "does not begin with its size"),
        (FILE[:12] + struct.pack(">I4s", 1000, b"jp2c"), "box b'jp2c' at its byte 12; 1000 bytes do not fit"),
        (FILE[:12] + struct.pack(">I4s", 4, b"free"), "box b'free' at its byte 12; 4 bytes do not fit"),
        (FILE[:14], "ends within a box"),
        (FILE[:12] + struct.pack(">I4s", 1, b"jp2c"), "ends within a box"),
        (_file(*[_box(b"free", b"")] * MAX_BOXES), f"{MAX_BOXES} boxes are read"),
        (_file(_box(b"jp2h", _box(b"pclr", bytes(9)))), "has a palette"),
        (_file(_box(b"jp2h", _box(b"colr", b"\1\0\0\0\0\0\x12"))), "the colour space 18"),
        (BARE[:4], "no whole segment at byte 2|ends within a header"),
        (BARE[:30], "no whole segment at byte 2"),
        (BARE[: STYLE + 1], "ends within a header"),
        (_fixed(SIZE + 6, struct.pack(">II", 2**31, 48)), "is of 2147483648x48, the record says 64x48"),
        (_fixed(SIZE + 14, struct.pack(">I", 1)), "have an offset"),
        (_fixed(SIZE + 22, struct.pack(">II", 1, 1)), f"has 3072 tiles; up to {MAX_TILES}"),
        (_fixed(SIZE + 22, bytes(8)), "has 3072 tiles"),
        (_fixed(SIZE + 38, b"\0\2"), "has 2 components"),
        (_fixed(SIZE + 38, b"\0\3"), "ends within a size|bits for"),
        (_fixed(SIZE + 40, b"\x0f"), "has 16 bits for 1x1 pixels"),
        (_fixed(SIZE + 40, b"\x87"), "has 8 signed bits"),
        (_fixed(SIZE + 41, b"\2"), "8 bits for 2x1 pixels"),
        (_fixed(STYLE + 6, b"\xff\xff"), f"has 65535 layers; 1 to {MAX_LAYERS}"),
        (_fixed(STYLE + 6, bytes(2)), "has 0 layers"),
        (_fixed(STYLE + 10, b"\0\0"), "code blocks of 4x4; of 256 pixels"),
        (_with_precincts(0x11), "precincts of 2x2"),
        (_with_precincts(0x4F), "precincts of 32768x16"),
        (_with_segment(BARE[SIZE:STYLE]), "marker FF51 where its size belongs, or two sizes"),
        (BARE[:2] + BARE[STYLE:], "no JPEG 2000"),
        (BARE[:STYLE] + BARE[TILE:], "no coding style before its first tile"),
        (BARE[:-2], "cut short: its end marker is missing"),
        (BARE[: len(BARE) // 2], "cut short"),
        (
            _with_segment(bytes.fromhex("ff52 000c 00 00 0001 00 05 04 04 00 01"), TILE + 12),
            "coding style within a tile",
        ),
        (_with_segment(bytes.fromhex("ff53 0003 00"), TILE), "ends within a coding style"),
        (_with_segment(b"\xff\x52\0\2"), "ends within a coding style"),
        (_with_segment(b"\xff\x64\0\2" * MAX_SEGMENTS), "a header of more than 256 segments"),
        (_with_segment(EMPTY_TILE_PART * MAX_TILE_PARTS, TILE), "more than 1024 tile-parts"),
    ],
    ids=range(38),
)
def test_an_image_that_could_fill_the_memory_or_is_another_one_is_refused(data: bytes, complaint: str) -> None:
    with pytest.raises(TemplateError, match=complaint):
        checked_jpeg2000(data, 64, 48)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_damaged_image_is_refused_or_passes(data: st.DataObject) -> None:
    damaged = bytearray(data.draw(st.sampled_from([BARE, FILE, COLOUR])))
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, 180))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(TemplateError):
        checked_jpeg2000(bytes(damaged[: data.draw(st.integers(0, len(damaged)))]), 64, 48)
