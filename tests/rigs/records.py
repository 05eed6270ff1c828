"""Builds ISO/IEC 19794 records byte by byte, from public descriptions of the layouts, without our writers.

Iris (19794-6:2011): as libbiomeval of NIST (public domain) reads them. Fingers (19794-2:2005): as the free summary at
templates.machinezoo.com describes them.
"""

import io
import struct
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
RAW, JPEG_2000, PNG = 2, 10, 14


def iris_image(
    data: bytes, width: int, height: int, form: int = JPEG_2000, *, eye: int = 1, kind: int = 3, properties: int = 0x45,
    depth: int = 8, when: bytes = b"\xff" * 9, roll: int = 0xFFFF, iris: Sequence[int] = (0,) * 6, quality: bytes = b"",
) -> bytes:  # fmt: skip
    """A representation. `iris`: smallest and largest x, y, diameter. `quality`: blocks of five bytes."""
    head = when + bytes(5) + bytes([len(quality) // 5]) + quality
    about = struct.pack(">HBBBBHHBHHH", 1, eye, kind, form, properties, width, height, depth, 0, roll, 0xFFFF)
    body = head + about + struct.pack(">6HI", *iris, len(data)) + data
    return struct.pack(">I", 4 + len(body)) + body


def iris_record(*images: bytes, padding: bytes = b"", eyes: int = 1) -> bytes:
    """A record of these representations."""
    body = b"".join(images)
    return b"IIR\x00020\x00" + struct.pack(">IHBB", 16 + len(body), len(images), 0, eyes) + body + padding


def finger_record(
    minutiae: Sequence[tuple[int, int, int, int, int]], *, size: tuple[int, int] = (256, 288),
    resolution: tuple[int, int] = (197, 197), position: int = 2, impression: int = 0, quality: int = 80,
    extended: bytes = b"",
) -> bytes:  # fmt: skip
    """A record of one view. Each minutia: type, x, y, angle in 1/256 of a circle, quality."""
    rows = b"".join(struct.pack(">HHBB", kind << 14 | x, y, angle, score) for kind, x, y, angle, score in minutiae)
    view = struct.pack(">BBBB", position, impression, quality, len(minutiae)) + rows
    body = struct.pack(">HHHHHBx", 0, *size, *resolution, 1) + view + struct.pack(">H", len(extended)) + extended
    return b"FMR\x00 20\x00" + struct.pack(">I", 12 + len(body)) + body


def jpeg2000(pixels: Pixels, *, lossy: bool = False, bare: bool = False) -> bytes:
    """A JPEG 2000 image, as a JP2 file or as the bare codestream; of one or three components."""
    file = io.BytesIO()
    options = {"quality_mode": "rates", "quality_layers": [8]} if lossy else {}
    levels = min(pixels.shape[:2]).bit_length()
    resolutions = {"num_resolutions": min(6, levels)}
    Image.fromarray(pixels).save(file, "JPEG2000", irreversible=lossy, no_jp2=bare, **resolutions, **options)
    return file.getvalue()


def chunk(name: bytes, body: bytes) -> bytes:
    """A chunk of a PNG image."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *extra: bytes) -> bytes:
    """A PNG image; `rows` with a filter byte before each. `extra`: chunks between the header and the pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    parts = (header, *extra, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def png_of(pixels: Pixels) -> bytes:
    """A PNG image of 8-bit grey, u8[h, w], or of 24-bit colour, u8[h, w, 3]."""
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    return png(pixels.shape[1], pixels.shape[0], 8, 0 if pixels.ndim == 2 else 2, rows)
