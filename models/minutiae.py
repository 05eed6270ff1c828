"""Minutiae as arrays, and their stored form "finger-minutiae/1".

Layout, little-endian: magic "KFM", version u8, width u16, height u16 (pixels at 500 ppi), quality u8 (0..100), count
u8; then for each minutia x u16, y u16, direction u16 (1/65536 turn, counter-clockwise from the x axis, y up), kind u8,
quality u8 (1..100, 0 = not reported). 10 + 8 n bytes.
"""

import struct
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from models.template import Template, TemplateError

FORMAT = "finger-minutiae/1"
PIXELS_PER_INCH = 500.0  # of all coordinates
MAX_MINUTIAE = 255
MAX_QUALITY = 100
TURN = 65_536  # units of `direction`

_MAGIC = b"KFM"
_VERSION = 1
_HEADER = struct.Struct("<3sBHHBB")
_ROW = np.dtype([("x", "<u2"), ("y", "<u2"), ("direction", "<u2"), ("kind", "u1"), ("quality", "u1")])


class Kind(IntEnum):
    """Of a minutia. The values are those of ISO/IEC 19794-2."""

    OTHER = 0
    ENDING = 1
    BIFURCATION = 2


@dataclass(frozen=True, slots=True, eq=False)
class Minutiae:
    """The minutiae of one finger, as parallel arrays of at most 255. `quality` is that of the whole sample, 0..100."""

    width: int
    height: int
    quality: int
    x: NDArray[np.uint16]
    y: NDArray[np.uint16]
    direction: NDArray[np.uint16]
    kind: NDArray[np.uint8]
    qualities: NDArray[np.uint8]

    def __len__(self) -> int:
        """How many minutiae."""
        return len(self.x)

    def __repr__(self) -> str:
        """Size, never positions."""
        return f"<Minutiae {len(self)} in {self.width}x{self.height}>"

    def best(self, limit: int) -> "Minutiae":
        """The `limit` minutiae of highest quality, in the order of quality; of equals, those first in the list."""
        return self.take(np.argsort(-self.qualities.astype(int), kind="stable")[:limit])

    def with_quality(self, quality: int) -> "Minutiae":
        """The same minutiae of a sample judged so (0..100)."""
        return replace(self, quality=quality)

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> "Minutiae":
        """Those chosen by an index or a mask."""
        return replace(
            self,
            x=self.x[index],
            y=self.y[index],
            direction=self.direction[index],
            kind=self.kind[index],
            qualities=self.qualities[index],
        )


def no_minutiae(width: int, height: int) -> Minutiae:
    """Of an image in which nothing was found."""
    u16, u8 = np.zeros(0, np.uint16), np.zeros(0, np.uint8)
    return Minutiae(width, height, 0, u16, u16, u16, u8, u8)


def pack(minutiae: Minutiae) -> Template:
    """The stored form; of more than 255 minutiae the best. TemplateError when a value does not fit."""
    kept = minutiae if len(minutiae) <= MAX_MINUTIAE else minutiae.best(MAX_MINUTIAE)
    rows = np.empty(len(kept), _ROW)
    columns = (kept.x, kept.y, kept.direction, kept.kind, kept.qualities)
    for name, values in zip(_ROW.names or (), columns, strict=True):
        rows[name] = values
    _check(kept.width, kept.height, kept.quality, rows)
    header = _HEADER.pack(_MAGIC, _VERSION, kept.width, kept.height, kept.quality, len(kept))
    return Template(FORMAT, header + rows.tobytes())


def unpack(template: Template) -> Minutiae:
    """The minutiae of a stored form. TemplateError: another format, cut short, too long, or inconsistent."""
    if template.format != FORMAT:
        raise TemplateError(f"template format is {template.format!r}, expected {FORMAT!r}")
    data = template.data
    if len(data) < _HEADER.size:
        raise TemplateError(f"{FORMAT}: {len(data)} bytes, the header alone has {_HEADER.size}")
    magic, version, width, height, quality, count = _HEADER.unpack_from(data)
    if magic != _MAGIC or version != _VERSION:
        raise TemplateError(f"{FORMAT}: does not begin with the magic and version of this format")
    expected = _HEADER.size + count * _ROW.itemsize
    if len(data) != expected:
        raise TemplateError(f"{FORMAT}: {len(data)} bytes, {count} minutiae take {expected}")
    rows = np.frombuffer(data, _ROW, offset=_HEADER.size)
    _check(width, height, quality, rows)
    return Minutiae(width, height, quality, *(np.ascontiguousarray(rows[name]) for name in _ROW.names or ()))


def _check(width: int, height: int, quality: int, rows: NDArray[np.void]) -> None:
    """TemplateError names the first value that is out of range, without saying where the minutia is."""
    limits = (
        ("width", width, 65_536), ("height", height, 65_536), ("quality", quality, MAX_QUALITY + 1),
        ("x", rows["x"], width), ("y", rows["y"], height),
        ("kind", rows["kind"], len(Kind)), ("minutia quality", rows["quality"], MAX_QUALITY + 1),
    )  # fmt: skip
    for name, values, end in limits:
        if np.any(np.asarray(values) >= end) or np.any(np.asarray(values) < 0):
            raise TemplateError(f"{FORMAT}: {name} is out of range (0 to {end - 1})")
