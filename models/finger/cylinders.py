"""Minutia Cylinder-Code in bits: describes the neighbourhood of each minutia, independent of shift and rotation.

Cappelli, Ferrara, Maltoni: Minutia Cylinder-Code (TPAMI 2010), bit-based, 8x8 cells, 6 directions. A disc of cells lies
around each minutia, aligned with its direction. Cell (place, direction) is set if other minutiae are near that place
and if their direction, relative to this minutia, is near that direction. A place is valid only where minutiae could
have been seen.

A cylinder is 6 words of 64 bits, one word for each direction and one bit for each place, and a word of the valid
places, which masks each of the six.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError
from scipy.special import erf

from models.finger.minutiae import TURN, Minutiae

RADIUS = 75.0  # pixels at 500 ppi
SIDE = 8  # cells across the disc
DIRECTIONS = 6
PLACE_SIGMA = 28 / 3  # pixels: the standard deviation of the contribution of a minutia
DIRECTION_SIGMA = 2 * np.pi / 9
SET_ABOVE = 0.01  # a bit is set if the contributions sum up to more
HULL_MARGIN = 60.0  # pixels beyond the hull of the minutiae within which a minutia could have been seen
REACH = RADIUS + 3 * PLACE_SIGMA  # pixels, within which another minutia is a neighbour
MIN_VALID_PLACES = 0.75  # share of the disc; a cylinder with fewer is left out
MIN_NEIGHBOURS = 2

PLACES = SIDE * SIDE
Floats = NDArray[np.floating]
Rows = NDArray[np.uint16]  # [n, 4]: x, y, direction, quality (1 to 100, 0 = not reported)


@dataclass(frozen=True, slots=True, eq=False)
class Cylinders:
    """The cylinders of a template. `x`, `y` in pixels, y down; `angle` in radians.

    `rows` are all minutiae; `which` is the row of each cylinder. Minutiae with too few neighbours or valid places have
    no cylinder.
    """

    bits: NDArray[np.uint64]  # [n, DIRECTIONS]
    valid: NDArray[np.uint64]  # [n]
    x: NDArray[np.float32]
    y: NDArray[np.float32]
    angle: NDArray[np.float32]
    rows: Rows
    which: NDArray[np.intp]

    def __len__(self) -> int:
        """The number of cylinders."""
        return len(self.x)

    def first(self, limit: int) -> "Cylinders":
        """The first `limit` cylinders, those of the minutiae of highest quality."""
        cut = slice(limit)
        place = self.x[cut], self.y[cut], self.angle[cut]
        return Cylinders(self.bits[cut], self.valid[cut], *place, self.rows, self.which[cut])


def wrapped(angle: Floats) -> Floats:
    """The same angle in -pi..pi."""
    within: Floats = (angle + np.pi) % (2 * np.pi) - np.pi
    return within


def cylinders(minutiae: Minutiae) -> Cylinders:
    """The cylinders of minutiae, best quality first, in numpy."""
    return cylinders_plain(rows_of(minutiae))


def rows_of(minutiae: Minutiae) -> Rows:
    """What a comparison uses: x, y, direction and quality of each minutia, best quality first."""
    best = minutiae.best(len(minutiae))
    return np.stack([best.x, best.y, best.direction, best.qualities.astype(np.uint16)], axis=1)


def cylinders_plain(rows: Rows) -> Cylinders:
    """The cylinders of rows, in numpy."""
    position, angle = rows[:, :2].astype(float), angles(rows)
    valid = DISC & _could_be_seen(_places(position, angle), position)
    cells, neighbours = _cells(position, angle)
    kept = (valid.sum(1) >= MIN_VALID_PLACES * DISC.sum()) & (neighbours >= MIN_NEIGHBOURS)
    bits = cells[kept] & valid[kept, np.newaxis, :]
    which = np.flatnonzero(kept)
    return from_words(rows, which, _words(bits), _words(valid[kept]))


def from_words(
    rows: Rows, which: NDArray[np.integer], bits: NDArray[np.uint64], valid: NDArray[np.uint64]
) -> Cylinders:
    """The cylinders of rows whose bits are already known."""
    x, y = rows[which, :2].astype(np.float32).T
    return Cylinders(bits, valid, x, y, angles(rows[which]).astype(np.float32), rows, which.astype(np.intp))


def angles(rows: Rows) -> Floats:
    """The directions of rows in radians."""
    radians: Floats = rows[:, 2] * (2 * np.pi / TURN)
    return radians


OFFSETS: Floats = (np.arange(SIDE) - (SIDE - 1) / 2) * (2 * RADIUS / SIDE)  # of the cells, along or across
_ALONG, _ACROSS = (grid.ravel() for grid in np.meshgrid(OFFSETS, OFFSETS, indexing="ij"))
DISC = np.hypot(_ALONG, _ACROSS) <= RADIUS


def _places(position: Floats, angle: Floats) -> Floats:
    """The positions of the cells of each minutia, [n, PLACES, 2]. Directions have y up, positions have y down."""
    cos, sin = np.cos(angle)[:, np.newaxis], np.sin(angle)[:, np.newaxis]
    x = position[:, 0:1] + cos * _ALONG - sin * _ACROSS
    y = position[:, 1:2] - sin * _ALONG - cos * _ACROSS
    return np.stack([x, y], axis=-1)


def _could_be_seen(places: Floats, position: Floats) -> NDArray[np.bool_]:
    """Whether a place lies within the hull of all minutiae, widened by HULL_MARGIN."""
    try:
        edges = ConvexHull(position).equations  # normal and offset of each edge, negative inside
    except (QhullError, ValueError):  # fewer than three minutiae, or all on one line
        return np.ones(places.shape[:2], bool)
    outside = places @ edges[:, :2].T + edges[:, 2]
    seen: NDArray[np.bool_] = outside.max(axis=2) <= HULL_MARGIN
    return seen


def _cells(position: Floats, angle: Floats) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Which cells are set, [n, DIRECTIONS, PLACES], and the number of neighbours within REACH of each minutia."""
    along, across = _seen_from_each(position, angle)
    near = (np.hypot(*_apart(position)) <= REACH) & ~np.eye(len(position), dtype=bool)
    rows = _place_share(along[..., np.newaxis] - OFFSETS)  # [n, neighbour, SIDE]
    columns = _place_share(across[..., np.newaxis] - OFFSETS) * near[..., np.newaxis]
    difference = wrapped(angle[:, np.newaxis] - angle)
    directions = direction_share(wrapped(CENTRES - difference[..., np.newaxis]))  # [n, neighbour, DIRECTIONS]
    weighed = directions[..., :, np.newaxis] * rows[..., np.newaxis, :]  # [n, neighbour, DIRECTIONS, SIDE]
    flat = weighed.reshape(*difference.shape, DIRECTIONS * SIDE).swapaxes(1, 2)
    total = (flat @ columns).reshape(len(position), DIRECTIONS, PLACES)
    return total > SET_ABOVE, near.sum(1)


