"""Bytes of picture files that Pillow does not write: TIFF of any kind, chunks of PNG, boxes of JPEG 2000."""

import io
import struct
import zlib
from collections.abc import Mapping
from typing import Any, Literal

from numpy.typing import NDArray
from PIL import Image

Tag = tuple[int, int] | tuple[int, int, int]  # type, value; of a rational: type, numerator, denominator
Order = Literal["<", ">"]
SHORT, LONG, RATIONAL = 3, 4, 5


def tiff(
    data: bytes,
    size: tuple[int, int],
    bits: int,
    *,
    order: Order = "<",
    photometric: int = 1,
    form: int = 1,
    more: Mapping[int, Tag] | None = None,
) -> bytes:
    """An uncompressed grey TIFF of one strip. `order` is < or >, `form` the sample format, `more` tags by number."""
    tags: dict[int, Tag] = {
        256: (LONG, size[0]), 257: (LONG, size[1]), 258: (SHORT, bits), 259: (SHORT, 1), 262: (SHORT, photometric),
        273: (LONG, 8), 277: (SHORT, 1), 278: (LONG, size[1]), 279: (LONG, len(data)), 339: (SHORT, form),
    }  # fmt: skip
    tags |= more or {}
    data += bytes(len(data) % 2)
    where = 8 + len(data)
    behind = where + 2 + 12 * len(tags) + 4
    entries, far = b"", b""
    for number, (kind, value, *denominator) in sorted(tags.items()):
        if kind == RATIONAL:
            entries += struct.pack(f"{order}HHII", number, kind, 1, behind + len(far))
            far += struct.pack(f"{order}II", value, denominator[0])
        elif kind == SHORT:
            entries += struct.pack(f"{order}HHIHH", number, kind, 1, value, 0)
        else:
            entries += struct.pack(f"{order}HHII", number, kind, 1, value)
    head = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, where)
    return head + data + struct.pack(f"{order}H", len(tags)) + entries + bytes(4) + far


def tiff_of(
    values: NDArray[Any], order: Order = "<", photometric: int = 1, more: Mapping[int, Tag] | None = None
) -> bytes:
    """A TIFF of values of any type [h, w]."""
    form = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    data = values.astype(values.dtype.newbyteorder(order)).tobytes()
    size = (values.shape[1], values.shape[0])
    return tiff(data, size, 8 * values.dtype.itemsize, order=order, photometric=photometric, form=form, more=more)


def with_chunk(png: bytes, kind: bytes, body: bytes) -> bytes:
    """A PNG file with one more chunk behind its header."""
    chunk = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return png[:33] + chunk + png[33:]


def encoded(values: NDArray[Any], kind: str, **options: str | tuple[int, int]) -> bytes:
    """The bytes of a file that Pillow writes."""
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, kind, **options)
    return stream.getvalue()


def with_resolution(jp2: bytes, x: int, y: int) -> bytes:
    """A JP2 file with a capture resolution of x and y pixels per metre."""
    at = jp2.index(b"jp2h") - 4
    (length,) = struct.unpack_from(">I", jp2, at)
    box = struct.pack(">I4sI4sHHHHbb", 26, b"res ", 18, b"resc", y, 1, x, 1, 0, 0)
    return jp2[:at] + struct.pack(">I", length + len(box)) + jp2[at + 4 : at + length] + box + jp2[at + length :]
