"""The headers of a JPEG 2000 image of a record: checked before anything is decoded.

The image is a JP2 file or a bare codestream (ISO/IEC 15444-1, annexes A and I). Only the codestream is passed on to the
decoder. A decoder reserves memory for each tile, precinct and code block that the headers announce, and loops over each
layer, before it reads the first pixel; a few bytes could announce gigabytes. So their numbers are limited, generously.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from models.template import TemplateError

MAX_TILES, MAX_TILE_PARTS, MAX_LAYERS = 64, 1024, 128
MAX_BOXES, MAX_SEGMENTS = 64, 256  # of a header
MIN_BLOCK_BITS = 8  # of the exponents of width and height together: 256 pixels a code block
MIN_PRECINCT_BITS = 5  # of each side: 32 pixels
DEPTH = 8  # bits of a sample

_BOX = struct.Struct(">I4s")
_LONG_BOX = struct.Struct(">Q")
_JP2 = b"\0\0\0\x0cjP  \r\n\x87\n"
_COLOUR_SPACES = {16: "sRGB", 17: "grey"}
_ENUMERATED = 1  # the method of a colour box that names a space by its number

_START, _SIZE, _STYLE, _COMPONENT_STYLE = 0xFF4F, 0xFF51, 0xFF52, 0xFF53
_TILE, _DATA, _END = 0xFF90, 0xFF93, 0xFFD9
_MARKER = struct.Struct(">HH")  # marker, length of the segment with the length itself
_SIZES = struct.Struct(">2x8IH")  # image, its offset, tile, its offset: x and y each; components
_COMPONENT = struct.Struct(">BBB")  # depth - 1 (sign in the highest bit), steps in x and y
_LAYERS = struct.Struct(">2xH")  # style, progression, layers
_CODING = struct.Struct(">BBBxB")  # levels, exponents of a code block less 2, wavelet
_TILE_PART = struct.Struct(">4xHI")  # marker, length, tile, length of the tile-part
_PRECINCTS = 1  # in the style: the sizes of precincts follow


@dataclass(frozen=True, slots=True)
class Codestream:
    """A codestream that may be decoded. `reversible`: its wavelet loses nothing."""

    data: bytes
    reversible: bool


def checked_jpeg2000(data: bytes, width: int, height: int) -> Codestream:
    """The codestream of a JPEG 2000 image. TemplateError unless it is complete, 8-bit grey or RGB, and of this size."""
    stream = _codestream_of(data)
    reversible, at, styled = True, 2, False
    for marker, at, body in _segments(stream, 2):
        if (marker == _SIZE) != (at == 2):
            raise TemplateError(f"the JPEG 2000 image has the marker {marker:04X} where its size belongs, or two sizes")
        if marker == _SIZE:
            _check_size(body, width, height)
        elif marker == _STYLE:
            layers = _unpack(_LAYERS, body, "coding style")[0]
            if not 0 < layers <= MAX_LAYERS:
                raise TemplateError(f"the JPEG 2000 image has {layers} layers; 1 to {MAX_LAYERS} are read")
            reversible &= _check_coding(body[0], body[5:])
            styled = True
        elif marker == _COMPONENT_STYLE:
            reversible &= _check_coding(body[1] if len(body) > 1 else 0, body[2:])
        elif marker == _TILE:
            break
    if not styled:
        raise TemplateError("the JPEG 2000 image has no coding style before its first tile")
    _check_tiles(stream, at)
    return Codestream(stream, reversible)


def _codestream_of(data: bytes) -> bytes:
    if data.startswith(struct.pack(">HH", _START, _SIZE)):
        return data
    if not data.startswith(_JP2):
        raise TemplateError(f"the image is no JPEG 2000: it begins with {data[:8]!r}")
    for name, body in _boxes(data):
        if name == b"jp2h":
            _check_colours(body)
        if name == b"jp2c":
            if not body.startswith(struct.pack(">HH", _START, _SIZE)):
                raise TemplateError("the codestream of the JPEG 2000 image does not begin with its size")
            return body
    raise TemplateError("the JPEG 2000 image has no codestream")


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of each box. TemplateError if one is longer than what is left, or there are too many."""
    at = count = 0
    while at < len(data):
        count += 1
        length, name = _unpack(_BOX, data, "box", at)
        start = at + _BOX.size
        if length == 1:
            (length,) = _unpack(_LONG_BOX, data, "box", start)
            start += _LONG_BOX.size
        end = len(data) if length == 0 else at + length
        if count > MAX_BOXES or not start <= end <= len(data):
            what = f"{MAX_BOXES} boxes are read" if count > MAX_BOXES else f"{length} bytes do not fit"
            raise TemplateError(f"the JPEG 2000 image has the box {name!r} at its byte {at}; {what}")
        yield name, data[start:end]
        at = end


