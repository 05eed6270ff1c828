"""Whether two fingers lie on each other: the geometric half of models/finger/compare/score.py, in numpy.

models/finger/compare/alignment_kernel.py does the same in machine code.

Each of the most promising pairs of minutiae says how the one finger would have to be turned and shifted to lie on the
other. Laid so, minutiae of both are partners when each is the other's nearest and they differ by no more than TOLERANCE
says: more room far from where the fingers were joined, because skin stretches. The best laying is made exact on its
partners. What both fingers show of the same area must then have partners: those that lack one speak against.

Every minutia takes part, also those without a cylinder, and counts by its quality.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.finger.cylinder_kernel import hull
from models.finger.cylinders import Cylinders, Rows, angles

LAYINGS = 6  # pairs that are tried
REFINED = 2  # layings of most partners that are made exact
ROUNDS = 2  # of that
PLACE_SIGMA = 6.0  # pixels at 500 ppi
STRETCH = 0.06  # pixels more for each pixel from the middle of the partners
TURN_SIGMA = np.pi / 9
TOLERANCE = 3.0  # squared deviations, of place and turn together
ARM = 30.0  # pixels: the lever by which directions weigh against places when a laying is made exact
OVERLAP_MARGIN = 8.0  # pixels beyond the hull of the other finger's minutiae
UNKNOWN_QUALITY = 0.8  # of a minutia whose quality was not reported: the mean of what the network gives
# Weights of score.py, also to choose among layings.
AGREEING, MISSING = 0.4, 0.25

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Agreement:
    """What speaks for and against: minutiae with partners, in relation to all in the overlap; those without one.

    All count by quality. `overlap` is how many of each finger lie there (geometric mean).
    """

    agreeing: float
    missing: float
    overlap: float

    @property
    def evidence(self) -> float:
        """Both together, in the units of score.py."""
        return AGREEING * self.agreeing - MISSING * self.missing


@dataclass(frozen=True, slots=True, eq=False)
class _Points:
    """All minutiae of a finger: x, y in pixels (y down), radians, quality 0..1, and the edges of their hull."""

    x: Floats
    y: Floats
    angle: Floats
    quality: Floats
    edges: Floats


@dataclass(frozen=True, slots=True, eq=False)
class _Laying:
    """How b lies on a, [layings] of each: turned counter-clockwise, then shifted; and where they are joined, on a."""

    turn: Floats
    x: Floats
    y: Floats
    middle_x: Floats
    middle_y: Floats

    def take(self, index: NDArray[np.intp]) -> "_Laying":
        return _Laying(self.turn[index], self.x[index], self.y[index], self.middle_x[index], self.middle_y[index])

    def laid(self, b: _Points) -> tuple[Floats, Floats]:
        """Where the minutiae of b lie on a, [layings, b]."""
        cos, sin = np.cos(self.turn)[:, np.newaxis], np.sin(self.turn)[:, np.newaxis]
        return cos * b.x + sin * b.y + self.x[:, np.newaxis], cos * b.y - sin * b.x + self.y[:, np.newaxis]

    def lifted(self, a: _Points) -> tuple[Floats, Floats]:
        """Where the minutiae of a lie on b."""
        cos, sin = np.cos(self.turn)[:, np.newaxis], np.sin(self.turn)[:, np.newaxis]
        x, y = a.x - self.x[:, np.newaxis], a.y - self.y[:, np.newaxis]
        return cos * x - sin * y, sin * x + cos * y


@dataclass(frozen=True, slots=True, eq=False)
class _Partners:
    """Of each minutia of a, [layings, a]: its partner in b, whether it has one, and how far off that is, 0..1."""

    of: NDArray[np.intp]
    there: NDArray[np.bool_]
    off: Floats


def agreement(a: Cylinders, b: Cylinders, pairs: tuple[NDArray[np.intp], NDArray[np.intp]]) -> Agreement:
    """Of two fingers, by pairs of cylinders in the order in which they are promising; at least one."""
    one, other = _points(a.rows), _points(b.rows)
    first, second = (c.which[chosen[:LAYINGS]] for c, chosen in zip((a, b), pairs, strict=True))
    tried = _joined(one, other, first, second)
    partners = _partners(one, other, tried)
    gain = ((1 - partners.off) * _weights(one, other, partners)).sum(1)
    laying = tried.take(np.argsort(-np.round(gain, 9), kind="stable")[:REFINED])
    for _ in range(ROUNDS):
        laying = _exact(one, other, laying, _partners(one, other, laying))
    return _best(one, other, laying)


def _points(rows: Rows) -> _Points:
    x, y, _, quality = rows.T
    edges = np.empty((2 * len(rows) + 2, 3))
    count = hull(x.astype(np.int64), y.astype(np.int64), edges) if len(rows) >= 3 else 0
    known = np.where(quality > 0, quality / 100, UNKNOWN_QUALITY)
    return _Points(x.astype(float), y.astype(float), angles(rows).astype(float), known, edges[:count])


def _joined(a: _Points, b: _Points, first: NDArray[np.intp], second: NDArray[np.intp]) -> _Laying:
    """The layings that put a minutia of b on one of a."""
    turn = a.angle[first] - b.angle[second]
    cos, sin = np.cos(turn), np.sin(turn)
    x, y = a.x[first], a.y[first]
    shift_x = x - (cos * b.x[second] + sin * b.y[second])
    return _Laying(turn, shift_x, y - (cos * b.y[second] - sin * b.x[second]), x, y)


def _partners(a: _Points, b: _Points, laying: _Laying) -> _Partners:
    x, y = laying.laid(b)
    reach = PLACE_SIGMA + STRETCH * np.hypot(a.x - laying.middle_x[:, np.newaxis], a.y - laying.middle_y[:, np.newaxis])
    of = np.zeros(reach.shape, np.intp)
    off = np.full(reach.shape, TOLERANCE + 1)
    _nearest(a.x, a.y, a.angle, x, y, b.angle, laying.turn, reach * reach, of, off)
    there = off <= TOLERANCE
    return _Partners(of, there, np.where(there, off / TOLERANCE, 1))


def _nearest(
    ax: Floats,
    ay: Floats,
    a_angle: Floats,
    bx: Floats,
    by: Floats,
    b_angle: Floats,
    turn: Floats,
    spread: Floats,
    of: NDArray[np.intp],
    off: Floats,
) -> None:
    """Of each minutia of a its partner in b and how far off that is, where there is one; bx, by are laid on a."""
    apart = (ax[:, np.newaxis] - bx[:, np.newaxis]) ** 2 + (ay[:, np.newaxis] - by[:, np.newaxis]) ** 2
    turned = a_angle[:, np.newaxis] - b_angle - turn[:, np.newaxis, np.newaxis]
    turned = (turned - 2 * np.pi * np.rint(turned / (2 * np.pi))) / TURN_SIGMA
    here = apart / spread[..., np.newaxis] + turned * turned
    nearest, back = here.argmin(2), here.argmin(1)
    least = np.take_along_axis(here, nearest[..., np.newaxis], 2)[..., 0]
    mutual = (np.take_along_axis(back, nearest, 1) == np.arange(len(ax))) & (least <= TOLERANCE)
    of[mutual], off[mutual] = nearest[mutual], least[mutual]


def _weights(a: _Points, b: _Points, partners: _Partners) -> Floats:
    """Of each minutia of a, what it and its partner count."""
    weights: Floats = np.where(partners.there, np.sqrt(a.quality * b.quality[partners.of]), 0)
    return weights


def _exact(a: _Points, b: _Points, laying: _Laying, partners: _Partners) -> _Laying:
    """The laying of least squares of the partners, places and directions together; as it was where they are too few."""
    weight = np.where(partners.there, np.exp(-TOLERANCE / 2 * partners.off), 0)
    total = np.maximum(weight.sum(1), 1e-9)
    bx, by, b_angle = b.x[partners.of], b.y[partners.of], b.angle[partners.of]
    ax, ay, ux, uy = ((weight * values).sum(1) / total for values in (a.x, a.y, bx, by))
    from_ax, from_ay = a.x - ax[:, np.newaxis], a.y - ay[:, np.newaxis]
    from_bx, from_by = bx - ux[:, np.newaxis], by - uy[:, np.newaxis]
    turned = a.angle - b_angle
    along = from_ax * from_bx + from_ay * from_by + ARM * ARM * np.cos(turned)
    across = from_ax * from_by - from_ay * from_bx + ARM * ARM * np.sin(turned)
    turn = np.arctan2((weight * across).sum(1), (weight * along).sum(1))
    cos, sin = np.cos(turn), np.sin(turn)
    made = (turn, ax - (cos * ux + sin * uy), ay - (cos * uy - sin * ux), ax, ay)
    before = (laying.turn, laying.x, laying.y, laying.middle_x, laying.middle_y)
    enough = partners.there.sum(1) >= 2
    return _Laying(*(np.where(enough, new, old) for new, old in zip(made, before, strict=True)))


def _best(a: _Points, b: _Points, laying: _Laying) -> Agreement:
    partners = _partners(a, b, laying)
    weights = _weights(a, b, partners)
    taken = np.zeros((len(laying.turn), len(b.x)), bool)
    which, at = np.nonzero(partners.there)
    taken[which, partners.of[which, at]] = True
    in_a = (a.quality * (partners.there | _inside(b.edges, *laying.lifted(a)))).sum(1)
    in_b = (b.quality * (taken | _inside(a.edges, *laying.laid(b)))).sum(1)
    shared = weights.sum(1)
    overlap = np.sqrt(np.maximum(in_a * in_b, 0.1))
    agreeing = ((1 - partners.off) * weights).sum(1) * shared / overlap
    each = zip(agreeing.tolist(), (in_a + in_b - 2 * shared).tolist(), overlap.tolist(), strict=True)
    found = [Agreement(*values) for values in each]
    return max(found, key=lambda one: one.evidence)


def _inside(edges: Floats, x: Floats, y: Floats) -> NDArray[np.bool_]:
    """Whether places lie within a hull, widened by a margin; without a hull all do."""
    beyond = x[..., np.newaxis] * edges[:, 0] + y[..., np.newaxis] * edges[:, 1] + edges[:, 2]
    within: NDArray[np.bool_] = beyond.max(-1, initial=-np.inf) <= OVERLAP_MARGIN
    return within
