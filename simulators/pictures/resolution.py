"""The resolution that a picture file states, and what it is worth.

PNG (pHYs), JPEG (JFIF, else Exif), TIFF, BMP and JPEG 2000 (capture resolution) can state one. A value that programs
write who know none (PLACEHOLDERS) is no statement, nor is a file without a unit. Anything else is taken for the
resolution of the sensor, and must then be one that a fingerprint sensor can have.
"""

import math
from typing import Any, NamedTuple

from PIL import Image

from models.finger.image import PPI_RANGE
from simulators.pictures.errors import Fault, ImageFileError, Note, Subject

UNKNOWN = 500.0  # pixels per inch of a fingerprint image whose resolution nobody states
PLACEHOLDERS = (1, 72, 96)  # pixels per inch; the last two are those of screens, which every photo editor writes
PLACEHOLDER_WIDTH = 0.6  # a whole number of pixels per metre or centimetre is so far from them at most
SAME = 0.01  # relative difference below which two resolutions are the same: a tag may be rounded
MOST_OBLONG = 4.0  # ratio of the sides of a pixel; more is taken for an error
_X, _Y, _UNIT = 0x011A, 0x011B, 0x0128  # Exif
_CM = 3


class Stated(NamedTuple):
    """Pixels along x and y: per inch, or only their ratio if not `absolute`."""

    x: float
    y: float
    absolute: bool

    @property
    def square(self) -> bool:
        """Whether both are the same."""
        return abs(self.x - self.y) <= SAME * max(self.x, self.y)

    @property
    def turned(self) -> "Stated":
        """The same of a picture turned by 90 degrees."""
        return Stated(self.y, self.x, self.absolute)

    @property
    def finest(self) -> float:
        """The higher one: that of the picture when its pixels are made square."""
        return (self.x + self.y) / 2 if self.square else max(self.x, self.y)

    def text(self) -> str:
        """For messages."""
        if self.square:
            return f"{self.finest:.4g} ppi"
        return f"{self.x:.4g} x {self.y:.4g} ppi" if self.absolute else f"oblong pixels, {self.y:.4g}:{self.x:.4g}"


def stated_by(opened: Image.Image) -> Stated | None:
    """What the tags of a picture state; None if nothing. The picture need not be decoded yet."""
    pair, absolute = _pair(opened)
    try:
        x, y = (float(value) for value in pair)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    if not (math.isfinite(x) and math.isfinite(y) and min(x, y) > 0):
        return None
    if absolute and all(_placeholder(value) for value in (x, y)):
        return None
    return Stated(x, y, absolute) if absolute or not Stated(x, y, absolute=False).square else None


def _pair(opened: Image.Image) -> tuple[Any, bool]:
    """Two numbers of any kind, and whether they are per inch."""
    info = opened.info
    if "dpi" in info:
        return info["dpi"], True
    exif = opened.getexif()
    if exif.get(_X) and exif.get(_UNIT) in (2, _CM):
        scale = 2.54 if exif[_UNIT] == _CM else 1.0
        return tuple(float(exif.get(axis, exif[_X])) * scale for axis in (_X, _Y)), True
    ratio = info.get("aspect") or info.get("resolution") or (info.get("jfif_unit") == 0 and info.get("jfif_density"))
    return ratio or (), False


def _placeholder(value: float) -> bool:
    return any(abs(value - usual) < PLACEHOLDER_WIDTH for usual in PLACEHOLDERS)


def check_oblong(stated: Stated, name: str) -> None:
    """ImageFileError if the pixels cannot be as oblong as stated."""
    if max(stated.x / stated.y, stated.y / stated.x) > MOST_OBLONG:
        raise ImageFileError(
            f"{name} states {stated.text()}, which no sensor has: correct the resolution in the file", Fault.RESOLUTION
        )


def finger_resolution(stated: Stated | None, given: float | None, name: str) -> tuple[float, tuple[Note, ...]]:
    """The pixels per inch of a fingerprint image: what is `given`, else what the file states, else 500. And its notes.

    ImageFileError if the file states an impossible one and nothing is given, or if a single number is given for oblong
    pixels.
    """
    if given is not None:
        return given, _differences(stated, given, name)
    if stated is None or not stated.absolute:
        return UNKNOWN, ()
    low, high = PPI_RANGE
    if not low <= stated.finest <= high:
        raise ImageFileError(
            f"{name} states {stated.text()}, which no fingerprint sensor has ({low:g} to {high:g}): "
            "give its true resolution, or correct it in the file",
            Fault.RESOLUTION,
        )
    if stated.square and abs(stated.finest - UNKNOWN) <= SAME * UNKNOWN:
        return stated.finest, ()
    return stated.finest, (Note(Subject.RESOLUTION_OF_FILE, f"{stated.text()}, as the file states"),)


def _differences(stated: Stated | None, given: float, name: str) -> tuple[Note, ...]:
    if stated is None:
        return ()
    if not stated.square:
        raise ImageFileError(
            f"{name} states {stated.text()}, but one resolution is given for both axes, {given:g} ppi: "
            "give none, or correct it in the file",
            Fault.RESOLUTION,
        )
    if abs(stated.finest - given) <= SAME * given:
        return ()
    return (Note(Subject.RESOLUTION_DIFFERS, f"{given:g} ppi, as given, but the file states {stated.text()}"),)
