"""Writes and reads ISO/IEC 19794-2:2005 finger minutiae records (record format, "FMR 2.0").

Big-endian. A record has a header of 24 bytes and, for each finger view, a header of 4 bytes, 6 bytes for each minutia,
and a block of extended data, which is written empty and skipped when read. Writing loses what the format cannot hold:
directions finer than 1/256 of a full circle, minutiae with coordinates above 16383, the size of each view (a record has
one size for all views).

A quality is 0 to 100; the quality 0 of a minutia means "not reported". Writers of later editions use 254 (not reported)
or 255 (could not be computed) instead; both are read as 0.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.sample import Position
from models.exchange.record_reader import RecordReader
from models.finger.minutiae import MAX_QUALITY, PIXELS_PER_INCH, TURN, Kind, Minutiae
from models.finger.template import pack, unpack
from models.template import Template, TemplateError

_NAME = "ISO/IEC 19794-2"
_HEADER = struct.Struct(">4s4sIHHHHHBx")  # format, version, length, equipment, size x, y, resolution x, y, views
_VIEW = struct.Struct(">BBBB")  # position, view number and impression type, quality, minutiae
_BLOCK = struct.Struct(">H")  # length of the extended data
_MINUTIA = np.dtype([("kind_x", ">u2"), ("y", ">u2"), ("angle", "u1"), ("quality", "u1")])
_FORMAT = b"FMR\0"
_VERSION = b" 20\0"
_CM_PER_INCH = 2.54
_RESOLUTION = round(PIXELS_PER_INCH / _CM_PER_INCH)  # 197 pixels per cm are 500.4 ppi and mean 500 ppi
MIN_PIXELS_PER_CM, MAX_PIXELS_PER_CM = 39, 1575  # 100 to 4000 ppi: all fingerprint sensors are within
_COORDINATE_MASK = 0x3FFF  # 14 bits; above them two bits of kind
_ANGLE_STEP = TURN // 256
_MAX_VIEWS = 255
_UNKNOWN_QUALITIES = (254, 255)
_IMPRESSION_LIVE_PLAIN = 0
# Table 2 of the standard, which has the same order as Position.
_POSITIONS = [p for p in Position if p.modality is None or p.modality.value == "finger"]


@dataclass(frozen=True, slots=True)
class FingerView:
    """One finger of a record."""

    position: Position
    template: Template


def to_record(views: Sequence[FingerView]) -> bytes:
    """The record of these fingers, in their order. TemplateError if there are none, too many, or an unreadable one."""
    if not 0 < len(views) <= _MAX_VIEWS:
        raise TemplateError(f"{_NAME}: {len(views)} views; a record holds 1 to {_MAX_VIEWS}")
    fingers = [unpack(view.template) for view in views]
    numbers = _view_numbers(view.position for view in views)
    body = b"".join(_view_bytes(v.position, n, m) for v, n, m in zip(views, numbers, fingers, strict=True))
    width, height = (max(getattr(finger, side) for finger in fingers) for side in ("width", "height"))
    length = _HEADER.size + len(body)
    size = (width, height, _RESOLUTION, _RESOLUTION)
    return _HEADER.pack(_FORMAT, _VERSION, length, 0, *size, len(views)) + body


def from_record(data: bytes) -> list[FingerView]:
    """The fingers of a record, at 500 ppi. TemplateError says what is wrong and at which byte."""
    reader = RecordReader(data, _NAME)
    if not data.startswith(_FORMAT + _VERSION):
        raise TemplateError(f"{_NAME}: does not begin with the identifier and version of the 2005 record format")
    _, _, length, _, width, height, x_resolution, y_resolution, views = reader.take(_HEADER, "header")
    reader.expect_length(length)
    if not views:
        raise TemplateError(f"{_NAME}: the header has no finger view")
    for resolution in (x_resolution, y_resolution):
        if not MIN_PIXELS_PER_CM <= resolution <= MAX_PIXELS_PER_CM:
            valid = f"{MIN_PIXELS_PER_CM} to {MAX_PIXELS_PER_CM} are valid"
            raise TemplateError(f"{_NAME}: a resolution of {resolution} pixels per cm; {valid}")
    size = _ImageSize(width, height, _factor(x_resolution), _factor(y_resolution))
    found = [_read_view(reader, size) for _ in range(views)]
    reader.expect_end()
    return found


@dataclass(frozen=True, slots=True)
class _ImageSize:
    """The size of the images of a record, and the factors that scale its pixels to 500 ppi."""

    width: int
    height: int
    x_factor: float
    y_factor: float


def _factor(resolution: int) -> float:
    """The factor from pixels per cm to 500 ppi: 1 for 196 and 197, to which 500 ppi is rounded."""
    exact = PIXELS_PER_INCH / _CM_PER_INCH
    return 1.0 if abs(resolution - exact) < 1 else exact / resolution


def _view_numbers(positions: Iterable[Position]) -> list[int]:
    """The view numbers: 0 for the first view of a finger, 1 for the second..."""
    seen: dict[Position, int] = {}
    numbers = []
    for position in positions:
        numbers.append(seen.get(position, 0))
        seen[position] = numbers[-1] + 1
    if max(numbers) > 15:
        raise TemplateError(f"{_NAME}: more than 16 views of one finger")
    return numbers


def _view_bytes(position: Position, number: int, minutiae: Minutiae) -> bytes:
    if position not in _POSITIONS:
        raise TemplateError(f"{_NAME}: {position} is not a finger")
    fits = (minutiae.x <= _COORDINATE_MASK) & (minutiae.y <= _COORDINATE_MASK)
    kept = minutiae.take(fits)
    rows = np.empty(len(kept), _MINUTIA)
    rows["kind_x"] = kept.kind.astype(np.uint16) << 14 | kept.x
    rows["y"] = kept.y
    rows["angle"] = (kept.direction.astype(np.uint32) + _ANGLE_STEP // 2) // _ANGLE_STEP % 256
    rows["quality"] = kept.qualities
    second = number << 4 | _IMPRESSION_LIVE_PLAIN
    header = _VIEW.pack(_POSITIONS.index(position), second, kept.quality, len(kept))
    return header + rows.tobytes() + _BLOCK.pack(0)


def _read_view(reader: RecordReader, size: _ImageSize) -> FingerView:
    number, _, quality, count = reader.take(_VIEW, "finger view header")
    if number >= len(_POSITIONS):
        raise TemplateError(f"{_NAME}: finger position {number} is not 0 to {len(_POSITIONS) - 1}")
    rows = np.frombuffer(reader.bytes(count * _MINUTIA.itemsize, "minutiae"), _MINUTIA)
    (extended,) = reader.take(_BLOCK, "length of the extended data")
    reader.bytes(extended, "extended data")
    return FingerView(_POSITIONS[number], pack(_minutiae(rows, size, quality)))


def _minutiae(rows: NDArray[np.void], size: _ImageSize, quality: int) -> Minutiae:
    x, y = rows["kind_x"] & _COORDINATE_MASK, rows["y"] & _COORDINATE_MASK
    kind = rows["kind_x"] >> 14
    if np.any(x >= size.width) or np.any(y >= size.height):
        raise TemplateError(f"{_NAME}: a minutia lies outside of the image")
    if np.any(kind >= len(Kind)):
        raise TemplateError(f"{_NAME}: a minutia has the reserved type 3")
    width, height = _scaled(size.width, size.x_factor), _scaled(size.height, size.y_factor)
    return Minutiae(
        width=int(width),
        height=int(height),
        quality=int(_known(np.uint8(quality), "finger quality")),
        x=np.minimum(_scaled(x, size.x_factor), width - 1).astype(np.uint16),
        y=np.minimum(_scaled(y, size.y_factor), height - 1).astype(np.uint16),
        direction=rows["angle"].astype(np.uint16) * np.uint16(_ANGLE_STEP),
        kind=kind.astype(np.uint8),
        qualities=_known(rows["quality"], "minutia quality"),
    )


def _known(quality: NDArray[np.uint8] | np.uint8, what: str) -> NDArray[np.uint8]:
    """The quality, with 0 for the unknown values of later editions. TemplateError names a field of another value."""
    known = np.where(np.isin(quality, _UNKNOWN_QUALITIES), 0, quality).astype(np.uint8)
    if np.any(known > MAX_QUALITY):
        unknown = " or ".join(map(str, _UNKNOWN_QUALITIES))
        raise TemplateError(f"{_NAME}: a {what} is not 0 to {MAX_QUALITY}, nor {unknown} (not known)")
    return known


def _scaled(pixels: int | NDArray[np.integer], factor: float) -> NDArray[np.float64]:
    """Pixels at 500 ppi, rounded."""
    rounded: NDArray[np.float64] = np.round(np.asarray(pixels, float) * factor)
    return rounded
