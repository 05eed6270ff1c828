"""Writes and reads ISO/IEC 19794-6:2011 iris image records, for exchange with a hub.

The kiosk never writes them on its own. Big-endian: a record header of 16 bytes; for each eye a representation header,
quality blocks and the image.

Supported: the types VGA, cropped, cropped and masked, and uncropped; grey images of 8 bits, written as PNG, read as
PNG or raw; eye, date and time, first quality score, iris centre and diameter. The caller masks an image. Skipped when
read, unassigned when written: device, range, roll angle, orientation, further quality scores. Rejected: JPEG 2000, the
older layout of 2005, certification data. The layout is the one that NIST's libbiomeval (public domain) reads; the
standard itself was not available.
"""

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from drivers.sample import Position
from models.exchange.record_reader import RecordReader
from models.iris.segmentation.geometry import Boundary
from models.template import TemplateError

VGA_SIZE = (640, 480)
MARGIN_X, MARGIN_Y = 0.6, 0.2  # around the iris in a cropped image, in iris radii
MAX_VIEWS_OF_A_PERSON = 16  # blank images of a few bytes must not fill the memory
MAX_SIDE = 2048  # pixels: three times what an eye that fills the image needs; limits the memory that a record can take

_NAME = "ISO/IEC 19794-6"
_FORMAT, _VERSION = b"IIR\0", b"020\0"
_HEADER = struct.Struct(">4s4sIHBB")  # format, version, length, representations, certification, eyes
_LENGTH = struct.Struct(">I")  # of a representation, its own four bytes included
_TIMESTAMP = struct.Struct(">HBBBBBH")  # year to second, millisecond
_DEVICE = struct.Struct(">BHH")  # technology, vendor, type
_COUNT = struct.Struct(">B")  # blocks of quality
_QUALITY = struct.Struct(">BHH")  # score, vendor and algorithm
_IMAGE = struct.Struct(
    ">HBBBBHHBHHHHHHHHHI"
)  # number, eye, type, format, properties, size, depth, range, roll, iris, length
_PNG_FIRST = b"\0\0\0\rIHDR"  # length and name of the first chunk of every PNG file
_PNG_SIZE = struct.Struct(">II")  # width and height, with which that chunk begins
_UNKNOWN_TIMESTAMP = b"\xff" * _TIMESTAMP.size
_NO_YEAR = 0xFFFF
_NO_TIME = 0xFF  # of hour, minute or second
_NO_SCORE = 101  # this value and above: not computed, or failed
_RAW, _PNG = 2, 14
_FORMATS = {_RAW: "raw", _PNG: "PNG"}
_UPRIGHT = 0b01_00_01_01  # normal orientation in both directions, no lossy compression
_NO_ANGLE = 0xFFFF
_EYES = (Position.UNKNOWN, Position.RIGHT_EYE, Position.LEFT_EYE)


class ImageType(IntEnum):
    """The type of an image."""

    UNCROPPED = 1
    VGA = 2
    CROPPED = 3
    CROPPED_AND_MASKED = 7


@dataclass(frozen=True, slots=True)
class IrisLocation:
    """The centre and diameter of the iris, in pixels of the image; each at least 1."""

    x: int
    y: int
    diameter: int


@dataclass(frozen=True, slots=True, eq=False)
class IrisView:
    """One eye of a record. `image` is u8[h, w]; `quality` 0..100."""

    position: Position
    kind: ImageType
    image: NDArray[np.uint8] = field(repr=False)
    captured_at: datetime | None = None
    quality: int | None = None
    location: IrisLocation | None = None


