"""Prepares a fingerprint image: resamples it to 500 ppi, finds the skin, and crops the image to it.

Grey levels differ between sensors (white or grey background, 4 bits or 8, faint or dark ridges), so nothing here relies
on an absolute grey level. Skin is where the grey varies at the spacing of ridges, compared with the strongest variation
in the same image.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.finger.frame import MAX_FRAME, MAX_SIDE, find_window
from models.finger.minutiae import PIXELS_PER_INCH
from models.finger.ridge_map import CELL, COARSE, Image, Mask, halved, ridge_map
from models.finger.several import several_fingers

PPI_RANGE = (100.0, 4000.0)  # a stated resolution outside of it is taken for an error

_FINE = 0.5  # 500 ppi over 1000 ppi: an image of 2000 ppi and more is first reduced to 1000 to 2000 ppi, by blocks
_RIDGE_SIGMAS = (1.0, 3.0)  # coarse pixels: the band of ridges that are 6 to 14 pixels apart at 500 ppi
_AVERAGE_SIGMA = 5.0  # coarse pixels over which the variation is averaged: about two ridges
_MIN_VARIATION = 1.0  # grey levels, of ridges that are 6 to 10 levels darker than valleys; less is a blank image
_FAINT = 3.0  # grey levels; less can also be noise or shading
_FAINT_RIDGED = 0.3  # share of a faint foreground in which the grey varies in one direction; noise has none
_FAINT_EDGE = 6  # coarse pixels at the edge of an image, in which even shading looks like variation
_STRONG_AREA = 900  # coarse pixels, 0.014 square inches, that vary most
_SKIN_SHARE = 0.35  # of the strong variation of the image: the least that skin has
_SMOOTHING = 4  # coarse pixels: gaps up to about this size are closed, and specks removed
_LARGEST = 65_535  # pixels at 500 ppi: the largest side and coordinate of a template
_MIN_ISLAND = 0.2  # of the largest piece of skin: smaller pieces do not count


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A cropped `image` at 500 ppi, its `skin`, its corner in the whole sample, and the size of that at 500 ppi."""

    image: Image
    skin: Mask
    left: int
    top: int
    width: int
    height: int
    several: bool = False  # ridges of more than one finger


def possible(pixels_per_inch: float) -> bool:
    """Whether a fingerprint sensor can have this resolution. Samples of an impossible one have no features."""
    return PPI_RANGE[0] <= pixels_per_inch <= PPI_RANGE[1]


def at_500_ppi(image: NDArray[np.uint8], pixels_per_inch: float) -> Image:
    """The image at 500 ppi; its middle if larger than MAX_FRAME. An impossible resolution is taken for 500 ppi."""
    factor = _factor(pixels_per_inch)
    limit = int(MAX_FRAME / factor)
    part = image[_middle(image.shape[0], limit), _middle(image.shape[1], limit)]
    reduced = int(_FINE / factor)
    if reduced > 1 and min(part.shape) >= reduced:  # with little memory, before the smoothing that needs more
        return _resized(halved(part, reduced), factor * reduced)
    grey = part.astype(np.float32)
    if abs(factor - 1) < 1e-3 or min(image.shape) < 2:
        return grey
    return _resized(grey, factor)


def _factor(pixels_per_inch: float) -> float:
    """500 ppi over the resolution of the image; 1 for an impossible one."""
    return PIXELS_PER_INCH / pixels_per_inch if possible(pixels_per_inch) else 1.0


def _middle(size: int, limit: int) -> slice:
    first = max(0, size - limit) // 2
    return slice(first, first + min(size, limit))


def _resized(grey: Image, factor: float) -> Image:
    """Resized by cubic interpolation. Smoothed first if it becomes smaller, so that ridges do not alias."""
    if factor < 1:
        grey = ndimage.gaussian_filter(grey, 0.5 * (1 / factor**2 - 1) ** 0.5)
    resized: Image = ndimage.zoom(grey, factor, order=3, mode="nearest", grid_mode=True)
    return np.clip(resized, 0, 255)


def ridge_variation(grey: Image) -> Image:
    """How much the grey varies at the spacing of ridges, roughly the standard deviation, at half the size."""
    coarse = halved(grey)
    band = ndimage.gaussian_filter(coarse, _RIDGE_SIGMAS[0]) - ndimage.gaussian_filter(coarse, _RIDGE_SIGMAS[1])
    deviation: Image = np.sqrt(ndimage.gaussian_filter(band * band, _AVERAGE_SIGMA))
    return deviation


