"""The second half of local_similarity.py in compiled code: the best pairs, their support, and the relaxation.

The same arithmetic; equal to it within rounding. Used by models/finger/search/rerank.py and
models/finger/compare/score_kernel.py.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.compiled import compiled
from models.finger.compare.local_similarity import (
    BEARING_CURVE,
    DIRECTION_CURVE,
    DISTANCE_CURVE,
    FINAL_PAIRS,
    MIN_SUPPORTERS,
    OWN_WEIGHT,
    ROUNDS,
)

Values = NDArray[Any]
_BINS = 512
_FAR = 45.0  # nats beyond the middle of a logistic curve: there and beyond, support counts as 0


@compiled
def top_pairs(value: Values, rows: int, columns: int, wanted: int, chosen: Values) -> None:
    """Fill where in the flat `value` the `wanted` largest of value[:rows, :columns] are; the first of equals first."""
    pitch = value.shape[1]
    bins = np.zeros(_BINS + 1, np.int64)
    for i in range(rows):
        for k in range(columns):
            bins[int(value[i, k] * _BINS)] += 1
    level, above = _BINS, bins[_BINS]
    while above < wanted:
        level -= 1
        above += bins[level]
    filled = 0
    for i in range(rows):
        for k in range(columns):
            here = value[i, k]
            if int(here * _BINS) < level:
                continue
            at = filled
            while at > 0 and value[chosen[at - 1] // pitch, chosen[at - 1] % pitch] < here:
                if at < wanted:
                    chosen[at] = chosen[at - 1]
                at -= 1
            if at < wanted:
                chosen[at] = i * pitch + k
                filled = min(filled + 1, wanted)


@compiled
def wrapped(angle: float) -> float:
    """The same angle in -pi..pi."""
    return angle - 2 * math.pi * math.floor((angle + math.pi) / (2 * math.pi))


@compiled
def nats(difference: float, curve: tuple[float, float]) -> float:
    """How far a difference lies beyond the middle of a logistic curve."""
    return -curve[1] * (difference - curve[0])


@compiled
def bearing_between(ax: float, ay: float, bx: float, by: float) -> float:
    """The angle from the bearing of b to that of a, both as seen from the first minutia of their pair."""
    if (ax == 0 and ay == 0) or (bx == 0 and by == 0):
        return math.atan2(ay, ax) - math.atan2(by, bx)
    return math.atan2(ay * bx - ax * by, ax * bx + ay * by)


@compiled
def fill_support(pa: Values, pb: Values, n: int, support: Values) -> None:
    """Fill how well each two pairs support each other, [n, n]; `pa` and `pb` are rows of x, y, angle."""
    for t in range(n):
        for k in range(t):
            ax, ay, bx, by = pa[k, 0] - pa[t, 0], pa[t, 1] - pa[k, 1], pb[k, 0] - pb[t, 0], pb[t, 1] - pb[k, 1]
            far = nats(abs(math.sqrt(ax * ax + ay * ay) - math.sqrt(bx * bx + by * by)), DISTANCE_CURVE)
            if far > _FAR:
                continue
            off = nats(abs(wrapped(wrapped(pa[t, 2] - pa[k, 2]) - wrapped(pb[t, 2] - pb[k, 2]))), DIRECTION_CURVE)
            if off + max(far, 0.0) > _FAR:
                continue
            there = bearing_between(ax, ay, bx, by)
            back = (
                there
                if ax * ax + ay * ay > 0 and bx * bx + by * by > 0
                else bearing_between(0.0 - ax, 0.0 - ay, 0.0 - bx, 0.0 - by)
            )  # not -0.0, for which atan2 gives another angle
            both = (1 + math.exp(far)) * (1 + math.exp(off))
            for here, bearing, seen in ((t, there, k), (k, back, t)):
                aside = nats(abs(wrapped(pa[here, 2] - pb[here, 2] - bearing)), BEARING_CURVE)
                if aside < _FAR:
                    support[here, seen] = 1 / (both * (1 + math.exp(aside)))


@compiled
def relax(start: Values, support: Values, n: int, value: Values) -> None:
    """Fill the similarity of each of n pairs after relaxation with the support of the others."""
    following = np.empty(n)
    value[:n] = start[:n]
    supporters = max(n - 1, MIN_SUPPORTERS)
    for _ in range(ROUNDS):
        for t in range(n):
            total = 0.0
            for k in range(n):
                total += support[t, k] * value[k]
            following[t] = OWN_WEIGHT * value[t] + (1 - OWN_WEIGHT) * total / supporters
        value[:n] = following


@compiled
def mean_of_kept(start: Values, value: Values, n: int) -> float:
    """The local similarity: the mean of the pairs that kept most of their similarity."""
    kept = np.empty(n)
    for t in range(n):
        kept[t] = -value[t] / start[t] if start[t] > 0 else 0.0
    total = 0.0
    for _ in range(min(n, FINAL_PAIRS)):
        best = 0
        for t in range(1, n):
            if kept[t] < kept[best]:
                best = t
        total += value[best]
        kept[best] = np.inf
    return total / FINAL_PAIRS