def cropped(image: NDArray[np.uint8], limbus: Boundary) -> tuple[NDArray[np.uint8], IrisLocation]:
    """The image cropped to the iris and its margins, and the iris in it. Outside the image, its edge is repeated."""
    radius = limbus.mean_radius
    half_x, half_y = round((1 + MARGIN_X) * radius), round((1 + MARGIN_Y) * radius)
    rows = np.clip(np.arange(-half_y, half_y + 1) + round(limbus.y), 0, image.shape[0] - 1)
    columns = np.clip(np.arange(-half_x, half_x + 1) + round(limbus.x), 0, image.shape[1] - 1)
    return image[np.ix_(rows, columns)], IrisLocation(half_x, half_y, round(2 * radius))


def to_record(views: Sequence[IrisView]) -> bytes:
    """The record of these eyes, in their order. TemplateError if there are none, too many, or an unsupported one."""
    if not 0 < len(views) <= MAX_VIEWS_OF_A_PERSON:
        raise TemplateError(f"{_NAME}: {len(views)} views; a record holds 1 to {MAX_VIEWS_OF_A_PERSON}")
    body = b"".join(_view_bytes(number, view) for number, view in enumerate(views, 1))
    eyes = len({view.position for view in views} - {Position.UNKNOWN})
    return _HEADER.pack(_FORMAT, _VERSION, _HEADER.size + len(body), len(views), 0, eyes) + body


def from_record(data: bytes) -> list[IrisView]:
    """The eyes of a record. TemplateError says what is wrong and at which byte."""
    reader = RecordReader(data, _NAME)
    if not data.startswith(_FORMAT + _VERSION):
        raise TemplateError(f"{_NAME}: does not begin with the identifier and version of the 2011 record format")
    _, _, length, views, certified, _ = reader.take(_HEADER, "header")
    reader.expect_length(length)
    if not views or certified:
        raise TemplateError(f"{_NAME}: the header has no view, or certification data")
    if views > MAX_VIEWS_OF_A_PERSON:
        raise TemplateError(f"{_NAME}: {views} views; at most {MAX_VIEWS_OF_A_PERSON} of a person are accepted")
    found = [_read_view(reader) for _ in range(views)]
    reader.expect_end()
    return found


def _view_bytes(number: int, view: IrisView) -> bytes:
    _check(view)
    height, width = view.image.shape
    location = view.location or IrisLocation(0, 0, 0)
    iris = (location.x, location.x, location.y, location.y, location.diameter, location.diameter)
    png = _to_png(view.image)
    head = (number, _EYES.index(view.position), view.kind, _PNG, _UPRIGHT, width, height, 8, 0, _NO_ANGLE, _NO_ANGLE)
    score = b"" if view.quality is None else _QUALITY.pack(view.quality, 0, 0)
    parts = (
        _timestamp_bytes(view.captured_at),
        _DEVICE.pack(0, 0, 0),
        _COUNT.pack(1 if score else 0) + score,
        _IMAGE.pack(*head, *iris, len(png)),
        png,
    )
    body = b"".join(parts)
    return _LENGTH.pack(_LENGTH.size + len(body)) + body


def _check(view: IrisView) -> None:
    if view.image.ndim != 2 or view.image.dtype != np.uint8:
        raise TemplateError(f"{_NAME}: an image is u8[h, w]")
    height, width = view.image.shape
    _check_size(view.kind, width, height)
    if view.position not in _EYES:
        raise TemplateError(f"{_NAME}: {view.position} is not an eye")
    if view.quality is not None and not 0 <= view.quality < _NO_SCORE:
        raise TemplateError(f"{_NAME}: quality is out of range (0 to 100)")
    if view.location and not (
        0 < view.location.x < width and 0 < view.location.y < height and 0 < view.location.diameter < 2**16
    ):
        raise TemplateError(f"{_NAME}: the iris lies outside of the image")


def _check_size(kind: ImageType, width: int, height: int) -> None:
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise TemplateError(f"{_NAME}: an image of {width}x{height}; sides are 1 to {MAX_SIDE}")
    if kind is ImageType.VGA and (width, height) != VGA_SIZE:
        raise TemplateError(f"{_NAME}: a VGA image is {VGA_SIZE[0]}x{VGA_SIZE[1]}, not {width}x{height}")


