"""Tells an image of several fingers from one of a single finger, by its ridges.

Two fingers side by side are two ridge fields: along the line between them there are no ridges, or those of both sides
do not continue each other. In one finger, ridges continue across any such line on most of its length. A crease, a scar
or a dry place interrupts them, but there their directions on both sides are alike.

The ridge map is turned in steps. In each position, every column that leaves enough ridges on both sides is tried as the
line, here called a cut.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.finger.ridge_map import CELL_MM, Image, Mask, RidgeMap, ridge_map

# Millimetres.
_MIN_EXTENT = 20.0  # of the ridges across the cut: of two fingers; together narrower ones are taken for one
_MIN_WIDTH = 5.0  # mean width of the ridges on each side of the cut: of a round finger 8 mm wide, without its edges
_MIN_AREA = 70.0  # square millimetres of ridges on each side
_WIDE = 28.0  # more than the width of a flat thumb: here a smaller difference of directions is enough

_STEP = 15  # degrees
_MAX_CONTINUING = 0.2  # share of the cut across which ridges continue: 0.25 refuses one of 1000 single prints
_MIN_DIFFERENCE, _MIN_DIFFERENCE_WIDE = 0.4, 0.2  # of the directions, from 0 (parallel) to 1 (at right angles)
_MIN_FACING = 0.3  # share of the cut with ridges on both sides; with less, directions cannot be compared
_MIN_STRENGTH = 0.2  # of the energy of the other side (45 % of the contrast): fainter ridges are of an earlier touch

# Cells of 0.4 mm.
_REACH = 12  # from the cut to the ridges that are compared
_WINDOW = 6  # of ridges on each side, over which directions are averaged
_ALONG = 5  # along the cut, as well
_NEAR = 2  # on each side of the cut: where a gap may lie
_VALLEY = 0.25  # of the energy on both sides: less is a gap


def several_fingers(grey: Image) -> bool:
    """Whether an image f32[h, w] at 500 ppi shows more than one finger; False for one of less than 20 mm across."""
    if np.hypot(*grey.shape) * 25.4 / 500 < _MIN_EXTENT:
        return False
    found = ridge_map(grey)
    return divided(found, found.ridged())


def divided(found: RidgeMap, ridged: Mask) -> bool:
    """Whether a cut divides the ridges into those of two fingers."""
    if ridged.sum() * CELL_MM**2 < 2 * _MIN_AREA:
        return False
    rows, columns = np.nonzero(ridged)
    parts = (found.energy, *found.direction())
    for degrees in range(0, 180, _STEP):
        angle = np.radians(degrees)
        extent = (np.ptp(columns * np.cos(angle) + rows * np.sin(angle)) + 1) * CELL_MM
        if extent < _MIN_EXTENT:
            continue
        turned = _turned(ridged.astype(np.uint8), degrees, order=0) > 0
        sides = _Sides.of(turned)
        where = np.flatnonzero(sides.large_enough())
        if where.size:
            energy, cosine, sine = (_turned(part, degrees) for part in parts)
            if _Turned(turned, energy, cosine * turned, sine * turned).has_cut(where, sides, extent):
                return True
    return False


@dataclass(frozen=True, slots=True, eq=False)
class _Turned:
    """A ridge map turned by an angle: where the ridges are, their energy, their doubled direction (0 elsewhere)."""

    ridged: Mask
    energy: Image
    cosine: Image
    sine: Image

    def has_cut(self, where: NDArray[np.intp], sides: "_Sides", extent: float) -> bool:
        """Whether one of these columns divides the ridges, which are `extent` mm wide across it, into two fingers."""
        cut = _Cut.along(self, where)
        length = np.maximum(cut.facing.sum(0), sides.heights.min(0)[where] / 2)
        continuing = (cut.facing & cut.continuing).sum(0) / length
        difference = (cut.facing * (1 - cut.likeness)).sum(0) / np.maximum(cut.facing.sum(0), 1) / 2
        apart = difference >= _MIN_DIFFERENCE
        if extent >= _WIDE:
            facing = cut.facing.sum(0) / sides.heights.min(0)[where]
            apart |= (difference >= _MIN_DIFFERENCE_WIDE) | (facing < _MIN_FACING)
        alike = _ratio(self._energy_beside(where)) >= _MIN_STRENGTH
        return bool(np.any((continuing <= _MAX_CONTINUING) & apart & alike))

    def _energy_beside(self, where: NDArray[np.intp]) -> NDArray[np.float64]:
        """The mean energy of the ridges on both sides of each cut, [2, n]."""
        energy, cells = (np.cumsum(part.sum(0)) for part in (self.energy * self.ridged, self.ridged))
        means: NDArray[np.float64] = np.stack(
            [energy[where] / cells[where], (energy[-1] - energy[where]) / (cells[-1] - cells[where])]
        )
        return means


@dataclass(frozen=True, slots=True, eq=False)
class _Sides:
    """The ridges left and right of every column, [2, w]: how many cells, and how many rows they span."""

    cells: NDArray[np.int64]
    heights: NDArray[np.int64]

    @classmethod
    def of(cls, ridged: Mask) -> "_Sides":
        left = np.cumsum(ridged.sum(0))
        seen, seen_right = (np.maximum.accumulate(side, 1) for side in (ridged, ridged[:, ::-1]))
        return cls(np.stack([left, left[-1] - left]), np.stack([seen.sum(0), seen_right[:, ::-1].sum(0)]))

    def large_enough(self) -> Mask:
        """Whether there can be a finger on both sides."""
        width = self.cells / np.maximum(self.heights, 1) * CELL_MM
        large = (self.cells * CELL_MM**2 >= _MIN_AREA) & (width >= _MIN_WIDTH)
        enough: Mask = large[0] & large[1]
        return enough


@dataclass(frozen=True, slots=True, eq=False)
class _Cut:
    """What lies along each of n cuts, row by row, [h, n]."""

    facing: Mask  # ridges on both sides, within reach
    continuing: Mask  # ridges that run across the cut without a gap and without a turn of more than 45 degrees
    likeness: Image  # of the directions on both sides: 1 parallel, -1 at right angles

    @classmethod
    def along(cls, turned: _Turned, where: NDArray[np.intp]) -> "_Cut":
        """The cuts along these columns. None of them is the first or the last."""
        width = turned.ridged.shape[1]
        column = np.arange(width)
        last = np.maximum.accumulate(np.where(turned.ridged, column, -1), 1)[:, where - 1]
        after = np.minimum.accumulate(np.where(turned.ridged, column, width)[:, ::-1], 1)[:, ::-1][:, where + 1]
        facing = (last >= np.maximum(where - 1 - _REACH, 0)) & (after <= np.minimum(where + 1 + _REACH, width - 1))
        left = (np.maximum(last + 1 - _WINDOW, 0), np.maximum(last + 1, 0))
        right = (np.minimum(after, width), np.minimum(after + _WINDOW, width))
        (cosine, sine, energy, cells) = (
            [_between(sums, *side) for side in (left, right)]
            for sums in (
                _sums(part) for part in (turned.cosine, turned.sine, turned.energy * turned.ridged, turned.ridged)
            )
        )
        product = cosine[0] * cosine[1] + sine[0] * sine[1]
        size = np.hypot(cosine[0], sine[0]) * np.hypot(cosine[1], sine[1])
        beside = np.minimum(*(some / np.maximum(count, 1) for some, count in zip(energy, cells, strict=True)))
        lowest = ndimage.uniform_filter1d(ndimage.minimum_filter1d(turned.energy, 2 * _NEAR + 1, axis=1), 3, axis=0)
        bridged = turned.ridged[:, where - 1] & turned.ridged[:, where] & turned.ridged[:, where + 1]
        continuing = bridged & (product > 0) & (lowest[:, where] > _VALLEY * beside)
        return cls(facing, continuing, product / np.maximum(size, 1e-12))


def _turned(part: Image, degrees: int, order: int = 1) -> Image:
    padded = np.pad(part, _WINDOW)
    turned: Image = ndimage.rotate(padded, degrees, order=order) if degrees else padded
    return turned


def _sums(part: NDArray[np.generic]) -> NDArray[np.float64]:
    """The sums of each row from its beginning, [h, w + 1], of the part averaged along the cut."""
    averaged = ndimage.uniform_filter1d(part.astype(np.float64), _ALONG, axis=0)
    return np.pad(np.cumsum(averaged, 1), ((0, 0), (1, 0)))


def _between(sums: NDArray[np.float64], first: NDArray[np.intp], last: NDArray[np.intp]) -> NDArray[np.float64]:
    return np.take_along_axis(sums, last, 1) - np.take_along_axis(sums, first, 1)


def _ratio(pair: NDArray[np.float64]) -> NDArray[np.float64]:
    ratio: NDArray[np.float64] = pair.min(0) / np.maximum(pair.max(0), 1e-12)
    return ratio
