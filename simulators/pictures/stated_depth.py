"""What the header of a PNG, TIFF or JPEG 2000 file states about its values, beyond what Pillow reads."""

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from simulators.pictures.errors import Fault, ImageFileError
from simulators.pictures.formats import JPEG_2000, PNG, TIFF, Format
from simulators.pictures.levels import Depth, depth_of_value, highest_of

DEEP = ("I", "F")  # modes of Pillow (I, I;16, F) that hold more than 8 bits
CONTAINER = 16  # bits that Pillow scales the values of a JPEG 2000 file to
MAX_CHUNKS = 1000  # of a PNG file before its pixels
_SIZ = b"\xff\x4f\xff\x51"  # start of a codestream of JPEG 2000, with the segment that states its size
_PRECISION_AT = 42  # bytes from there to the precision of the first component
_MAX_SAMPLE_VALUE = 281
_UNSIGNED, _SIGNED = 1, 2  # sample formats of TIFF
_WHITE_IS_ZERO = 0


def depth_of(image: Image.Image, data: bytes, form: Format, name: str) -> Depth:
    """What the file states about its grey values. ImageFileError for a kind that would be read wrongly."""
    if form is PNG and image.mode.startswith(DEEP):
        return _of_png(image, significant_bits(data))
    if form is TIFF and isinstance(image, TiffImagePlugin.TiffImageFile):
        return _of_tiff(image, name)
    if form is JPEG_2000 and image.mode.startswith(DEEP) and precision(data) < CONTAINER:
        return Depth(white=highest_of(CONTAINER))
    return Depth()


def _of_png(image: Image.Image, bits: int | None) -> Depth:
    clear = image.info.get("transparency")
    clear = clear if isinstance(clear, int) else None
    if bits is None or not 8 <= bits < CONTAINER:
        return Depth(clear=clear)
    return Depth(white=highest_of(CONTAINER), unscaled=highest_of(bits), clear=clear)


def _of_tiff(image: TiffImagePlugin.TiffImageFile, name: str) -> Depth:
    tags: Mapping[int, Any] = image.tag_v2
    bits = _first(tags, TiffImagePlugin.BITSPERSAMPLE, 1)
    if bits == 8 and _first(tags, TiffImagePlugin.SAMPLEFORMAT, _UNSIGNED) == _SIGNED:
        raise ImageFileError(
            f"{name} is a TIFF file of signed 8-bit values, which are not supported: save it with values of 0 to 255",
            Fault.NOT_SUPPORTED,
        )
    deep = image.mode.startswith(DEEP)
    white = None
    if deep and image.mode != "F":
        stated = _first(tags, _MAX_SAMPLE_VALUE, 0)
        if 0 < stated < highest_of(bits):
            white = depth_of_value(stated)
        elif bits < CONTAINER:
            white = highest_of(bits)
    return Depth(white, white_is_zero=deep and tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_ZERO)


def _first(tags: Mapping[int, Any], tag: int, default: int) -> int:
    """The whole number in a tag, the first of several; `default` if there is none."""
    found = tags.get(tag, default)
    first = found[0] if isinstance(found, tuple) and found else found
    return first if isinstance(first, int) else default


def deep_values(image: Image.Image) -> NDArray[Any]:
    """The values of a decoded picture of more than 8 bits. Pillow has no mode for unsigned 32 bits."""
    found = np.asarray(image)
    tags: Mapping[int, Any] = getattr(image, "tag_v2", {})
    unsigned = _first(tags, TiffImagePlugin.SAMPLEFORMAT, _UNSIGNED) == _UNSIGNED
    return found.view(np.uint32) if found.dtype == np.int32 and unsigned else found


def wide_colours(image: Image.Image, data: bytes, form: Format) -> bool:
    """Whether the file has more than 8 bits per colour, of which Pillow reads the upper 8."""
    if image.mode.startswith(DEEP):
        return False
    if form is JPEG_2000:
        return precision(data) == CONTAINER
    return any(";16" in str(part.args) for part in getattr(image, "tile", ()))


def precision(data: bytes) -> int:
    """The bits per value that a JPEG 2000 file states; 8 if it states none."""
    at = data.find(_SIZ)
    if at < 0 or at + _PRECISION_AT >= len(data):
        return 8
    return (data[at + _PRECISION_AT] & 0x7F) + 1


def significant_bits(data: bytes) -> int | None:
    """The significant bits of grey that a PNG file states (sBIT); None if it states none."""
    at = 8
    for _ in range(MAX_CHUNKS):
        if at + 8 > len(data):
            return None
        (length,), kind = struct.unpack_from(">I", data, at), data[at + 4 : at + 8]
        if kind == b"sBIT" and length and at + 8 < len(data):
            return data[at + 8]
        if kind == b"IDAT":
            return None
        at += 12 + length
    return None
