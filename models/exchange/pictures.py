"""The pictures in records: raw, PNG or JPEG 2000. Their headers are checked first, so that a record fills no memory."""

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

from models.exchange.jpeg2000 import checked_jpeg2000
from models.exchange.png import checked_png
from models.template import TemplateError

MAX_LEVELS = 5  # of the wavelet that we write


class PictureFormat(IntEnum):
    """The formats of a picture, by their numbers in ISO/IEC 19794-6:2011."""

    RAW = 2
    JPEG_2000 = 10
    PNG = 14


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A decoded picture, u8[h, w]. `coloured`: it was in colour. `lossy`: its own compression loses something."""

    image: NDArray[np.uint8] = field(repr=False)
    coloured: bool = False
    lossy: bool = False


def decoded(form: PictureFormat, data: bytes, width: int, height: int) -> Picture:
    """The picture in grey; of colours the luma of ITU-R BT.601. TemplateError unless it is one of this size.

    Memory: at most 20 times width * height, whatever the bytes say.
    """
    return _DECODERS[form](data, width, height)


def encoded(form: PictureFormat, image: NDArray[np.uint8]) -> bytes:
    """The bytes of a picture, u8[h, w], without loss. TemplateError if this Pillow cannot write JPEG 2000."""
    if form is PictureFormat.RAW:
        return image.tobytes()
    file = io.BytesIO()
    if form is PictureFormat.PNG:
        Image.fromarray(image).save(file, "PNG")
    else:
        _expect_jpeg2000()
        levels = min(MAX_LEVELS, min(image.shape).bit_length() - 1)
        Image.fromarray(image).save(file, "JPEG2000", irreversible=False, num_resolutions=levels + 1)
    return file.getvalue()


def _from_raw(data: bytes, width: int, height: int) -> Picture:
    if len(data) != width * height:
        raise TemplateError(f"the raw image has {len(data)} bytes, {width}x{height} pixels take {width * height}")
    return Picture(np.frombuffer(data, np.uint8).reshape(height, width).copy())


def _from_png(data: bytes, width: int, height: int) -> Picture:
    return _decode(checked_png(data, width, height), "PNG", "PNG", width, height)


def _from_jpeg2000(data: bytes, width: int, height: int) -> Picture:
    stream = checked_jpeg2000(data, width, height)
    _expect_jpeg2000()
    made = _decode(stream.data, "JPEG2000", "JPEG 2000", width, height)
    return Picture(made.image, made.coloured, lossy=not stream.reversible)


def _expect_jpeg2000() -> None:
    if not features.check("jpg_2000"):
        raise TemplateError("the installed Pillow has no JPEG 2000; install the one from PyPI")


def _decode(data: bytes, plugin: str, name: str, width: int, height: int) -> Picture:
    """A picture whose header was checked. The decoder may still fail on its pixels, with any of its many errors."""
    try:
        with Image.open(io.BytesIO(data), formats=[plugin]) as picture:
            if (picture.size, picture.mode in ("L", "RGB")) != ((width, height), True):
                message = f"the {name} image is decoded as {picture.mode} of {picture.size}"
                raise TemplateError(message)  # noqa: TRY301 - beside what it is about
            pixels = np.array(picture)
            if pixels.ndim == 2:
                return Picture(pixels)
            first = pixels[:, :, 0]
            if (pixels == first[:, :, np.newaxis]).all():
                return Picture(first.copy())
            return Picture(np.array(picture.convert("L")), coloured=True)
    except TemplateError:
        raise
    except Exception as error:
        raise TemplateError(f"the {name} image cannot be decoded: {type(error).__name__}") from error


_DECODERS: dict[PictureFormat, Callable[[bytes, int, int], Picture]] = {
    PictureFormat.RAW: _from_raw,
    PictureFormat.PNG: _from_png,
    PictureFormat.JPEG_2000: _from_jpeg2000,
}