def foreground(grey: Image) -> Mask:
    """The mask of the skin; all false if there is none."""
    nothing = np.zeros(grey.shape, bool)
    if min(grey.shape) < 2 * COARSE:
        return nothing
    strength = ridge_variation(grey)
    strong = _strong(strength)
    faint = strong < _FAINT
    if faint:
        strength = _without_edge(strength)
        strong = _strong(strength)
    if strong < _MIN_VARIATION:
        return nothing
    skin = _doubled(_tidied(strength > _SKIN_SHARE * strong), grey.shape)
    return nothing if faint and not _has_ridges(grey, skin) else skin


def _without_edge(strength: Image) -> Image:
    inner = np.zeros_like(strength)
    kept = (slice(_FAINT_EDGE, -_FAINT_EDGE),) * 2
    inner[kept] = strength[kept]
    return inner


def _has_ridges(grey: Image, skin: Mask) -> bool:
    """Whether enough of the skin has a texture of one direction."""
    ridged = ridge_map(grey).ridged()
    side, (height, width) = COARSE * CELL, ridged.shape
    covered = skin[side // 2 :: side, side // 2 :: side][:height, :width]  # the middle of each cell
    return bool(covered.any() and ridged[covered].mean() >= _FAINT_RIDGED)


def _strong(strength: Image) -> float:
    """The variation of the best part of the skin, independent of the size of the background."""
    rank = min(strength.size // 20, _STRONG_AREA) + 1
    return float(np.partition(strength, -rank, axis=None)[-rank])


def prepare(image: NDArray[np.uint8], pixels_per_inch: float) -> Prepared:
    """Find the finger in the frame, resample it to 500 ppi, find the skin, and keep the rectangle around it."""
    factor = _factor(pixels_per_inch)
    window = find_window(image, factor)
    grey = at_500_ppi(image[window.rows, window.columns], pixels_per_inch)
    skin = foreground(grey)
    rows, columns = _bounds(skin, axis=1), _bounds(skin, axis=0)
    several = window.another or (bool(skin.any()) and several_fingers(grey))
    left, top = (round(part.start * factor) for part in (window.columns, window.rows))
    # Only a part of the frame was resampled if it is large. Coordinates of templates have 16 bits.
    height, width = (
        part if used == side else min(max(round(side * factor), first + part), _LARGEST)
        for part, used, side, first in zip(
            grey.shape, image[window.rows, window.columns].shape, image.shape, (top, left), strict=True
        )
    )
    return Prepared(
        grey[rows, columns], skin[rows, columns], left + columns.start, top + rows.start, width, height, several
    )


def _doubled(mask: Mask, shape: tuple[int, ...]) -> Mask:
    large = mask.repeat(COARSE, 0).repeat(COARSE, 1)
    return np.pad(large, [(0, shape[0] - large.shape[0]), (0, shape[1] - large.shape[1])], mode="edge")


def _tidied(mask: Mask) -> Mask:
    """Closed, filled, and without pieces that are small compared with the largest."""
    padded = np.pad(mask, _SMOOTHING)
    disc = np.hypot(*np.mgrid[-_SMOOTHING : _SMOOTHING + 1, -_SMOOTHING : _SMOOTHING + 1]) <= _SMOOTHING
    smooth = ndimage.binary_opening(ndimage.binary_fill_holes(ndimage.binary_closing(padded, disc)), disc)
    labels, count = ndimage.label(smooth)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0
    kept = sizes >= max(1, _MIN_ISLAND * sizes.max())
    tidy: Mask = kept[labels][_SMOOTHING:-_SMOOTHING, _SMOOTHING:-_SMOOTHING]
    return tidy


def _bounds(mask: Mask, axis: int) -> slice:
    """The rows (axis 1) or columns (axis 0) of the mask, cut to MAX_SIDE around the middle; empty if the mask is."""
    found = np.flatnonzero(mask.any(axis=axis))
    if not found.size:
        return slice(0, 0)
    first, last = int(found[0]), int(found[-1]) + 1
    excess = max(0, last - first - MAX_SIDE)
    return slice(first + excess // 2, last - (excess - excess // 2))
