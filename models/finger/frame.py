"""Finds the finger in a frame that is larger than any finger, at little cost in time and memory.

A scanner of cards or of four fingers gives up to 5000 pixels a side, and the finger may lie anywhere in it. The ridge
map of the whole frame is made in strips; where it has most ridges is the finger.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.finger.ridge_map import CELL, COARSE, Mask, RidgeMap, ridge_map

MAX_SIDE = 800  # pixels at 500 ppi of an image that is used as it is: 1.6 inches, a rolled thumb
MAX_FRAME = 2048  # pixels at 500 ppi of each side of what is cut out of a larger image: four fingers side by side

_MARGIN = 6.0  # mm around the ridges that were found: a finger is dry or faint at its edge
_LINE = 5  # cells, 2 mm
_LINE_SHARE = (
    0.2  # of the mean energy: what the middle one of the cells has near a line; in a print it has 0.5 and more
)
_MIN_AREA = 70.0  # square millimetres of ridges of another finger
_MIN_WIDTH = 5.0  # mean width of those, mm: of a round finger 8 mm wide, without its edges
_MIN_STRENGTH = 0.2  # of the energy of the finger (45 % of the contrast): fainter ridges are of an earlier touch


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a frame with the finger, and whether there is another finger outside of it."""

    rows: slice
    columns: slice
    another: bool = False


def find_window(image: NDArray[np.uint8], factor: float) -> Window:
    """The part of a frame u8[h, w] to be used; `factor` times its resolution is 500 ppi.

    All of it if no side is larger than MAX_SIDE at 500 ppi; the middle if there are no ridges.
    """
    height, width = image.shape
    limit = int(MAX_FRAME / factor)
    if max(height, width) * factor <= MAX_SIDE:
        return Window(slice(0, height), slice(0, width))
    reduced = max(1, round(COARSE / factor))
    side = reduced * CELL  # pixels of a cell
    found = ridge_map(image, reduced)
    pieces, count = ndimage.label(found.ridged() & ~_lines(found))
    if not count:
        return Window(_middle(height, limit), _middle(width, limit))
    margin = round(_MARGIN / 25.4 * 500 / factor / side)
    boxes = [_grown(box, margin) for box in ndimage.find_objects(pieces)]
    energy = np.asarray(ndimage.sum_labels(np.sqrt(found.energy), pieces, np.arange(1, count + 1)))
    box = _joined(boxes, int(energy.argmax()))
    rows, columns = (
        _within(slice(part.start * side, part.stop * side), length, limit)
        for part, length in zip(box, image.shape, strict=True)
    )
    cell_mm = side * factor * 25.4 / 500
    used = tuple(slice(part.start // side, -(-part.stop // side)) for part in (rows, columns))
    return Window(rows, columns, _another(found, pieces, (used[0], used[1]), cell_mm))


def _lines(found: RidgeMap) -> Mask:
    """The cells of single lines and edges, such as those of a form: a few cells there have all the energy."""
    middle, mean = ndimage.median_filter(found.energy, _LINE), ndimage.uniform_filter(found.energy, _LINE)
    lines: Mask = middle < _LINE_SHARE * mean
    return lines


def _middle(length: int, limit: int) -> slice:
    return _within(slice(0, length), length, limit)


def _within(part: slice, length: int, limit: int) -> slice:
    """The part, within a side of this length, and its middle if it is longer than the limit."""
    first, last = max(0, part.start), min(length, part.stop)
    excess = max(0, last - first - limit)
    return slice(first + excess // 2, last - (excess - excess // 2))


Box = tuple[slice, slice]


def _grown(box: Box, margin: int) -> Box:
    rows, columns = (slice(part.start - margin, part.stop + margin) for part in box)
    return rows, columns


def _joined(boxes: list[Box], first: int) -> Box:
    """The box that holds the first one and all that touch it, or touch one of those."""
    whole, left = boxes[first], [box for number, box in enumerate(boxes) if number != first]
    while touching := [box for box in left if _touch(whole, box)]:
        left = [box for box in left if box not in touching]
        rows, columns = (
            slice(min(part.start for part in parts), max(part.stop for part in parts))
            for parts in zip(whole, *touching, strict=True)
        )
        whole = rows, columns
    return whole


def _touch(one: Box, other: Box) -> bool:
    return all(a.start < b.stop and b.start < a.stop for a, b in zip(one, other, strict=True))


def _another(found: RidgeMap, pieces: NDArray[np.int32], used: Box, cell_mm: float) -> bool:
    """Whether a piece outside the part that is used can be a finger."""
    here = pieces[used]
    strength = _mean_energy(found, used, here > 0)
    outside = np.setdiff1d(np.unique(pieces), np.unique(here))
    boxes = ndimage.find_objects(pieces)
    for number in outside[outside > 0]:
        box = boxes[number - 1]
        piece = pieces[box] == number
        area, spans = piece.sum() * cell_mm**2, np.array(piece.shape) * cell_mm
        large = area >= _MIN_AREA and area / spans.max() >= _MIN_WIDTH
        if large and _mean_energy(found, box, piece) >= _MIN_STRENGTH * strength:
            return True
    return False


def _mean_energy(found: RidgeMap, box: Box, where: Mask) -> float:
    return float(found.energy[box][where].mean()) if where.any() else 0.0
