"""What headers state about the depth of the values."""

import struct

import numpy as np
import pytest

from simulators.pictures.errors import ImageFileError
from simulators.pictures.formats import BMP, JPEG_2000, PNG, TIFF, opened
from simulators.pictures.levels import Depth
from simulators.pictures.stated_depth import deep_values, depth_of, precision, significant_bits, wide_colours
from tests.rigs.picture_files import SHORT, encoded, tiff, tiff_of, with_chunk

DEEP = np.full((4, 6), 700, np.uint16)


def depth_of_tiff(data: bytes) -> Depth:
    return depth_of(opened(data, TIFF, "x"), data, TIFF, "x")


def test_significant_bits_of_a_png_are_read_before_its_pixels() -> None:
    plain = encoded(DEEP, "PNG")
    assert significant_bits(plain) is None
    assert significant_bits(with_chunk(plain, b"sBIT", b"\x0a")) == 10
    assert significant_bits(plain[:33]) is None
    assert significant_bits(plain[:33] + struct.pack(">I4sI", 0, b"teST", 0) * 2000 + plain[33:]) is None


@pytest.mark.parametrize(("bits", "depth"), [(10, Depth(65535, 1023)), (16, Depth()), (0, Depth()), (3, Depth())])
def test_a_png_states_the_scaled_and_the_unscaled_white(bits: int, depth: Depth) -> None:
    data = with_chunk(encoded(DEEP, "PNG"), b"sBIT", bytes([bits]))
    assert depth_of(opened(data, PNG, "x"), data, PNG, "x") == depth


def test_a_tiff_states_its_depth_and_its_polarity() -> None:
    assert depth_of_tiff(tiff_of(DEEP)) == Depth()
    assert depth_of_tiff(tiff_of(DEEP, photometric=0)) == Depth(white_is_zero=True)
    assert depth_of_tiff(tiff_of(DEEP, more={281: (SHORT, 900)})) == Depth(white=1023)
    assert depth_of_tiff(tiff_of(DEEP, more={281: (SHORT, 65535)})) == Depth()
    assert depth_of_tiff(tiff(bytes(36), (6, 4), 12)) == Depth(white=4095)
    assert depth_of_tiff(tiff_of(DEEP.astype(np.uint8), photometric=0)) == Depth()  # Pillow inverts 8 bits
    with pytest.raises(ImageFileError, match="signed 8-bit"):
        depth_of_tiff(tiff_of(DEEP.astype(np.int8)))


def test_the_precision_of_jpeg_2000_is_read_from_its_codestream() -> None:
    data = encoded(DEEP, "JPEG2000")
    assert (precision(data), precision(b"")) == (16, 8)
    at = data.index(b"\xff\x4f\xff\x51") + 42
    twelve = data[:at] + b"\x0b" + data[at + 1 :]
    assert precision(twelve) == 12
    image = opened(data, JPEG_2000, "x")
    assert depth_of(image, data, JPEG_2000, "x") == Depth()
    assert depth_of(image, twelve, JPEG_2000, "x") == Depth(white=65535)


def test_other_formats_state_nothing() -> None:
    data = encoded(DEEP.astype(np.uint8), "BMP")
    assert depth_of(opened(data, BMP, "x"), data, BMP, "x") == Depth()


def test_unsigned_values_of_32_bits_stay_positive() -> None:
    values = np.array([[0, 4_000_000_000]], np.uint32)
    image = opened(tiff_of(values), TIFF, "x")
    image.load()
    assert deep_values(image).tolist() == values.tolist()


def test_more_than_8_bits_per_colour_are_recognised() -> None:
    for form, kind in ((JPEG_2000, "JPEG2000"), (PNG, "PNG")):
        colours = encoded(np.zeros((3, 3, 3), np.uint8), kind)
        assert not wide_colours(opened(colours, form, "x"), colours, form)
        deep = encoded(DEEP, kind)
        assert not wide_colours(opened(deep, form, "x"), deep, form)