def _check_colours(header: bytes) -> None:
    for name, body in _boxes(header):
        if name == b"pclr":
            raise TemplateError("the JPEG 2000 image has a palette; grey and RGB are read")
        if name == b"colr" and body[:1] == bytes([_ENUMERATED]):
            space = int.from_bytes(body[3:7], "big")
            if space not in _COLOUR_SPACES:
                raise TemplateError(
                    f"the JPEG 2000 image has the colour space {space}; 16 (sRGB) and 17 (grey) are read"
                )


def _unpack(structure: struct.Struct, data: bytes, what: str, at: int = 0) -> tuple[Any, ...]:
    if len(data) < at + structure.size:
        raise TemplateError(f"the JPEG 2000 image ends within a {what}")
    return structure.unpack_from(data, at)


def _segments(stream: bytes, at: int) -> Iterator[tuple[int, int, bytes]]:
    """Marker, position and content of each segment from there on. TemplateError if the image ends within one."""
    for _ in range(MAX_SEGMENTS):
        marker = int.from_bytes(stream[at : at + 2], "big")
        if marker == _DATA:
            yield marker, at, b""
            return
        marker, length = _unpack(_MARKER, stream, "header", at)
        if marker < 0xFF00 or length < 2 or at + 2 + length > len(stream):
            raise TemplateError(f"the JPEG 2000 image has no whole segment at byte {at} of its codestream")
        yield marker, at, stream[at + 4 : at + 2 + length]
        at += 2 + length
    raise TemplateError(f"the JPEG 2000 image has a header of more than {MAX_SEGMENTS} segments")


def _check_size(body: bytes, width: int, height: int) -> None:
    right, bottom, left, top, tile_width, tile_height, tile_left, tile_top, components = _unpack(_SIZES, body, "size")
    if (right, bottom) != (width, height):
        raise TemplateError(f"the JPEG 2000 image is of {right}x{bottom}, the record says {width}x{height}")
    if any((left, top, tile_left, tile_top)):
        raise TemplateError("the JPEG 2000 image or its tiles have an offset; none is read")
    tiles = -(-width // max(tile_width, 1)) * -(-height // max(tile_height, 1))
    if tiles > MAX_TILES:
        raise TemplateError(f"the JPEG 2000 image has {tiles} tiles; up to {MAX_TILES} are read")
    if components not in (1, 3):
        raise TemplateError(f"the JPEG 2000 image has {components} components; 1 (grey) and 3 (RGB) are read")
    for number in range(components):
        depth, x_step, y_step = _unpack(_COMPONENT, body, "size", _SIZES.size + 3 * number)
        if (depth, x_step, y_step) != (DEPTH - 1, 1, 1):
            bits = f"{(depth & 0x7F) + 1} {'signed ' if depth & 0x80 else ''}bits"
            raise TemplateError(
                f"the JPEG 2000 image has {bits} for {x_step}x{y_step} pixels; 8 bits for each are read"
            )


def _check_coding(style: int, body: bytes) -> bool:
    """Whether the wavelet is reversible. TemplateError if code blocks or precincts are very small."""
    levels, x_block, y_block, wavelet = _unpack(_CODING, body, "coding style")
    if x_block + y_block + 4 < MIN_BLOCK_BITS:
        size = f"{4 << x_block}x{4 << y_block}"
        raise TemplateError(
            f"the JPEG 2000 image has code blocks of {size}; of {1 << MIN_BLOCK_BITS} pixels or more are read"
        )
    if style & _PRECINCTS:
        for exponents in body[_CODING.size : _CODING.size + levels + 1]:
            if min(exponents & 0xF, exponents >> 4) < MIN_PRECINCT_BITS:
                size = f"{1 << (exponents & 0xF)}x{1 << (exponents >> 4)}"
                raise TemplateError(f"the JPEG 2000 image has precincts of {size}; from 32x32 on are read")
    return bool(wavelet == 1)


def _check_tiles(stream: bytes, at: int) -> None:
    """TemplateError unless whole tile-parts follow, up to the end marker, and none changes the coding style."""
    parts = 0
    while (marker := int.from_bytes(stream[at : at + 2], "big")) == _TILE:
        parts += 1
        if parts > MAX_TILE_PARTS:
            raise TemplateError(f"the JPEG 2000 image has more than {MAX_TILE_PARTS} tile-parts")
        _, length = _unpack(_TILE_PART, stream, "tile", at)
        for inner, _, _ in _segments(stream, at):
            if inner in (_STYLE, _COMPONENT_STYLE):
                raise TemplateError("the JPEG 2000 image changes its coding style within a tile; that is not read")
        at = at + length if length else stream.rfind(struct.pack(">H", _END))
    if marker != _END:
        raise TemplateError("the JPEG 2000 image is cut short: its end marker is missing")
