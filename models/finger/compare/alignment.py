"""Aligns two fingers and weighs paired and unpaired minutiae: step 3 of models/finger/compare/score.py, in numpy.

models/finger/compare/alignment_kernel.py does the same in compiled code.

Each of the most promising pairs of minutiae gives a rotation and a shift that align one finger with the other. After
alignment, a minutia of each finger form a pair if each is the nearest to the other and they differ by no more than
TOLERANCE. The allowed distance grows with the distance from the middle of the pairs, because skin stretches. The best
alignments are refined by least squares over their pairs. Where both fingers show the same area, minutiae should be
paired there: each unpaired one lowers the score.

All minutiae take part, also those without a cylinder. Each counts by its quality.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.finger.cylinder_kernel import hull
from models.finger.cylinders import Cylinders, Rows, angles

TRIED = 6  # pairs of minutiae whose alignment is tried
REFINED = 2  # best alignments that are refined
ROUNDS = 2  # how often an alignment is refined
PLACE_SIGMA = 6.0  # pixels at 500 ppi
STRETCH = 0.06  # pixels added to PLACE_SIGMA for each pixel from the middle of the pairs
ROTATION_SIGMA = np.pi / 9
TOLERANCE = 3.0  # largest sum of the squared deviations of place and direction
ARM = 30.0  # pixels: weighs directions against places when an alignment is refined
OVERLAP_MARGIN = 8.0  # pixels beyond the hull of the other finger's minutiae
UNKNOWN_QUALITY = 0.8  # quality of a minutia for which none was reported: the mean quality that the network gives
# Weights of score.py; also used to choose the best alignment.
PAIRED_WEIGHT, UNPAIRED_WEIGHT = 0.4, 0.25

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Alignment:
    """What the best alignment of two fingers shows. All minutiae count by quality."""

    paired: float  # paired minutiae, closer pairs counting more, times their share of the minutiae in the overlap
    unpaired: float  # minutiae in the overlap without a pair, of both fingers
    overlap: float  # minutiae of a finger in the overlap, the geometric mean of both

    @property
    def evidence(self) -> float:
        """The weighted difference of paired and unpaired, in the units of score.py."""
        return PAIRED_WEIGHT * self.paired - UNPAIRED_WEIGHT * self.unpaired


@dataclass(frozen=True, slots=True, eq=False)
class _Points:
    """All minutiae of a finger: x, y in pixels (y down), radians, quality 0..1, and the edges of their hull."""

    x: Floats
    y: Floats
    angle: Floats
    quality: Floats
    edges: Floats


@dataclass(frozen=True, slots=True, eq=False)
class _Transforms:
    """Several alignments of b with a: rotated counter-clockwise, then shifted. The middle of the pairs is on a."""

    rotation: Floats
    x: Floats
    y: Floats
    middle_x: Floats
    middle_y: Floats

    def take(self, index: NDArray[np.intp]) -> "_Transforms":
        return _Transforms(
            self.rotation[index], self.x[index], self.y[index], self.middle_x[index], self.middle_y[index]
        )

    def onto_a(self, b: _Points) -> tuple[Floats, Floats]:
        """The positions of the minutiae of b on a, [transforms, b]."""
        cos, sin = np.cos(self.rotation)[:, np.newaxis], np.sin(self.rotation)[:, np.newaxis]
        return cos * b.x + sin * b.y + self.x[:, np.newaxis], cos * b.y - sin * b.x + self.y[:, np.newaxis]

    def onto_b(self, a: _Points) -> tuple[Floats, Floats]:
        """The positions of the minutiae of a on b, [transforms, a]."""
        cos, sin = np.cos(self.rotation)[:, np.newaxis], np.sin(self.rotation)[:, np.newaxis]
        x, y = a.x - self.x[:, np.newaxis], a.y - self.y[:, np.newaxis]
        return cos * x - sin * y, sin * x + cos * y


@dataclass(frozen=True, slots=True, eq=False)
class _MinutiaPairs:
    """For each minutia of a, [transforms, a]: which of b, whether they are a pair, and their deviation, 0..1."""

    which: NDArray[np.intp]
    paired: NDArray[np.bool_]
    deviation: Floats


def best_alignment(a: Cylinders, b: Cylinders, pairs: tuple[NDArray[np.intp], NDArray[np.intp]]) -> Alignment:
    """The best alignment of two fingers. `pairs` are pairs of cylinders, at least one, the most promising first."""
    one, other = _points(a.rows), _points(b.rows)
    first, second = (c.which[chosen[:TRIED]] for c, chosen in zip((a, b), pairs, strict=True))
    tried = _transforms_of(one, other, first, second)
    found = _paired(one, other, tried)
    gain = ((1 - found.deviation) * _weights(one, other, found)).sum(1)
    transforms = tried.take(np.argsort(-np.round(gain, 9), kind="stable")[:REFINED])
    for _ in range(ROUNDS):
        transforms = _refined(one, other, transforms, _paired(one, other, transforms))
    return _best(one, other, transforms)


def _points(rows: Rows) -> _Points:
    x, y, _, quality = rows.T
    edges = np.empty((2 * len(rows) + 2, 3))
    count = hull(x.astype(np.int64), y.astype(np.int64), edges) if len(rows) >= 3 else 0
    known = np.where(quality > 0, quality / 100, UNKNOWN_QUALITY)
    return _Points(x.astype(float), y.astype(float), angles(rows).astype(float), known, edges[:count])


def _transforms_of(a: _Points, b: _Points, first: NDArray[np.intp], second: NDArray[np.intp]) -> _Transforms:
    """The alignments that put a minutia of b exactly on one of a."""
    rotation = a.angle[first] - b.angle[second]
    cos, sin = np.cos(rotation), np.sin(rotation)
    x, y = a.x[first], a.y[first]
    shift_x = x - (cos * b.x[second] + sin * b.y[second])
    return _Transforms(rotation, shift_x, y - (cos * b.y[second] - sin * b.x[second]), x, y)


def _paired(a: _Points, b: _Points, transforms: _Transforms) -> _MinutiaPairs:
    x, y = transforms.onto_a(b)
    middle_x, middle_y = transforms.middle_x[:, np.newaxis], transforms.middle_y[:, np.newaxis]
    reach = PLACE_SIGMA + STRETCH * np.hypot(a.x - middle_x, a.y - middle_y)
    apart = (a.x[:, np.newaxis] - x[:, np.newaxis]) ** 2 + (a.y[:, np.newaxis] - y[:, np.newaxis]) ** 2
    rotated = a.angle[:, np.newaxis] - b.angle - transforms.rotation[:, np.newaxis, np.newaxis]
    rotated = (rotated - 2 * np.pi * np.rint(rotated / (2 * np.pi))) / ROTATION_SIGMA
    here = apart / (reach * reach)[..., np.newaxis] + rotated * rotated
    nearest, back = here.argmin(2), here.argmin(1)
    least = np.take_along_axis(here, nearest[..., np.newaxis], 2)[..., 0]
    paired = (np.take_along_axis(back, nearest, 1) == np.arange(len(a.x))) & (least <= TOLERANCE)
    return _MinutiaPairs(np.where(paired, nearest, 0), paired, np.where(paired, least / TOLERANCE, 1))


def _weights(a: _Points, b: _Points, pairs: _MinutiaPairs) -> Floats:
    """The weight of the pair of each minutia of a; 0 if it has none."""
    weights: Floats = np.where(pairs.paired, np.sqrt(a.quality * b.quality[pairs.which]), 0)
    return weights


def _refined(a: _Points, b: _Points, transforms: _Transforms, pairs: _MinutiaPairs) -> _Transforms:
    """The least-squares alignment of the pairs, places and directions together; unchanged with fewer than two pairs."""
    weight = np.where(pairs.paired, np.exp(-TOLERANCE / 2 * pairs.deviation), 0)
    total = np.maximum(weight.sum(1), 1e-9)
    bx, by, b_angle = b.x[pairs.which], b.y[pairs.which], b.angle[pairs.which]
    ax, ay, ux, uy = ((weight * values).sum(1) / total for values in (a.x, a.y, bx, by))
    from_ax, from_ay = a.x - ax[:, np.newaxis], a.y - ay[:, np.newaxis]
    from_bx, from_by = bx - ux[:, np.newaxis], by - uy[:, np.newaxis]
    rotated = a.angle - b_angle
    along = from_ax * from_bx + from_ay * from_by + ARM * ARM * np.cos(rotated)
    across = from_ax * from_by - from_ay * from_bx + ARM * ARM * np.sin(rotated)
    rotation = np.arctan2((weight * across).sum(1), (weight * along).sum(1))
    cos, sin = np.cos(rotation), np.sin(rotation)
    made = (rotation, ax - (cos * ux + sin * uy), ay - (cos * uy - sin * ux), ax, ay)
    before = (transforms.rotation, transforms.x, transforms.y, transforms.middle_x, transforms.middle_y)
    enough = pairs.paired.sum(1) >= 2
    return _Transforms(*(np.where(enough, new, old) for new, old in zip(made, before, strict=True)))


def _best(a: _Points, b: _Points, transforms: _Transforms) -> Alignment:
    pairs = _paired(a, b, transforms)
    weights = _weights(a, b, pairs)
    taken = np.zeros((len(transforms.rotation), len(b.x)), bool)
    number, at = np.nonzero(pairs.paired)
    taken[number, pairs.which[number, at]] = True
    in_a = (a.quality * (pairs.paired | _inside(b.edges, *transforms.onto_b(a)))).sum(1)
    in_b = (b.quality * (taken | _inside(a.edges, *transforms.onto_a(b)))).sum(1)
    shared = weights.sum(1)
    overlap = np.sqrt(np.maximum(in_a * in_b, 0.1))
    paired = ((1 - pairs.deviation) * weights).sum(1) * shared / overlap
    each = zip(paired.tolist(), (in_a + in_b - 2 * shared).tolist(), overlap.tolist(), strict=True)
    found = [Alignment(*values) for values in each]
    return max(found, key=lambda one: one.evidence)


def _inside(edges: Floats, x: Floats, y: Floats) -> NDArray[np.bool_]:
    """Whether places lie within a hull widened by OVERLAP_MARGIN; true for all if there is no hull."""
    beyond = x[..., np.newaxis] * edges[:, 0] + y[..., np.newaxis] * edges[:, 1] + edges[:, 2]
    within: NDArray[np.bool_] = beyond.max(-1, initial=-np.inf) <= OVERLAP_MARGIN
    return within