CENTRES: Floats = -np.pi + (np.arange(DIRECTIONS) + 0.5) * (2 * np.pi / DIRECTIONS)


def _seen_from_each(position: Floats, angle: Floats) -> tuple[Floats, Floats]:
    """The distance of each minutia (second axis) along and across the direction of each (first axis)."""
    dx, dy = _apart(position)
    cos, sin = np.cos(angle)[:, np.newaxis], np.sin(angle)[:, np.newaxis]
    return dx * cos + dy * sin, dy * cos - dx * sin


def _apart(position: Floats) -> tuple[Floats, Floats]:
    """The distance of each minutia (second axis) to the right of and above each (first axis)."""
    return position[:, 0] - position[:, 0:1], position[:, 1:2] - position[:, 1]


def _place_share(distance: Floats) -> Floats:
    """One axis of the Gaussian around a minutia."""
    share: Floats = np.exp(-0.5 * (distance / PLACE_SIGMA) ** 2) / np.sqrt(PLACE_SIGMA * np.sqrt(2 * np.pi))
    return share


def direction_share(difference: Floats) -> Floats:
    """The share of a Gaussian around a direction that falls into the cell whose middle is `difference` away."""
    scale, half = DIRECTION_SIGMA * np.sqrt(2), np.pi / DIRECTIONS
    share: Floats = (erf((difference + half) / scale) - erf((difference - half) / scale)) / 2
    return share


def _words(bits: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """The last axis of 64 bits as one word."""
    packed = np.packbits(bits, axis=-1, bitorder="little")
    return np.ascontiguousarray(packed).view("<u8")[..., 0].astype(np.uint64)
