"""Parses the image record of SFM modules: seven little-endian numbers, then the pixels, row by row."""

import struct
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from drivers.errors import ProtocolError
from drivers.sample import expand_4bit

_HEADER = struct.Struct("<7i")  # width, height, compressed, encrypted, format, bytes of the image, bytes of a template
HEADER_SIZE = _HEADER.size
MIN_SIDE, MAX_SIDE = 16, 1024  # pixels; all sensors of the family are within


class BadRecord(Exception):
    """The numbers of a record contradict each other: it was damaged in the transfer."""


class Format(IntEnum):
    """The pixel formats that the driver reads, as numbered in the record."""

    GREY8 = 0
    GREY4 = 2  # two pixels a byte, the left one in the upper bits (as other modules do; the manual does not say)


DEPTH_BITS = {Format.GREY8: 8, Format.GREY4: 4}
PARAMETER_VALUE = {Format.GREY8: 0x30, Format.GREY4: 0x32}  # values of the parameter IMAGE_FORMAT


@dataclass(frozen=True, slots=True, repr=False)
class SfmImage:
    """A whole image: u8[height, width] over the full range, and the bits per pixel of the sensor."""

    pixels: NDArray[np.uint8]
    depth_bits: int


def record_bytes(width: int, height: int, form: Format) -> int:
    """The size of a record in bytes. For an odd number of 4-bit pixels the last byte holds one pixel."""
    return HEADER_SIZE + (width * height * DEPTH_BITS[form] + 7) // 8


def parse_record(record: bytes, name: str) -> SfmImage:
    """Parses the image in a record of the device `name`.

    BadRecord if its numbers contradict each other. ProtocolError if the driver cannot read the format; the message says
    what to do.
    """
    if len(record) < HEADER_SIZE:
        raise BadRecord(f"a record of {len(record)} bytes")
    width, height, compressed, encrypted, form, image_bytes, template_bytes = _HEADER.unpack_from(record)
    if min(width, height) < MIN_SIDE or max(width, height) > MAX_SIDE:
        raise BadRecord(f"an image of {width} x {height} pixels")
    if image_bytes < 0 or template_bytes < 0 or HEADER_SIZE + image_bytes + template_bytes != len(record):
        raise BadRecord(f"{len(record)} bytes, not an image of {image_bytes} and a template of {template_bytes} bytes")
    if compressed or encrypted or form not in Format.__members__.values():
        kind = f"format {form}{', compressed' if compressed else ''}{', encrypted' if encrypted else ''}"
        raise ProtocolError(
            f"{name}: sends images that are not plain grey ({kind}): "
            "set its image format to grey, and switch encryption and enhanced privacy off in the module"
        )
    if record_bytes(width, height, Format(form)) != HEADER_SIZE + image_bytes:
        raise BadRecord(f"{image_bytes} bytes are not an image of {width} x {height} pixels")
    pixels = np.frombuffer(record, np.uint8, image_bytes, HEADER_SIZE)
    levels = _EXPAND[Format(form)](pixels)[: width * height]
    return SfmImage(levels.reshape(height, width), DEPTH_BITS[Format(form)])


def _copy(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return pixels.copy()


_EXPAND = {Format.GREY8: _copy, Format.GREY4: expand_4bit}
