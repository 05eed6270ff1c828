"""Turns an image of a finger into what a sensor of given size and resolution would capture."""

import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from simulators.pictures.errors import Fault, ImageFileError
from simulators.pictures.levels import Grey
from simulators.pictures.reader import check_size, read_finger

Mask = NDArray[np.bool_]

WHITE = 255
PPI_RANGE = (50, 5000)  # of image files; a number outside is probably a size, not a resolution
WINDOW_INCH = 0.032  # local contrast is measured over about two ridge periods (of 0.5 mm)
CONTRAST_SHARE = 0.3  # of the strong contrast (95th percentile): ridges have more
MIN_CONTRAST = 2.5  # standard deviation in grey levels: of ridges of 7 levels; an encoder reads no fainter ones

_log = logging.getLogger(__name__)


def load_image(path: Path, width: int, height: int, ppi: float, source_ppi: float | None = None) -> Grey:
    """The finger in `path` as u8[height, width] at `ppi`: grey, resampled, cropped or padded around its foreground.

    The resolution of the file is `source_ppi`; None: what the file states, else 500.
    """
    low, high = PPI_RANGE
    if source_ppi is not None and not low <= source_ppi <= high:
        raise ImageFileError(
            f"the resolution of {path} must be {low} to {high} ppi, not {source_ppi:g}", Fault.RESOLUTION
        )
    finger = read_finger(path, source_ppi)
    for note in finger.notes:
        _log.warning("%s: %s", path, note.text)
    scale = ppi / finger.pixels_per_inch
    size = (round(finger.grey.shape[1] * scale), round(finger.grey.shape[0] * scale))
    check_size(str(path), size, f" at {ppi:g} ppi")
    return crop_or_pad(resample(finger.grey, scale), width, height, ppi)


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
