"""A coarse map of the ridges of an image: in cells of 0.4 mm, how strong they are and which way they run.

The map is the structure tensor of the image at 250 ppi (the products of its gradients), summed over each cell. Ridges
have one direction in a neighbourhood of about two ridges; noise and dirt have none. It costs a few milliseconds, and
is enough to find a finger in a large frame and to tell one finger from several.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

COARSE = 2  # pixels at 500 ppi in one coarse pixel
CELL = 4  # coarse pixels along a side of a cell
CELL_MM = 25.4 / 500 * COARSE * CELL

_PIXEL_SIGMA = 0.7  # coarse pixels: against the noise of pixels
_SMOOTHING = 1.5  # cells: together with a cell about two ridges
_FINE_SMOOTHING = 0.7  # cells
_COHERENCE = (
    0.35  # of the gradients in a neighbourhood: noise has 0.1, the worst of 160 real prints has 0.35 on average
)
_SHARE = 0.06  # of the strong energy: a quarter of the contrast
_STRONG_CELLS = 56  # 9 mm2, that have most energy
_CLOSED, _OPENED = 1, 3  # cells: gaps that are closed; what is narrower than twice this and one cell is a line or dirt
_NOTHING = 1e-6  # energy; avoids a division by zero
_STRIP_CELLS = 64  # rows of cells of a large image that are made at a time


@dataclass(frozen=True, slots=True, eq=False)
class RidgeMap:
    """Cells of 0.4 mm, each f32[h, w]: the energy of the gradients, and its part along a doubled direction."""

    energy: Image
    cosine: Image  # energy times the cosine of twice the direction of the gradients
    sine: Image

    def direction(self) -> tuple[Image, Image]:
        """Cosine and sine of twice the direction, of a length of 0 (none) to 1 (clear), but for rounding."""
        energy, cosine, sine = (
            ndimage.gaussian_filter(part, _FINE_SMOOTHING) for part in (self.energy, self.cosine, self.sine)
        )
        strength = np.maximum(energy, _NOTHING)
        return cosine / strength, sine / strength

    def ridged(self) -> Mask:
        """The cells with ridges: of one direction in their neighbourhood, and not much fainter than the strongest."""
        cosine, sine, energy = (
            ndimage.gaussian_filter(part, _SMOOTHING) for part in (self.cosine, self.sine, self.energy)
        )
        coherent = np.hypot(cosine, sine) > _COHERENCE * np.maximum(energy, _NOTHING)
        rank = min(energy.size // 20, _STRONG_CELLS) + 1
        strong = np.partition(np.where(coherent, energy, 0), -rank, axis=None)[-rank] if energy.size >= rank else 0.0
        found = coherent & (energy > max(_SHARE * float(strong), _NOTHING))
        edge = _OPENED + 1
        closed = ndimage.binary_closing(np.pad(found, edge), iterations=_CLOSED)
        opened: Mask = ndimage.binary_opening(closed, iterations=_OPENED)[edge:-edge, edge:-edge]
        return opened


def halved(grey: NDArray[np.float32] | NDArray[np.uint8], factor: int = COARSE) -> Image:
    """The means of blocks of `factor` by `factor` pixels."""
    height, width = (side // factor * factor for side in grey.shape)
    blocks = grey[:height, :width].reshape(height // factor, factor, width // factor, factor)
    mean: Image = blocks.mean((1, 3), dtype=np.float32)
    return mean


def ridge_map(grey: NDArray[np.float32] | NDArray[np.uint8], factor: int = COARSE) -> RidgeMap:
    """The map of an image, of which `factor` pixels make one of 250 ppi.

    It is made in strips, so that a large image needs little memory.
    """
    side = factor * CELL
    height, width = (length // side for length in grey.shape)
    parts = np.zeros((3, height, width), np.float32)
    for first in range(0, height, _STRIP_CELLS):
        last = min(first + _STRIP_CELLS, height)
        before, after = min(first, 1), min(height - last, 1)  # a cell more, so that the strips have no seams
        found = _cells(halved(grey[(first - before) * side : (last + after) * side, : width * side], factor))
        parts[:, first:last] = found[:, before : before + last - first]
    return RidgeMap(*parts)


def _cells(coarse: Image) -> NDArray[np.float32]:
    """Energy, cosine and sine, f32[3, h, w], of a coarse image whose sides are whole numbers of cells."""
    if not coarse.size:
        return np.zeros((3, coarse.shape[0] // CELL, coarse.shape[1] // CELL), np.float32)
    padded = np.pad(ndimage.gaussian_filter(coarse, _PIXEL_SIGMA), 1, mode="edge")
    dx, dy = padded[1:-1, 2:] - padded[1:-1, :-2], padded[2:, 1:-1] - padded[:-2, 1:-1]
    xx, yy = dx * dx, dy * dy
    return np.stack([halved(part, CELL) for part in (xx + yy, xx - yy, 2 * dx * dy)])
