"""Laying fingers on each other in machine code: models/finger/compare/alignment.py, equal to it within rounding.

Minutiae are rows of POINT numbers: x, y, direction, quality. Layings are rows of LAYING numbers: by how much the second
finger is turned, how far it is then shifted to the right and down, and where the two are joined.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.compiled import compiled, exactly
from models.finger.compare.alignment import (
    AGREEING,
    ARM,
    LAYINGS,
    MISSING,
    OVERLAP_MARGIN,
    PLACE_SIGMA,
    REFINED,
    ROUNDS,
    STRETCH,
    TOLERANCE,
    TURN_SIGMA,
    UNKNOWN_QUALITY,
)
from models.finger.compare.local_similarity import DIGITS
from models.finger.cylinder_kernel import hull
from models.finger.minutiae import TURN

POINT, LAYING = 4, 5
Values = NDArray[Any]
_RADIANS = 2 * np.pi / TURN
_ROOM = 1.000001  # of a limit that only spares work


@exactly
def fill_points(rows: Values, out: Values) -> None:
    """The points of the rows of a template."""
    for i in range(len(rows)):
        out[i, 0], out[i, 1], out[i, 2] = rows[i, 0], rows[i, 1], rows[i, 2] * _RADIANS
        out[i, 3] = rows[i, 3] / 100 if rows[i, 3] > 0 else UNKNOWN_QUALITY


@exactly
def partners(a: Values, b: Values, laying: Values, of: Values, off: Values) -> int:
    """Of each of a its partner in b, -1 without one, and how far off that is, 0..1; returns how many have one.

    What is too far apart is nobody's nearest within TOLERANCE, so it is passed over.
    """
    turn, cos, sin = laying[0], math.cos(laying[0]), math.sin(laying[0])
    bx, by = cos * b[:, 0] + sin * b[:, 1] + laying[1], cos * b[:, 1] - sin * b[:, 0] + laying[2]
    back, back_off = np.full(len(b), -1), np.full(len(b), np.inf)
    for i in range(len(a)):
        away = math.hypot(a[i, 0] - laying[3], a[i, 1] - laying[4])
        spread = (PLACE_SIGMA + STRETCH * away) ** 2
        far, of[i], off[i] = TOLERANCE * spread * _ROOM, -1, TOLERANCE
        for j in range(len(b)):
            dx, dy = a[i, 0] - bx[j], a[i, 1] - by[j]
            apart = dx * dx + dy * dy
            if apart > far:
                continue
            turned = a[i, 2] - b[j, 2] - turn
            turned = (turned - 2 * np.pi * np.rint(turned / (2 * np.pi))) / TURN_SIGMA
            here = apart / spread + turned * turned
            if here < off[i] or (here == off[i] and of[i] < 0):
                off[i], of[i] = here, j
            if here < back_off[j]:
                back_off[j], back[j] = here, i
    found = 0
    for i in range(len(a)):
        if of[i] >= 0 and back[of[i]] != i:
            of[i] = -1
        off[i] = off[i] / TOLERANCE if of[i] >= 0 else 1.0
        found += of[i] >= 0
    return found


@compiled
def gain_of(a: Values, b: Values, of: Values, off: Values) -> float:
    """What partners count, the more the less they are off."""
    gain = 0.0
    for i in range(len(a)):
        if of[i] >= 0:
            gain += (1 - off[i]) * math.sqrt(a[i, 3] * b[of[i], 3])
    return gain


@compiled
def join(a: Values, b: Values, laying: Values) -> None:
    """The laying that puts one minutia of b on one of a."""
    turn = a[2] - b[2]
    cos, sin = math.cos(turn), math.sin(turn)
    laying[0], laying[3], laying[4] = turn, a[0], a[1]
    laying[1], laying[2] = a[0] - (cos * b[0] + sin * b[1]), a[1] - (cos * b[1] - sin * b[0])


@compiled
def make_exact(a: Values, b: Values, of: Values, off: Values, laying: Values) -> None:
    """The laying of least squares of at least two partners, places and directions together."""
    weight = np.zeros(len(a))
    total = ax = ay = ux = uy = 0.0
    for i in range(len(a)):
        if of[i] >= 0:
            w, j = math.exp(-TOLERANCE / 2 * off[i]), of[i]
            weight[i] = w
            total, ax, ay, ux, uy = total + w, ax + w * a[i, 0], ay + w * a[i, 1], ux + w * b[j, 0], uy + w * b[j, 1]
    ax, ay, ux, uy = ax / total, ay / total, ux / total, uy / total
    along = across = 0.0
    for i in range(len(a)):
        if of[i] >= 0:
            j = of[i]
            from_ax, from_ay, from_bx, from_by = a[i, 0] - ax, a[i, 1] - ay, b[j, 0] - ux, b[j, 1] - uy
            turned = a[i, 2] - b[j, 2]
            along += weight[i] * (from_ax * from_bx + from_ay * from_by + ARM * ARM * math.cos(turned))
            across += weight[i] * (from_ax * from_by - from_ay * from_bx + ARM * ARM * math.sin(turned))
    laying[0] = math.atan2(across, along)
    cos, sin = math.cos(laying[0]), math.sin(laying[0])
    laying[1], laying[2] = ax - (cos * ux + sin * uy), ay - (cos * uy - sin * ux)
    laying[3], laying[4] = ax, ay


@compiled
def fit_layings(a: Values, b: Values, first: Values, second: Values) -> Values:
    """The REFINED best layings of those that the pairs of minutiae `first` and `second` say, made exact."""
    tried = min(LAYINGS, len(first))
    layings, gains = np.empty((tried, LAYING)), np.empty(tried)
    of, off = np.empty(len(a), np.int64), np.empty(len(a))
    for h in range(tried):
        join(a[first[h]], b[second[h]], layings[h])
        partners(a, b, layings[h], of, off)
        gains[h] = np.round(gain_of(a, b, of, off), DIGITS)
    kept = np.empty((min(REFINED, tried), LAYING))
    for k in range(len(kept)):
        best = 0
        for h in range(1, tried):
            if gains[h] > gains[best]:
                best = h
        kept[k], gains[best] = layings[best], -1.0
        for _ in range(ROUNDS):
            if partners(a, b, kept[k], of, off) >= 2:
                make_exact(a, b, of, off, kept[k])
    return kept


@compiled
def inside(edges: Values, count: int, x: float, y: float) -> bool:
    """Whether a place lies within a hull, widened by a margin; without a hull all do."""
    beyond = -np.inf
    for e in range(count):
        beyond = max(beyond, x * edges[e, 0] + y * edges[e, 1] + edges[e, 2])
    return beyond <= OVERLAP_MARGIN


@compiled
def edges_of(points: Values, edges: Values) -> int:
    """Of the hull of a finger's minutiae; how many."""
    if len(points) < 3:
        return 0
    return int(hull(points[:, 0].astype(np.int64), points[:, 1].astype(np.int64), edges))


