"""Reads image files, and turns one of a finger into what a sensor of given size and resolution would capture."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from scipy import ndimage

Grey = NDArray[np.uint8]
Mask = NDArray[np.bool_]

WHITE = 255
DEEP_MODES = ("I", "F")  # the modes of Pillow (I, I;16, F) that hold more than 8 bits
MAX_SIDE = 5000  # pixels per side: an image of four fingers at 1000 ppi has 3200
PPI_RANGE = (50, 5000)  # of image files; a number outside is probably a size, not a resolution
WINDOW_INCH = 0.032  # local contrast is measured over about two ridge periods (of 0.5 mm)
CONTRAST_SHARE = 0.3  # of the strong contrast (95th percentile): ridges have more
MIN_CONTRAST = 8.0  # standard deviation in grey levels; less is never a ridge


class ImageFileError(ValueError):
    """The image file cannot be used. The message names it and says what to do."""


def load_image(path: Path, width: int, height: int, ppi: float, source_ppi: float = 500) -> Grey:
    """The finger in `path` as u8[height, width] at `ppi`: grey, resampled, cropped or padded around its foreground."""
    low, high = PPI_RANGE
    if not low <= source_ppi <= high:
        raise ImageFileError(f"the resolution of {path} must be {low} to {high} ppi, not {source_ppi:g}")
    image, scale = read_grey(path), ppi / source_ppi
    _check_size(path, (round(image.shape[1] * scale), round(image.shape[0] * scale)), f" at {ppi:g} ppi")
    return crop_or_pad(resample(image, scale), width, height, ppi)


def read_grey(path: Path) -> Grey:
    """A PNG, JPEG, BMP or TIFF file of any depth as u8[h, w]: its first page, with white where it is transparent."""
    try:
        with Image.open(path) as opened:
            _check_size(path, opened.size)
            return _grey(ImageOps.exif_transpose(opened))
    except FileNotFoundError:
        raise ImageFileError(f"there is no file {path}: check the path") from None
    except IsADirectoryError:
        raise ImageFileError(f"{path} is a folder: name one image in it") from None
    except UnidentifiedImageError:
        raise ImageFileError(f"{path} is not a readable image: give a PNG, JPEG, BMP or TIFF file") from None
    except ImageFileError:
        raise
    except Exception as error:
        # Pillow's decoders raise many exceptions for damaged files: SyntaxError, struct.error, KeyError ...
        raise ImageFileError(f"{path} cannot be read ({error}): save it again as PNG") from error


def _check_size(path: Path, size: tuple[int, int], where: str = "") -> None:
    if max(size) > MAX_SIDE:
        sides = f"{size[0]}x{size[1]}{where}"
        raise ImageFileError(f"{path} is {sides}: crop it to one finger, at most {MAX_SIDE} pixels per side")


def _grey(opened: Image.Image) -> Grey:
    if opened.mode.startswith(DEEP_MODES):
        return _eight_bits(np.nan_to_num(np.asarray(opened, np.float64)))
    if opened.has_transparency_data:
        transparent = opened.convert("RGBA")
        opened = Image.alpha_composite(Image.new("RGBA", transparent.size, "white"), transparent)
    return np.array(opened.convert("L"), np.uint8)


def _eight_bits(deep: NDArray[np.float64]) -> Grey:
    """8 bits from 16 bits, from 8 bits in a wide mode, or from values of 0 to 1: the largest value tells which."""
    top = next((top for top in (1.0, 255.0, 65535.0) if deep.max() <= top), deep.max())
    return np.asarray(np.rint(np.clip(deep / top, 0, 1) * 255), np.uint8)


def resample(image: Grey, scale: float) -> Grey:
    """The same image at `scale` times the resolution."""
    height, width = image.shape
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if size == (width, height):
        return image
    return np.array(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS), np.uint8)


def foreground(image: Grey, ppi: float = 500) -> Mask:
    """Where the ridges are: the largest area of strong local contrast. All False if there is none."""
    window = max(3, round(WINDOW_INCH * ppi) | 1)
    grey = image.astype(np.float64)
    mean = ndimage.uniform_filter(grey, window)
    contrast = np.sqrt(np.maximum(ndimage.uniform_filter(grey**2, window) - mean**2, 0))
    mask = contrast > max(MIN_CONTRAST, CONTRAST_SHARE * np.percentile(contrast, 95))
    areas, count = ndimage.label(mask)
    if count == 0:
        return np.zeros(image.shape, np.bool_)
    return np.asarray(areas == 1 + np.argmax(np.bincount(areas.ravel())[1:]), np.bool_)


def crop_or_pad(image: Grey, width: int, height: int, ppi: float = 500) -> Grey:
    """u8[height, width] around the centre of the foreground. Padding is as bright as the background of the image."""
    mask = foreground(image, ppi)
    canvas = np.full((height, width), _background(image, mask), np.uint8)
    top = _window_start(np.any(mask, axis=1), height)
    left = _window_start(np.any(mask, axis=0), width)
    source = image[max(0, top) : top + height, max(0, left) : left + width]
    down, right = max(0, -top), max(0, -left)
    canvas[down : down + source.shape[0], right : right + source.shape[1]] = source
    return canvas


def _background(image: Grey, mask: Mask) -> int:
    """The brightness of the background. Ignores smudges and drawn frames: they are as dark as the ridges."""
    ridges = image[mask]
    empty = image[~mask & (image > (ridges.mean() if ridges.size else 0))]
    return int(np.median(empty)) if empty.size else WHITE


def _window_start(covered: Mask, size: int) -> int:
    """The start, on one axis, of a window of `size` that is centred on `covered` and leaves no image pixels unused."""
    where = np.flatnonzero(covered)
    centre = (where[0] + where[-1] + 1) / 2 if where.size else covered.size / 2
    spare = covered.size - size
    return int(np.clip(round(centre - size / 2), min(0, spare), max(0, spare)))