def _timestamp_bytes(when: datetime | None) -> bytes:
    if when is None:
        return _UNKNOWN_TIMESTAMP
    if when.utcoffset() is None:
        raise TemplateError(f"{_NAME}: captured_at must be an aware datetime")
    at = when.astimezone(UTC)
    return _TIMESTAMP.pack(at.year, at.month, at.day, at.hour, at.minute, at.second, at.microsecond // 1000)


def _read_view(reader: RecordReader) -> IrisView:
    start = reader.at
    (length,) = reader.take(_LENGTH, "representation length")
    when = _read_timestamp(reader)
    reader.take(_DEVICE, "device")
    quality = _read_quality(reader)
    _, eye, kind, form, _, width, height, depth, _, _, _, *iris, size = reader.take(_IMAGE, "image header")
    if eye >= len(_EYES) or kind not in list(ImageType) or form not in _FORMATS or depth != 8:
        raise TemplateError(f"{_NAME}: eye {eye}, image type {kind}, format {form} or depth {depth} is not supported")
    _check_size(ImageType(kind), width, height)
    data = reader.bytes(size, "image")
    if reader.at - start != length:
        raise TemplateError(
            f"{_NAME}: the representation at byte {start} says {length} bytes, it has {reader.at - start}"
        )
    image = _from_raw(data, width, height) if form == _RAW else _from_png(data, width, height)
    return IrisView(_EYES[eye], ImageType(kind), image, when, quality, _location(iris, width, height))


def _read_timestamp(reader: RecordReader) -> datetime | None:
    year, month, day, hour, minute, second, millisecond = reader.take(_TIMESTAMP, "date and time")
    if year == _NO_YEAR or _NO_TIME in {hour, minute, second} or millisecond == _NO_YEAR:
        return None  # a date without a time is not a point in time
    try:
        return datetime(year, month, day, hour, minute, second, 1000 * millisecond, UTC)
    except ValueError as error:
        raise TemplateError(f"{_NAME}: no such date and time: {error}") from error


def _read_quality(reader: RecordReader) -> int | None:
    (count,) = reader.take(_COUNT, "number of quality blocks")
    scores: list[int] = [reader.take(_QUALITY, "quality block")[0] for _ in range(count)]
    return next((score for score in scores if score < _NO_SCORE), None)


def _location(iris: Sequence[int], width: int, height: int) -> IrisLocation | None:
    """The means of the smallest and largest values; None if one is not assigned."""
    if not all(iris):
        return None
    x, y, diameter = ((iris[i] + iris[i + 1]) // 2 for i in (0, 2, 4))
    if x >= width or y >= height:
        raise TemplateError(f"{_NAME}: the iris lies outside of the image")
    return IrisLocation(x, y, diameter)


def _from_raw(data: bytes, width: int, height: int) -> NDArray[np.uint8]:
    if len(data) != width * height:
        raise TemplateError(f"{_NAME}: {len(data)} bytes of image, {width}x{height} pixels take {width * height}")
    return np.frombuffer(data, np.uint8).reshape(height, width).copy()


def _to_png(image: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def _from_png(data: bytes, width: int, height: int) -> NDArray[np.uint8]:
    """Decodes the image only if its header says that it is grey and has the size given in the record."""
    if data[8:24] != _PNG_FIRST + _PNG_SIZE.pack(width, height):
        raise TemplateError(f"{_NAME}: the PNG image is not of {width}x{height}")
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as png:
            fits = (png.size, png.mode) == ((width, height), "L")
            image = np.array(png) if fits else None
    except Exception as error:  # a record of another system may cause any of the many errors of the decoder
        raise TemplateError(f"{_NAME}: the PNG image cannot be read") from error
    if image is None:
        raise TemplateError(f"{_NAME}: the PNG image is not an 8-bit grey image")
    return image
