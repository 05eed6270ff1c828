"""A picture file of a finger -> what a sensor of given size and resolution would see of it."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from scipy import ndimage

Grey = NDArray[np.uint8]
Mask = NDArray[np.bool_]

WHITE = 255
DEEP_MODES = ("I", "F")  # the modes of Pillow (I, I;16, F) that hold more than 8 bits
LARGEST = 5000  # pixels a side: four fingers at 1000 ppi have 3200
PPI_RANGE = (50, 5000)  # of picture files; beyond it somebody mistook a size for a resolution
WINDOW_INCH = 0.032  # local contrast is measured over about two ridges (a ridge and its valley: 0.5 mm)
CONTRAST_SHARE = 0.3  # of the strong contrast (95th percentile): above it there are ridges
FEWEST_LEVELS = 8.0  # standard deviation in grey levels below which nothing is a ridge


class ImageFileError(ValueError):
    """The file cannot be shown to the sensor. The message names it and says what to do."""


def load_image(path: Path, width: int, height: int, ppi: float, source_ppi: float = 500) -> Grey:
    """The finger in `path` as u8[height, width] at `ppi`: grey, resampled, cropped or padded about its foreground."""
    low, high = PPI_RANGE
    if not low <= source_ppi <= high:
        raise ImageFileError(f"the resolution of {path} must be {low} to {high} ppi, not {source_ppi:g}")
    picture, scale = read_grey(path), ppi / source_ppi
    _refuse_giant(path, (round(picture.shape[1] * scale), round(picture.shape[0] * scale)), f" at {ppi:g} ppi")
    return fit(resample(picture, scale), width, height, ppi)


def read_grey(path: Path) -> Grey:
    """Any PNG, JPEG, BMP or TIFF of any depth as u8[h, w]; the first page of several, on white where it is clear."""
    try:
        with Image.open(path) as picture:
            _refuse_giant(path, picture.size)
            return _grey(ImageOps.exif_transpose(picture))
    except FileNotFoundError:
        raise ImageFileError(f"there is no file {path}: check the path") from None
    except IsADirectoryError:
        raise ImageFileError(f"{path} is a folder: name one picture in it") from None
    except UnidentifiedImageError:
        raise ImageFileError(f"{path} is no picture that can be read: give a PNG, JPEG, BMP or TIFF file") from None
    except ImageFileError:
        raise
    except Exception as error:
        # Pillow's decoders raise of everything at damaged files: SyntaxError, struct.error, KeyError ...
        raise ImageFileError(f"{path} cannot be read ({error}): save it again as PNG") from error


def _refuse_giant(path: Path, size: tuple[int, int], where: str = "") -> None:
    if max(size) > LARGEST:
        sides = f"{size[0]}x{size[1]}{where}"
        raise ImageFileError(f"{path} is {sides}: crop it to one finger, at most {LARGEST} pixels a side")


def _grey(picture: Image.Image) -> Grey:
    if picture.mode.startswith(DEEP_MODES):
        return _eight_bits(np.nan_to_num(np.asarray(picture, np.float64)))
    if picture.has_transparency_data:
        clear = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear)
    return np.array(picture.convert("L"), np.uint8)


def _eight_bits(deep: NDArray[np.float64]) -> Grey:
    """16 bits, 8 bits in a wide mode, or fractions of one: told apart by the largest value."""
    top = next((top for top in (1.0, 255.0, 65535.0) if deep.max() <= top), deep.max())
    return np.asarray(np.rint(np.clip(deep / top, 0, 1) * 255), np.uint8)


def resample(image: Grey, scale: float) -> Grey:
    """The same picture with `scale` times the resolution."""
    height, width = image.shape
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if size == (width, height):
        return image
    return np.array(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS), np.uint8)


def foreground(image: Grey, ppi: float = 500) -> Mask:
    """Where the ridges are: the largest area of strong local contrast. All False when there is none."""
    window = max(3, round(WINDOW_INCH * ppi) | 1)
    grey = image.astype(np.float64)
    mean = ndimage.uniform_filter(grey, window)
    contrast = np.sqrt(np.maximum(ndimage.uniform_filter(grey**2, window) - mean**2, 0))
    mask = contrast > max(FEWEST_LEVELS, CONTRAST_SHARE * np.percentile(contrast, 95))
    areas, count = ndimage.label(mask)
    if count == 0:
        return np.zeros(image.shape, np.bool_)
    return np.asarray(areas == 1 + np.argmax(np.bincount(areas.ravel())[1:]), np.bool_)


def fit(image: Grey, width: int, height: int, ppi: float = 500) -> Grey:
    """u8[height, width] about the centre of the foreground; beyond the picture it is as bright as its background."""
    mask = foreground(image, ppi)
    canvas = np.full((height, width), _background(image, mask), np.uint8)
    top = _start(np.any(mask, axis=1), height)
    left = _start(np.any(mask, axis=0), width)
    source = image[max(0, top) : top + height, max(0, left) : left + width]
    down, right = max(0, -top), max(0, -left)
    canvas[down : down + source.shape[0], right : right + source.shape[1]] = source
    return canvas


def _background(image: Grey, mask: Mask) -> int:
    """How bright the empty sensor is. Smudges and drawn frames lie outside the ridges too, but are as dark as they."""
    ridges = image[mask]
    empty = image[~mask & (image > (ridges.mean() if ridges.size else 0))]
    return int(np.median(empty)) if empty.size else WHITE


def _start(covered: Mask, size: int) -> int:
    """Where a window of `size` begins on an axis so that it is centred on what is covered and wastes no pixels."""
    where = np.flatnonzero(covered)
    centre = (where[0] + where[-1] + 1) / 2 if where.size else covered.size / 2
    spare = covered.size - size
    return int(np.clip(round(centre - size / 2), min(0, spare), max(0, spare)))
