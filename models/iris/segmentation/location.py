"""Finds candidate pupils: dark discs surrounded by edges. Uses no trained model.

Each strong edge votes for the points on its dark side, one for each radius. The centre of a pupil receives votes from
all directions.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from models.iris.segmentation.filters import gaussian_filter, grey_opening

Image = npt.NDArray[np.float32]
WORKING_SIZE = 200  # pixels; longest side of the reduced image in which discs are searched
_SMALLEST = 3.0  # smallest radius, in pixels of the reduced image
_STEP = 1.14  # factor from one radius to the next
_LARGEST = 0.24  # largest radius, as a share of the shorter side
_EDGES = 0.3  # share of the pixels that vote
_CANDIDATES = 6  # discs returned at most


class Disc(NamedTuple):
    """A dark disc, in pixels of the image, and the evidence for it: its votes."""

    x: float
    y: float
    radius: float
    evidence: float


def block_means(image: npt.NDArray[np.uint8], longest: int) -> tuple[Image, int]:
    """The image reduced to means of square blocks, so that no side is longer than `longest`; and the block size."""
    side = max(1, -(-max(image.shape) // longest))
    height, width = (length // side for length in image.shape)
    blocks = image[: height * side, : width * side].reshape(height, side, width, side)
    return np.asarray(blocks.mean(axis=(1, 3), dtype=np.float32)), side


def without_highlights(image: Image, size: int) -> Image:
    """Replaces bright spots smaller than `size` pixels by the grey around them."""
    base = grey_opening(image, size)
    return np.where(image > base + 25, base, image)


def find_discs(image: npt.NDArray[np.uint8]) -> list[Disc]:
    """The most likely pupils, best first; empty if there are no edges."""
    small, side = block_means(image, WORKING_SIZE)
    smoothed = gaussian_filter(without_highlights(small, 5), 1.0)
    edges = _edges(np.log(smoothed + 12.0))
    if edges is None:
        return []
    radii = _radii(min(smoothed.shape))
    middle = (side - 1) / 2
    return [
        Disc(x * side + middle, y * side + middle, float(radii[layer]) * side, votes)
        for layer, x, y, votes in _peaks(_votes(edges, radii, smoothed.shape))
    ]


class _Edges(NamedTuple):
    x: Image
    y: Image
    across: Image  # unit vector towards the brighter side
    down: Image
    strength: Image


def _edges(smoothed: Image) -> _Edges | None:
    down, across = np.gradient(smoothed, axis=0), np.gradient(smoothed, axis=1)
    size = np.hypot(down, across)
    strong = size > max(float(np.quantile(size, 1 - _EDGES)), 0.02)
    if strong.sum() < 20:
        return None
    y, x = np.nonzero(strong)
    length = size[strong]
    weight = np.minimum(length, np.quantile(length, 0.3))
    return _Edges(
        x.astype(np.float32),
        y.astype(np.float32),
        (across[strong] / length).astype(np.float32),
        (down[strong] / length).astype(np.float32),
        (weight / weight.max()).astype(np.float32),
    )


def _radii(shorter: int) -> Image:
    count = int(np.log(_LARGEST * shorter / _SMALLEST) / np.log(_STEP)) + 1
    return np.asarray(_SMALLEST * _STEP ** np.arange(count), dtype=np.float32)


def _votes(edges: _Edges, radii: Image, shape: tuple[int, ...]) -> Image:
    """[radii, h, w]: the share of a circle of edges at each radius that points at each pixel, times sqrt(radius)."""
    height, width = shape
    x = np.rint(edges.x - radii[:, None] * edges.across).astype(np.int32)
    y = np.rint(edges.y - radii[:, None] * edges.down).astype(np.int32)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    layer = np.arange(len(radii), dtype=np.int32)[:, None] * (height * width)
    weight = np.broadcast_to(edges.strength / (2 * np.pi * np.sqrt(radii[:, None])), x.shape)
    cells = (layer + y * width + x)[inside]
    counted = np.bincount(cells, weight[inside], len(radii) * height * width).astype(np.float32)
    votes: Image = ndimage.uniform_filter(counted.reshape(len(radii), height, width), (1, 5, 5))
    votes[1:] += 0.5 * votes[:-1]
    return votes


def _peaks(votes: Image) -> list[tuple[int, int, int, float]]:
    """(layer, x, y, votes) of the highest votes, at some distance from each other."""
    layers = votes.argmax(axis=0)
    best = votes.max(axis=0)
    found = []
    for _ in range(_CANDIDATES):
        y, x = np.unravel_index(int(best.argmax()), best.shape)
        found.append((int(layers[y, x]), int(x), int(y), float(best[y, x])))
        best[max(0, y - 5) : y + 6, max(0, x - 5) : x + 6] = 0
    return found
