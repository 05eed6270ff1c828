"""The header of a PNG image of a record: checked before anything is decoded.

Only the parts that make the picture are passed on to the decoder (PNG, third edition: IHDR, IDAT, IEND). Texts,
profiles and animations, which may be compressed without any limit of their size, are left out.
"""

import struct

from models.template import TemplateError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
DEPTH = 8  # bits of a sample
MAX_CHUNKS = 8192  # of 4 KiB or more in the largest image

_CHUNK = struct.Struct(">I4s")  # length of the body, name; a checksum of 4 bytes follows the body
_CHECKSUM = 4
_HEADER = struct.Struct(">IIBB3x")  # width, height, depth, colour
_GREY, _RGB = 0, 2
_REFUSED_COLOURS = {3: "a palette", 4: "grey with transparency", 6: "colour with transparency"}
_KEPT = (b"IHDR", b"IDAT", b"IEND")


def checked_png(data: bytes, width: int, height: int) -> bytes:
    """The parts of a PNG image that make the picture. TemplateError unless it is 8-bit grey or RGB of this size."""
    if not data.startswith(SIGNATURE):
        raise TemplateError(f"the image is no PNG: it begins with {data[:8]!r}")
    parts, at, count = [SIGNATURE], len(SIGNATURE), 0
    while at < len(data):
        count += 1
        if count > MAX_CHUNKS:
            raise TemplateError(f"the PNG image has more than {MAX_CHUNKS} chunks")
        body, name, end = _chunk(data, at)
        if at == len(SIGNATURE):
            _check_header(data[body:end], name, width, height)
        if name in _KEPT and (name != b"IHDR" or at == len(SIGNATURE)):
            parts.append(data[at : end + _CHECKSUM])
        if name == b"IEND":
            return b"".join(parts)
        at = end + _CHECKSUM
    raise TemplateError("the PNG image ends without its last chunk, IEND")


def _chunk(data: bytes, at: int) -> tuple[int, bytes, int]:
    """Where the body of a chunk begins, its name, and where the body ends."""
    if len(data) < at + _CHUNK.size:
        raise TemplateError(f"the PNG image ends within the chunk at its byte {at}")
    length, name = _CHUNK.unpack_from(data, at)
    body = at + _CHUNK.size
    if len(data) < body + length + _CHECKSUM:
        raise TemplateError(f"the PNG image ends within the chunk {name!r} at its byte {at}")
    return body, name, body + length


def _check_header(body: bytes, name: bytes, width: int, height: int) -> None:
    if name != b"IHDR" or len(body) != _HEADER.size:
        raise TemplateError(f"the PNG image begins with a chunk {name!r} of {len(body)} bytes, expected b'IHDR' of 13")
    own_width, own_height, depth, colour = _HEADER.unpack(body)
    if (own_width, own_height) != (width, height):
        raise TemplateError(f"the PNG image is of {own_width}x{own_height}, the record says {width}x{height}")
    if depth != DEPTH:
        raise TemplateError(f"the PNG image has {depth} bits a sample; 8 are read")
    if colour not in (_GREY, _RGB):
        what = _REFUSED_COLOURS.get(colour, "unknown")
        raise TemplateError(f"the PNG image has the colour type {colour} ({what}); 0 (grey) and 2 (RGB) are read")