@compiled
def best_laying(a: Values, b: Values, layings: Values, out: Values) -> None:
    """The numbers of the Agreement of the laying of most evidence."""
    a_edges, b_edges = np.empty((2 * len(a) + 2, 3)), np.empty((2 * len(b) + 2, 3))
    a_count, b_count = edges_of(a, a_edges), edges_of(b, b_edges)
    of, off, taken = np.empty(len(a), np.int64), np.empty(len(a)), np.empty(len(b), np.bool_)
    best = -np.inf
    for h in range(len(layings)):
        turn, right, down = layings[h, 0], layings[h, 1], layings[h, 2]
        cos, sin = math.cos(turn), math.sin(turn)
        partners(a, b, layings[h], of, off)
        taken[:] = False
        in_a = in_b = shared = 0.0
        for i in range(len(a)):
            x, y = a[i, 0] - right, a[i, 1] - down
            if of[i] >= 0:
                taken[of[i]] = True
                shared += math.sqrt(a[i, 3] * b[of[i], 3])
            if of[i] >= 0 or inside(b_edges, b_count, cos * x - sin * y, sin * x + cos * y):
                in_a += a[i, 3]
        for j in range(len(b)):
            x, y = cos * b[j, 0] + sin * b[j, 1] + right, cos * b[j, 1] - sin * b[j, 0] + down
            if taken[j] or inside(a_edges, a_count, x, y):
                in_b += b[j, 3]
        overlap = math.sqrt(max(in_a * in_b, 0.1))
        agreeing = gain_of(a, b, of, off) * shared / overlap
        missing = in_a + in_b - 2 * shared
        if AGREEING * agreeing - MISSING * missing > best:
            best = AGREEING * agreeing - MISSING * missing
            out[0], out[1], out[2] = agreeing, missing, overlap
