"""Reads a picture file as the grey levels of a sample, with square pixels, and the resolution that the file states.

Colour becomes grey by ITU-R BT.601. Gamma and colour profiles are not applied. What is transparent is white. A picture
that Exif says is turned or mirrored is turned back. Of several pages the first one is read.
"""

import stat
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from simulators.pictures.errors import Fault, ImageFileError, Note, Subject
from simulators.pictures.formats import PNM, TIFF, Format, format_of, opened
from simulators.pictures.levels import Depth, Grey, Levels, check_colour, eight_bits
from simulators.pictures.pnm import USUAL, Header, depth, values
from simulators.pictures.resolution import Stated, check_oblong, finger_resolution, stated_by
from simulators.pictures.stated_depth import DEEP, deep_values, depth_of, wide_colours

MAX_SIDE = 5000  # pixels per side: an image of four fingers at 1000 ppi has 3200
MAX_BYTES = 1 << 28  # of a file: a picture of that size with 64 bits per pixel has 200 million
_PREMULTIPLIED = {"La": "LA", "RGBa": "RGBA"}  # modes of Pillow whose colours must be divided by their opacity
_TURNED = range(5, 9)  # values of the Exif orientation that exchange x and y
_ORIENTATION = 0x0112


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """The grey levels u8[h, w] of a picture, what the file states of its resolution, and what is worth a note."""

    grey: Grey
    stated: Stated | None = None
    notes: tuple[Note, ...] = ()


def read_picture(path: Path) -> Picture:
    """The picture in a file of any depth. ImageFileError names the file and the reason.

    Its pixels are as the file has them, perhaps oblong: see `squared`.
    """
    return picture_in(_bytes_of(path), str(path))


def picture_in(data: bytes, name: str) -> Picture:
    """The picture in the bytes of the file `name`, which need not exist. ImageFileError as for `read_picture`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow, about tags of TIFF files: what it cannot read, it raises
            return _decoded(data, format_of(data, name), name)
    except ImageFileError:
        raise
    except MemoryError:
        raise ImageFileError(
            f"{name} needs more memory than there is: save it again smaller", Fault.TOO_LARGE
        ) from None
    except Exception as error:
        # Pillow's decoders raise many exceptions for damaged files: SyntaxError, struct.error, KeyError ...
        raise ImageFileError(f"{name} cannot be read ({error}): save it again as PNG", Fault.DAMAGED) from error


def read_grey(path: Path) -> Grey:
    """The grey levels u8[h, w] of a file, with square pixels. ImageFileError names the file and the reason."""
    return squared(read_picture(path), str(path)).grey


@dataclass(frozen=True, slots=True, eq=False)
class Finger:
    """The grey levels u8[h, w] of a fingerprint, with square pixels, its resolution, and what is worth a note."""

    grey: Grey
    pixels_per_inch: float
    notes: tuple[Note, ...] = ()


def read_finger(path: Path, given: float | None = None) -> Finger:
    """The fingerprint in a file at `given` pixels per inch; None: at what the file states, else 500. ImageFileError."""
    picture = read_picture(path)
    pixels_per_inch, notes = finger_resolution(picture.stated, given, str(path))
    square = squared(picture, str(path))
    return Finger(square.grey, pixels_per_inch, (*square.notes, *notes))


def squared(picture: Picture, name: str) -> Picture:
    """The picture with square pixels, as fine as the finer side of its own. ImageFileError if it becomes too large."""
    stated = picture.stated
    if stated is None or stated.square:
        return picture
    check_oblong(stated, name)
    height, width = picture.grey.shape
    size = round(width * stated.finest / stated.x), round(height * stated.finest / stated.y)
    check_size(name, size, " with square pixels")
    grey = np.array(Image.fromarray(picture.grey).resize(size, Image.Resampling.LANCZOS), np.uint8)
    note = Note(Subject.NOT_SQUARE, f"{stated.text()}, as the file states: resampled to square pixels")
    square = Stated(stated.finest, stated.finest, absolute=True) if stated.absolute else None
    return Picture(grey, square, (*picture.notes, note))


def check_size(name: str, size: tuple[int, int], where: str = "") -> None:
    """ImageFileError if a picture of (width, height) is larger than any that is read."""
    if max(size) > MAX_SIDE:
        sides = f"{size[0]}x{size[1]}{where}"
        raise ImageFileError(
            f"{name} is {sides}: crop it to one finger or eye, at most {MAX_SIDE} pixels per side", Fault.TOO_LARGE
        )


def _bytes_of(path: Path) -> bytes:
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            kind = "a folder" if stat.S_ISDIR(about.st_mode) else "not a file"
            raise ImageFileError(f"{path} is {kind}: name one image", Fault.NO_FILE)
        if about.st_size > MAX_BYTES:
            raise ImageFileError(
                f"{path} has {about.st_size} bytes: save it again with at most {MAX_BYTES}", Fault.TOO_LARGE
            )
        with path.open("rb") as file:
            data = file.read(MAX_BYTES)
    except FileNotFoundError:
        raise ImageFileError(f"there is no file {path}: check the path", Fault.MISSING) from None
    except PermissionError:
        raise ImageFileError(
            f"{path} must not be read by this account: give it permission", Fault.NO_PERMISSION
        ) from None
    except (OSError, ValueError) as error:
        if isinstance(error, ImageFileError):
            raise
        raise ImageFileError(f"{path} cannot be opened ({error}): check the path", Fault.NO_ACCESS) from error
    if not data:
        raise ImageFileError(f"{path} is an empty file: copy it again", Fault.EMPTY_FILE)
    return data


def _decoded(data: bytes, form: Format, name: str) -> Picture:
    if form is PNM and data[:2] in (b"P2", b"P3", b"P5", b"P6"):
        header = Header(data, name)
        check_size(name, (header.width, header.height))
        if header.white != USUAL:
            return Picture(eight_bits(values(data, header, name), depth(header), name).grey)
    image = opened(data, form, name)
    check_size(name, image.size)
    # First what is known only before the picture is decoded, which may happen when its Exif tags are read.
    depth_stated, wide = depth_of(image, data, form, name), wide_colours(image, data, form)
    stated, notes = stated_by(image), _notes(image)
    upright, turned = _upright(image, form)
    levels = _levels(upright, depth_stated, name)
    if wide:
        check_colour(levels.grey, name)
    if levels.no_numbers:
        notes += (Note(Subject.NO_NUMBERS, f"{levels.no_numbers} pixels have no finite value: NaN is taken as white"),)
    return Picture(levels.grey, stated.turned if stated and turned else stated, notes)


def _notes(image: Image.Image) -> tuple[Note, ...]:
    several = getattr(image, "is_animated", False)
    return (Note(Subject.PAGES, "the file has several pages, of which the first is used"),) if several else ()


def _upright(image: Image.Image, form: Format) -> tuple[Image.Image, bool]:
    """The picture as it is to be seen, and whether x and y are exchanged. Decodes it; Pillow turns TIFF itself then."""
    turned = image.getexif().get(_ORIENTATION) in _TURNED
    image.load()
    if form is TIFF:
        return image, turned
    return ImageOps.exif_transpose(image), turned


def _levels(image: Image.Image, stated: Depth, name: str) -> Levels:
    if image.mode.startswith(DEEP):
        return eight_bits(deep_values(image), stated, name)
    image = image.convert(_PREMULTIPLIED[image.mode]) if image.mode in _PREMULTIPLIED else image
    if image.has_transparency_data:
        transparent = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", transparent.size, "white"), transparent)
    return Levels(np.array(image.convert("L"), np.uint8))
