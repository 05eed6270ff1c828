"""Writes and reads ISO/IEC 19794-2:2005 finger minutiae records (record format, "FMR 2.0").

Big-endian. A record has a header; for each finger view a header, the minutiae, and a block of extended data, which is
written empty and skipped when read. The tables below have every field and what we do with it; models/README.md shows
them to people. Writing loses what the format cannot hold: directions finer than 1/256 of a full circle, the size of
each view (a record has one size for all views).

A quality is 0 to 100; the quality 0 of a minutia means "not reported". Writers of later editions use 254 (not reported)
or 255 (could not be computed) instead; both are read as 0. Not read: the formats for cards, the edition of 2011, and
ANSI INCITS 378, which begins with the same eight bytes.

Source of the layout: the free summary of the standard at templates.machinezoo.com.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from drivers.sample import Position
from models.exchange.fields import Field, Layout, Use, Values
from models.exchange.record_reader import RecordReader
from models.finger.minutiae import MAX_QUALITY, PIXELS_PER_INCH, TURN, Kind, Minutiae
from models.finger.template import pack_counting, unpack
from models.template import Template, TemplateError

MIN_PIXELS_PER_CM, MAX_PIXELS_PER_CM = 39, 1575  # 100 to 4000 ppi: all fingerprint sensors are within

_NAME = "ISO/IEC 19794-2"
_FORMAT, _VERSION = b"FMR\0", b" 20\0"
_OTHER_VERSIONS = {b"030\0": "the edition of 2011, which is not read"}
_CM_PER_INCH = 2.54
_RESOLUTION = round(PIXELS_PER_INCH / _CM_PER_INCH)  # 197 pixels per cm are 500.4 ppi and mean 500 ppi
_MINUTIA = np.dtype([("kind_x", ">u2"), ("reserved_y", ">u2"), ("angle", "u1"), ("quality", "u1")])
_COORDINATE_BITS = 14  # above them two bits of kind, or two reserved ones
_COORDINATE_MASK = (1 << _COORDINATE_BITS) - 1
_ANGLE_STEP = TURN // 256
_MAX_VIEWS = 255
_UNKNOWN_QUALITIES = (254, 255)
# Table 2 of the standard, which has the same order as Position.
_POSITIONS = [p for p in Position if p.modality is None or p.modality.value == "finger"]


class Impression(IntEnum):
    """How the finger was presented."""

    LIVE_PLAIN = 0
    LIVE_ROLLED = 1
    NON_LIVE_PLAIN = 2
    NON_LIVE_ROLLED = 3
    SWIPE = 8


_RESOLUTIONS = range(MIN_PIXELS_PER_CM, MAX_PIXELS_PER_CM + 1)
_SIDES = range(1, 1 << 16)
_IMPRESSIONS = {i.value: i.name.lower().replace("_", " ") for i in Impression}
RECORD_HEADER = Layout(
    "header",
    (
        Field("format identifier", 32, Use.CHECKED, "FMR"),
        Field("version", 32, Use.CHECKED, "20, the edition of 2005"),
        Field("record length", 32, Use.CHECKED, "only zeros may follow"),
        Field("equipment certification", 4, Use.SKIPPED, ""),
        Field("capture device type", 12, Use.SKIPPED, ""),
        Field("image width", 16, Use.HONOURED, "scaled to 500 ppi", _SIDES),
        Field("image height", 16, Use.HONOURED, "scaled to 500 ppi", _SIDES),
        Field("x resolution", 16, Use.HONOURED, "pixels per cm; it may differ from that of y", _RESOLUTIONS),
        Field("y resolution", 16, Use.HONOURED, "pixels per cm", _RESOLUTIONS),
        Field("number of finger views", 8, Use.HONOURED, "the views", range(1, _MAX_VIEWS + 1)),
        Field("reserved byte", 8, Use.CHECKED, "", {0: "reserved"}),
    ),
)
VIEW_HEADER = Layout(
    "finger view header",
    (
        Field("finger position", 8, Use.HONOURED, "0 unknown, 1 right thumb, 10 left little", range(11)),
        Field("view number", 4, Use.SKIPPED, "the views come in the order of the record"),
        Field("impression type", 4, Use.HONOURED, "", _IMPRESSIONS),
        Field("finger quality", 8, Use.HONOURED, "0 to 100; 254, 255: not known, read as 0"),
        Field("number of minutiae", 8, Use.HONOURED, ""),
    ),
)
MINUTIA = Layout(
    "minutia",
    (
        Field("minutia type", 2, Use.HONOURED, "0 other, 1 ending, 2 bifurcation; 3 is refused"),
        Field("minutia x", 14, Use.HONOURED, "within the image"),
        Field("minutia reserved bits", 2, Use.CHECKED, "0"),
        Field("minutia y", 14, Use.HONOURED, "within the image"),
        Field("minutia angle", 8, Use.HONOURED, "1/256 of a full circle, counter-clockwise"),
        Field("minutia quality", 8, Use.HONOURED, "1 to 100; 0, 254, 255: not known, read as 0"),
    ),
)
EXTENDED = Layout(
    "length of the extended data",
    (Field("length of the extended data", 16, Use.HONOURED, "ridge counts, cores, deltas, zones: skipped"),),
)
LAYOUTS = (RECORD_HEADER, VIEW_HEADER, MINUTIA, EXTENDED)


@dataclass(frozen=True, slots=True)
class FingerView:
    """One finger of a record.

    `left_out`: so many minutiae of the record are not in the template, because they were a crowd, closer together than
    ridges are (models/finger/template.py).
    """

    position: Position
    template: Template
    impression: Impression = Impression.LIVE_PLAIN
    left_out: int = 0
    remarks: tuple[str, ...] = ()  # what the record says wrongly, where that changes no minutia


def to_record(views: Sequence[FingerView]) -> bytes:
    """The record of these fingers, in their order.

    TemplateError if there are none, too many, one that cannot be read, or one that the format cannot hold.
    """
    if not 0 < len(views) <= _MAX_VIEWS:
        raise TemplateError(f"{_NAME}: {len(views)} views; a record holds 1 to {_MAX_VIEWS}")
    fingers = [unpack(view.template) for view in views]
    numbers = _view_numbers(view.position for view in views)
    body = b"".join(_view_bytes(v, n, m) for v, n, m in zip(views, numbers, fingers, strict=True))
    width, height = (max(getattr(finger, side) for finger in fingers) for side in ("width", "height"))
    values = {
        "format identifier": int.from_bytes(_FORMAT, "big"),
        "version": int.from_bytes(_VERSION, "big"),
        "record length": RECORD_HEADER.size + len(body),
        "image width": width,
        "image height": height,
        "x resolution": _RESOLUTION,
        "y resolution": _RESOLUTION,
        "number of finger views": len(views),
    }
    return RECORD_HEADER.to_bytes(values) + body


def from_record(data: bytes) -> list[FingerView]:
    """The fingers of a record, at 500 ppi. TemplateError says what is wrong, with the value, and at which byte.

    Zeros after the length that the record says are padding; other bytes are refused.
    """
    reader = RecordReader(data, _NAME)
    reader.expect_identity(_FORMAT, _VERSION, _OTHER_VERSIONS)
    _refuse_ansi_378(data)
    header = RECORD_HEADER.read(reader)
    reader.end_at(header["record length"])
    size = _ImageSize(
        header["image width"], header["image height"], _factor(header["x resolution"]), _factor(header["y resolution"])
    )
    count = header["number of finger views"]
    found = [_read_view(reader, size, last=number == count) for number in range(1, count + 1)]
    reader.expect_end()
    return found


def _refuse_ansi_378(data: bytes) -> None:
    """TemplateError if the length is written as in ANSI INCITS 378-2004: in two bytes, or in six that begin with 0."""
    short, long = (int.from_bytes(data[start:end], "big") for start, end in ((8, 10), (10, 14)))
    if len(data) == (short or long):
        raise TemplateError(f"{_NAME}: this is a record of ANSI INCITS 378, whose layout differs; it is not read")


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


def _view_bytes(view: FingerView, number: int, minutiae: Minutiae) -> bytes:
    if view.position not in _POSITIONS:
        raise TemplateError(f"{_NAME}: {view.position} is not a finger")
    if not (minutiae.width and minutiae.height):
        raise TemplateError(f"{_NAME}: the image is of {minutiae.width}x{minutiae.height}; it has no pixel")
    most = int(max(minutiae.x.max(initial=0), minutiae.y.max(initial=0)))
    if most > _COORDINATE_MASK:
        raise TemplateError(f"{_NAME}: a minutia lies {most} pixels from the edge; the format holds {_COORDINATE_MASK}")
    rows = np.empty(len(minutiae), _MINUTIA)
    rows["kind_x"] = minutiae.kind.astype(np.uint16) << _COORDINATE_BITS | minutiae.x
    rows["reserved_y"] = minutiae.y
    rows["angle"] = (minutiae.direction.astype(np.uint32) + _ANGLE_STEP // 2) // _ANGLE_STEP % 256
    rows["quality"] = minutiae.qualities
    values = {
        "finger position": _POSITIONS.index(view.position),
        "view number": number,
        "impression type": view.impression,
        "finger quality": minutiae.quality,
        "number of minutiae": len(minutiae),
    }
    return VIEW_HEADER.to_bytes(values) + rows.tobytes() + EXTENDED.to_bytes({})


def _read_view(reader: RecordReader, size: _ImageSize, *, last: bool) -> FingerView:
    header = VIEW_HEADER.read(reader)
    start = reader.at
    rows = np.frombuffer(reader.take(header["number of minutiae"] * MINUTIA.size, "minutiae"), _MINUTIA)
    minutiae = _minutiae(rows, size, header, f"{_NAME}: byte {start} and on")
    (extended,) = EXTENDED.read(reader).values()
    remarks: tuple[str, ...] = ()
    if last and extended > reader.left:
        # Nothing of the fingers can be missing: the record has the length that its header says.
        remarks = (f"the extended data at byte {reader.at} say {extended} bytes, {reader.left} are left",)
        extended = reader.left
    reader.take(extended, "extended data")
    template, left_out = pack_counting(minutiae)
    return FingerView(
        _POSITIONS[header["finger position"]], template, Impression(header["impression type"]), left_out, remarks
    )


def _minutiae(rows: NDArray[np.void], size: _ImageSize, header: Values, where: str) -> Minutiae:
    x, y = rows["kind_x"] & _COORDINATE_MASK, rows["reserved_y"] & _COORDINATE_MASK
    kind, reserved = rows["kind_x"] >> _COORDINATE_BITS, rows["reserved_y"] >> _COORDINATE_BITS
    for name, values, end in (
        ("minutia x", x, size.width), ("minutia y", y, size.height), ("minutia type", kind, len(Kind)),
        ("minutia reserved bits", reserved, 1),
    ):  # fmt: skip
        _expect(where, name, values, values < end, f"0 to {end - 1}")
    quality = np.array([header["finger quality"]], np.uint8)
    width, height = _scaled(size.width, size.x_factor), _scaled(size.height, size.y_factor)
    return Minutiae(
        width=int(width),
        height=int(height),
        quality=int(_known(where, "finger quality", quality)[0]),
        x=np.minimum(_scaled(x, size.x_factor), width - 1).astype(np.uint16),
        y=np.minimum(_scaled(y, size.y_factor), height - 1).astype(np.uint16),
        direction=_directions(rows["angle"], size),
        kind=kind.astype(np.uint8),
        qualities=_known(where, "minutia quality", rows["quality"]),
    )


def _directions(angles: NDArray[np.uint8], size: _ImageSize) -> NDArray[np.uint16]:
    """The directions at 500 ppi. Where x and y have different resolutions, they turn with the pixels."""
    exact = angles.astype(np.uint16) * np.uint16(_ANGLE_STEP)
    if size.x_factor == size.y_factor:
        return exact
    turns = exact * (2 * np.pi / TURN)
    scaled = np.arctan2(np.sin(turns) * size.y_factor, np.cos(turns) * size.x_factor)
    directions: NDArray[np.uint16] = (np.round(scaled * (TURN / (2 * np.pi))) % TURN).astype(np.uint16)
    return directions


def _known(where: str, name: str, quality: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The qualities, with 0 for the unknown values of later editions. TemplateError names a field of another value."""
    unknown = np.isin(quality, _UNKNOWN_QUALITIES)
    said = " or ".join(map(str, _UNKNOWN_QUALITIES))
    _expect(where, name, quality, unknown | (quality <= MAX_QUALITY), f"0 to {MAX_QUALITY}, or {said} (not known)")
    return np.where(unknown, 0, quality).astype(np.uint8)


def _expect(where: str, name: str, values: NDArray[np.integer], right: NDArray[np.bool_], accepted: str) -> None:
    """TemplateError names the first value that is wrong, and of which minutia it is."""
    if not right.all():
        number = int(np.argmin(right))
        of = f" of minutia {number + 1}" if name.startswith("minutia") else ""
        raise TemplateError(f"{where}: {name}{of} is {values[number]}; {accepted} are accepted")


def _scaled(pixels: int | NDArray[np.integer], factor: float) -> NDArray[np.float64]:
    """Pixels at 500 ppi, rounded."""
    rounded: NDArray[np.float64] = np.round(np.asarray(pixels, float) * factor)
    return rounded
