"""Writes and reads ISO/IEC 19794-6:2011 iris image records, for exchange with a hub.

The kiosk never writes them on its own. Big-endian: a record header; for each eye a representation header, quality
blocks, an image header and the image. The tables below have every field and what we do with it; models/README.md shows
them to people.

Grey images of 8 bits: written as PNG or lossless JPEG 2000, read as raw, PNG or JPEG 2000, also from 24 bits of colour.
A flipped image is turned upright, with the location of its iris. The caller masks an image. Refused: certification
data, the older layout of 2005, a roll that the comparison does not cover. The layout is the one that NIST's libbiomeval
(public domain) and MOSIP's bio-utils read, and the records of both are read here; the standard itself was not
available.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from drivers.sample import Position
from models.exchange.fields import Field, Layout, Use, Values
from models.exchange.pictures import PictureFormat, decoded, encoded
from models.exchange.record_reader import RecordReader
from models.iris.segmentation.geometry import Boundary
from models.template import TemplateError

VGA_SIZE = (640, 480)
MARGIN_X, MARGIN_Y = 0.6, 0.2  # around the iris in a cropped image, in iris radii
MAX_VIEWS_OF_A_PERSON = 16  # blank images of a few bytes must not fill the memory
MAX_SIDE = 2048  # pixels: three times what an eye that fills the image needs; limits the memory that a record can take
MAX_ROLL_DEGREES = 24  # to both sides: the shifts of a comparison (models/iris/template.py) cover no more

_NAME = "ISO/IEC 19794-6"
_FORMAT, _VERSION = b"IIR\0", b"020\0"
_OTHER_VERSIONS = {b"010\0": "the layout of 2005, which is not read"}
_NO_SHORT, _NO_TIME = 0xFFFF, 0xFF  # of year and millisecond; of the others
_NO_SCORE = 101  # this value and above: not computed, or failed
_NO_ANGLE = 0xFFFF
_TURN = 0x1_0000  # units of a roll angle in a full circle
_DEPTHS = {8: "grey", 24: "colour"}
_EYES = (Position.UNKNOWN, Position.RIGHT_EYE, Position.LEFT_EYE)


class ImageType(IntEnum):
    """The type of an image."""

    UNCROPPED = 1
    VGA = 2
    CROPPED = 3
    CROPPED_AND_MASKED = 7


_NORMAL, _FLIPPED = 1, 2
_ORIENTATIONS = {0: "undefined, read as normal", _NORMAL: "normal", _FLIPPED: "flipped"}
_HISTORY_OF_LOSSY = {None: 0, False: 1, True: 2}
_LOSSY_OF_HISTORY = {history: lossy for lossy, history in _HISTORY_OF_LOSSY.items()}


def _location_fields() -> tuple[Field, ...]:
    names = [f"{limit} {what}" for what in ("iris centre x", "iris centre y", "iris diameter") for limit in _LIMITS]
    return tuple(Field(name, 16, Use.HONOURED, "the mean of both is the location; 0: not assigned") for name in names)


_LIMITS = ("smallest", "largest")
RECORD_HEADER = Layout(
    "header",
    (
        Field("format identifier", 32, Use.CHECKED, "IIR"),
        Field("version", 32, Use.CHECKED, "020, the edition of 2011"),
        Field("record length", 32, Use.CHECKED, "only zeros may follow"),
        Field("number of representations", 16, Use.HONOURED, "the views", range(1, MAX_VIEWS_OF_A_PERSON + 1)),
        Field("certification flag", 8, Use.CHECKED, "certification data are not read", {0: "no certification data"}),
        Field("number of eyes", 8, Use.SKIPPED, "each view says its own", {0: "unknown", 1: "one eye", 2: "both eyes"}),
    ),
)
REPRESENTATION = Layout(
    "representation header",
    (
        Field("representation length", 32, Use.SKIPPED, "what follows says it too; another length is a remark"),
        Field("year", 16, Use.HONOURED, "unassigned, or all of them 0: no time of capture"),
        Field("month", 8, Use.HONOURED, "unassigned: no time of capture"),
        Field("day", 8, Use.HONOURED, "unassigned: no time of capture"),
        Field("hour", 8, Use.HONOURED, "unassigned: no time of capture"),
        Field("minute", 8, Use.HONOURED, "unassigned: no time of capture"),
        Field("second", 8, Use.HONOURED, "unassigned: no time of capture"),
        Field("millisecond", 16, Use.HONOURED, "unassigned: 0"),
        Field("capture device technology", 8, Use.SKIPPED, "0 unknown, 1 CMOS or CCD"),
        Field("capture device vendor", 16, Use.SKIPPED, ""),
        Field("capture device type", 16, Use.SKIPPED, ""),
        Field("number of quality blocks", 8, Use.HONOURED, ""),
    ),
)
QUALITY_BLOCK = Layout(
    "quality block",
    (
        Field("quality score", 8, Use.HONOURED, "the first of 0 to 100; above: not computed"),
        Field("quality vendor", 16, Use.SKIPPED, ""),
        Field("quality algorithm", 16, Use.SKIPPED, ""),
    ),
)
IMAGE_HEADER = Layout(
    "image header",
    (
        Field("representation number", 16, Use.SKIPPED, "the views come in the order of the record"),
        Field("eye", 8, Use.HONOURED, "the position", {0: "unknown", 1: "right", 2: "left"}),
        Field("image type", 8, Use.HONOURED, "", {t.value: t.name.lower().replace("_", " ") for t in ImageType}),
        Field("image format", 8, Use.HONOURED, "", {2: "raw", 10: "JPEG 2000", 14: "PNG"}),
        # The byte "image properties", from its highest bits on.
        Field("compression history", 2, Use.HONOURED, "lossy", {0: "undefined", 1: "lossless", 2: "lossy"}),
        Field("reserved bits", 2, Use.CHECKED, "the scan type of the edition of 2005", {0: "reserved"}),
        Field("vertical orientation", 2, Use.HONOURED, "a flipped image is turned upright", _ORIENTATIONS),
        Field("horizontal orientation", 2, Use.HONOURED, "a flipped image is mirrored back", _ORIENTATIONS),
        Field("image width", 16, Use.HONOURED, "that of the picture itself", range(1, MAX_SIDE + 1)),
        Field("image height", 16, Use.HONOURED, "that of the picture itself", range(1, MAX_SIDE + 1)),
        Field("bit depth", 8, Use.CHECKED, "the picture itself says which", _DEPTHS),
        Field("range", 16, Use.SKIPPED, "millimetres from lens to eye"),
        Field("roll angle", 16, Use.CHECKED, f"up to {MAX_ROLL_DEGREES} degrees, or undefined"),
        Field("roll angle uncertainty", 16, Use.SKIPPED, ""),
        *_location_fields(),
        Field("image length", 32, Use.HONOURED, ""),
    ),
)
LAYOUTS = (RECORD_HEADER, REPRESENTATION, QUALITY_BLOCK, IMAGE_HEADER)


@dataclass(frozen=True, slots=True)
class IrisLocation:
    """The centre and diameter of the iris, in pixels of the image; each at least 1."""

    x: int
    y: int
    diameter: int


@dataclass(frozen=True, slots=True, eq=False)
class IrisView:
    """One eye of a record. `image` is u8[h, w], upright; `quality` 0..100.

    `lossy` says whether the image was ever compressed with loss; None if that is not known. `coloured`: the picture of
    the record is in colour and `image` is its luma; irises are compared in near infrared, so expect lower scores.
    """

    position: Position
    kind: ImageType
    image: NDArray[np.uint8] = field(repr=False)
    captured_at: datetime | None = None
    quality: int | None = None
    location: IrisLocation | None = None
    lossy: bool | None = False
    coloured: bool = False
    remarks: tuple[str, ...] = ()  # what the record says wrongly, where that changes nothing


def cropped(image: NDArray[np.uint8], limbus: Boundary) -> tuple[NDArray[np.uint8], IrisLocation]:
    """The image cropped to the iris and its margins, and the iris in it. Outside the image, its edge is repeated."""
    radius = limbus.mean_radius
    half_x, half_y = round((1 + MARGIN_X) * radius), round((1 + MARGIN_Y) * radius)
    rows = np.clip(np.arange(-half_y, half_y + 1) + round(limbus.y), 0, image.shape[0] - 1)
    columns = np.clip(np.arange(-half_x, half_x + 1) + round(limbus.x), 0, image.shape[1] - 1)
    return image[np.ix_(rows, columns)], IrisLocation(half_x, half_y, round(2 * radius))


def to_record(views: Sequence[IrisView], form: PictureFormat = PictureFormat.PNG) -> bytes:
    """The record of these eyes, in their order. TemplateError if there are none, too many, or an unsupported one.

    All formats are without loss. Some readers accept only JPEG 2000, which takes much longer to read than PNG.
    """
    if not 0 < len(views) <= MAX_VIEWS_OF_A_PERSON:
        raise TemplateError(f"{_NAME}: {len(views)} views; a record holds 1 to {MAX_VIEWS_OF_A_PERSON}")
    body = b"".join(_view_bytes(number, view, form) for number, view in enumerate(views, 1))
    values = {
        "format identifier": int.from_bytes(_FORMAT, "big"),
        "version": int.from_bytes(_VERSION, "big"),
        "record length": RECORD_HEADER.size + len(body),
        "number of representations": len(views),
        "number of eyes": len({view.position for view in views} - {Position.UNKNOWN}),
    }
    return RECORD_HEADER.to_bytes(values) + body


def from_record(data: bytes) -> list[IrisView]:
    """The eyes of a record, upright. TemplateError says what is wrong, with the value, and at which byte.

    Zeros after the length that the record says are padding; other bytes are refused.
    """
    reader = RecordReader(data, _NAME)
    reader.expect_identity(_FORMAT, _VERSION, _OTHER_VERSIONS)
    header = RECORD_HEADER.read(reader)
    reader.end_at(header["record length"])
    found = [_read_view(reader) for _ in range(header["number of representations"])]
    reader.expect_end()
    return found


def _view_bytes(number: int, view: IrisView, form: PictureFormat) -> bytes:
    _check(view)
    height, width = view.image.shape
    picture = encoded(form, view.image)
    values = {
        "representation number": number,
        "eye": _EYES.index(view.position),
        "image type": view.kind,
        "image format": form,
        "compression history": _HISTORY_OF_LOSSY[view.lossy],
        "vertical orientation": _NORMAL,
        "horizontal orientation": _NORMAL,
        "image width": width,
        "image height": height,
        "bit depth": 8,
        "roll angle": _NO_ANGLE,
        "roll angle uncertainty": _NO_ANGLE,
        "image length": len(picture),
        **_location_values(view.location),
    }
    quality = b"" if view.quality is None else QUALITY_BLOCK.to_bytes({"quality score": view.quality})
    image = quality + IMAGE_HEADER.to_bytes(values) + picture
    head = {
        "representation length": REPRESENTATION.size + len(image),
        **_time_values(view.captured_at),
        "number of quality blocks": 1 if quality else 0,
    }
    return REPRESENTATION.to_bytes(head) + image


def _check(view: IrisView) -> None:
    if view.image.ndim != 2 or view.image.dtype != np.uint8:
        raise TemplateError(f"{_NAME}: an image is u8[h, w], not {view.image.dtype} of shape {view.image.shape}")
    height, width = view.image.shape
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise TemplateError(f"{_NAME}: an image of {width}x{height}; sides are 1 to {MAX_SIDE}")
    _check_size(view.kind, width, height)
    if view.position not in _EYES:
        raise TemplateError(f"{_NAME}: {view.position} is not an eye")
    if view.quality is not None and not 0 <= view.quality < _NO_SCORE:
        raise TemplateError(f"{_NAME}: quality {view.quality} is out of range (0 to 100)")
    if view.location and not (
        0 < view.location.x < width and 0 < view.location.y < height and 0 < view.location.diameter < 2**16
    ):
        raise TemplateError(f"{_NAME}: the iris at {view.location} lies outside of the image of {width}x{height}")


def _check_size(kind: ImageType, width: int, height: int) -> None:
    if kind is ImageType.VGA and (width, height) != VGA_SIZE:
        raise TemplateError(f"{_NAME}: a VGA image is {VGA_SIZE[0]}x{VGA_SIZE[1]}, not {width}x{height}")


def _time_values(when: datetime | None) -> Mapping[str, int]:
    names = ("year", "month", "day", "hour", "minute", "second", "millisecond")
    if when is None:
        return dict(zip(names, (_NO_SHORT, *[_NO_TIME] * 5, _NO_SHORT), strict=True))
    if when.utcoffset() is None:
        raise TemplateError(f"{_NAME}: captured_at {when} has no time zone; it must be an aware datetime")
    at = when.astimezone(UTC)
    values = (at.year, at.month, at.day, at.hour, at.minute, at.second, at.microsecond // 1000)
    return dict(zip(names, values, strict=True))


def _location_values(location: IrisLocation | None) -> Mapping[str, int]:
    location = location or IrisLocation(0, 0, 0)
    values = {"iris centre x": location.x, "iris centre y": location.y, "iris diameter": location.diameter}
    return {f"{limit} {what}": value for what, value in values.items() for limit in _LIMITS}


def _read_view(reader: RecordReader) -> IrisView:
    start = reader.at
    head = REPRESENTATION.read(reader)
    when = _captured_at(head)
    scores = [QUALITY_BLOCK.read(reader)["quality score"] for _ in range(head["number of quality blocks"])]
    image = IMAGE_HEADER.read(reader)
    width, height, kind = image["image width"], image["image height"], ImageType(image["image type"])
    _check_size(kind, width, height)
    _check_roll(image["roll angle"])
    location = _location(image, width, height)
    data = reader.take(image["image length"], "image")
    length, taken = head["representation length"], reader.at - start
    remarks = () if taken == length else (f"the representation at byte {start} says {length} bytes, it has {taken}",)
    try:
        picture = decoded(PictureFormat(image["image format"]), data, width, height)
    except TemplateError as error:
        raise TemplateError(f"{_NAME}: byte {reader.at - len(data)}: {error}") from error
    pixels = picture.image
    if image["horizontal orientation"] == _FLIPPED:
        pixels, location = (
            pixels[:, ::-1],
            location and IrisLocation(width - 1 - location.x, location.y, location.diameter),
        )
    if image["vertical orientation"] == _FLIPPED:
        pixels, location = (
            pixels[::-1],
            location and IrisLocation(location.x, height - 1 - location.y, location.diameter),
        )
    lossy = True if picture.lossy else _LOSSY_OF_HISTORY[image["compression history"]]
    quality = next((score for score in scores if score < _NO_SCORE), None)
    position = _EYES[image["eye"]]
    upright = np.ascontiguousarray(pixels)
    return IrisView(position, kind, upright, when, quality, location, lossy, picture.coloured, remarks)


def _captured_at(head: Values) -> datetime | None:
    """The time of capture; None if a part is unassigned: a date alone is not a point in time."""
    names = ("year", "month", "day", "hour", "minute", "second")
    values = [head[name] for name in names]
    year, month, day, hour, minute, second = values
    if year == _NO_SHORT or _NO_TIME in values[1:] or not any((*values, head["millisecond"])):
        return None
    millisecond = 0 if head["millisecond"] == _NO_SHORT else head["millisecond"]
    try:
        return datetime(year, month, day, hour, minute, second, 1000 * millisecond, UTC)
    except ValueError as error:
        said = ", ".join(f"{name} {head[name]}" for name in (*names, "millisecond"))
        raise TemplateError(f"{_NAME}: no such date and time: {said} ({error})") from error


def _check_roll(angle: int) -> None:
    degrees = 360 * (angle if angle < _TURN // 2 else angle - _TURN) / _TURN
    if angle != _NO_ANGLE and abs(degrees) > MAX_ROLL_DEGREES:
        most = f"irises are compared up to {MAX_ROLL_DEGREES} degrees from upright"
        raise TemplateError(f"{_NAME}: the roll angle is {angle}, {degrees:.1f} degrees; {most}")


def _location(image: Values, width: int, height: int) -> IrisLocation | None:
    """The means of the smallest and largest values; None if one is not assigned."""
    means = []
    for what in ("iris centre x", "iris centre y", "iris diameter"):
        smallest, largest = (image[f"{limit} {what}"] for limit in _LIMITS)
        if smallest and largest and smallest > largest:
            raise TemplateError(f"{_NAME}: the smallest {what} is {smallest}, above the largest, {largest}")
        means.append((smallest + largest) // 2 if smallest and largest else 0)
    if not all(means):
        return None
    x, y, diameter = means
    if x >= width or y >= height:
        raise TemplateError(f"{_NAME}: the iris centre {x}, {y} lies outside of the image of {width}x{height}")
    return IrisLocation(x, y, diameter)
