"""The alignment of two fingers in compiled code: models/finger/compare/alignment.py, equal to it within rounding.

Minutiae are rows of POINT numbers: x, y, direction, quality. Transforms are rows of TRANSFORM numbers: the rotation of
the second finger, its shift to the right and down after that, and the middle of the pairs.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.compiled import compiled, exactly
from models.finger.compare.alignment import (
    ARM,
    OVERLAP_MARGIN,
    PAIRED_WEIGHT,
    PLACE_SIGMA,
    REFINED,
    ROTATION_SIGMA,
    ROUNDS,
    STRETCH,
    TOLERANCE,
    TRIED,
    UNKNOWN_QUALITY,
    UNPAIRED_WEIGHT,
)
from models.finger.compare.local_similarity import DIGITS
from models.finger.cylinder_kernel import hull
from models.finger.minutiae import TURN

POINT, TRANSFORM = 4, 5
Values = NDArray[Any]
_RADIANS = 2 * np.pi / TURN
_ROOM = 1.000001  # added to a limit that only saves work


@exactly
def fill_points(rows: Values, out: Values) -> None:
    """Fill `out` with the points of the rows of a template."""
    for i in range(len(rows)):
        out[i, 0], out[i, 1], out[i, 2] = rows[i, 0], rows[i, 1], rows[i, 2] * _RADIANS
        out[i, 3] = rows[i, 3] / 100 if rows[i, 3] > 0 else UNKNOWN_QUALITY


@exactly
def pair_minutiae(a: Values, b: Values, transform: Values, which: Values, deviation: Values) -> int:
    """Fill, for each minutia of a, which of b is its pair (-1: none) and their deviation, 0..1; return how many pairs.

    Two that are too far apart cannot be nearest within TOLERANCE, so they are skipped.
    """
    rotation, cos, sin = transform[0], math.cos(transform[0]), math.sin(transform[0])
    bx, by = cos * b[:, 0] + sin * b[:, 1] + transform[1], cos * b[:, 1] - sin * b[:, 0] + transform[2]
    back, back_deviation = np.full(len(b), -1), np.full(len(b), np.inf)
    for i in range(len(a)):
        away = math.hypot(a[i, 0] - transform[3], a[i, 1] - transform[4])
        spread = (PLACE_SIGMA + STRETCH * away) ** 2
        far, which[i], deviation[i] = TOLERANCE * spread * _ROOM, -1, TOLERANCE
        for j in range(len(b)):
            dx, dy = a[i, 0] - bx[j], a[i, 1] - by[j]
            apart = dx * dx + dy * dy
            if apart > far:
                continue
            rotated = a[i, 2] - b[j, 2] - rotation
            rotated = (rotated - 2 * np.pi * np.rint(rotated / (2 * np.pi))) / ROTATION_SIGMA
            here = apart / spread + rotated * rotated
            if here < deviation[i] or (here == deviation[i] and which[i] < 0):
                deviation[i], which[i] = here, j
            if here < back_deviation[j]:
                back_deviation[j], back[j] = here, i
    found = 0
    for i in range(len(a)):
        if which[i] >= 0 and back[which[i]] != i:
            which[i] = -1
        deviation[i] = deviation[i] / TOLERANCE if which[i] >= 0 else 1.0
        found += which[i] >= 0
    return found


@compiled
def gain_of(a: Values, b: Values, which: Values, deviation: Values) -> float:
    """The sum of the weights of the pairs, each the higher the smaller its deviation."""
    gain = 0.0
    for i in range(len(a)):
        if which[i] >= 0:
            gain += (1 - deviation[i]) * math.sqrt(a[i, 3] * b[which[i], 3])
    return gain


@compiled
def fill_transform(a: Values, b: Values, transform: Values) -> None:
    """Fill the transform that puts one minutia of b exactly on one of a."""
    rotation = a[2] - b[2]
    cos, sin = math.cos(rotation), math.sin(rotation)
    transform[0], transform[3], transform[4] = rotation, a[0], a[1]
    transform[1], transform[2] = a[0] - (cos * b[0] + sin * b[1]), a[1] - (cos * b[1] - sin * b[0])


@compiled
def refine(a: Values, b: Values, which: Values, deviation: Values, transform: Values) -> None:
    """Fill the least-squares transform of at least two pairs, places and directions together."""
    weight = np.zeros(len(a))
    total = ax = ay = ux = uy = 0.0
    for i in range(len(a)):
        if which[i] >= 0:
            w, j = math.exp(-TOLERANCE / 2 * deviation[i]), which[i]
            weight[i] = w
            total, ax, ay, ux, uy = total + w, ax + w * a[i, 0], ay + w * a[i, 1], ux + w * b[j, 0], uy + w * b[j, 1]
    ax, ay, ux, uy = ax / total, ay / total, ux / total, uy / total
    along = across = 0.0
    for i in range(len(a)):
        if which[i] >= 0:
            j = which[i]
            from_ax, from_ay, from_bx, from_by = a[i, 0] - ax, a[i, 1] - ay, b[j, 0] - ux, b[j, 1] - uy
            rotated = a[i, 2] - b[j, 2]
            along += weight[i] * (from_ax * from_bx + from_ay * from_by + ARM * ARM * math.cos(rotated))
            across += weight[i] * (from_ax * from_by - from_ay * from_bx + ARM * ARM * math.sin(rotated))
    transform[0] = math.atan2(across, along)
    cos, sin = math.cos(transform[0]), math.sin(transform[0])
    transform[1], transform[2] = ax - (cos * ux + sin * uy), ay - (cos * uy - sin * ux)
    transform[3], transform[4] = ax, ay


@compiled
def fit_transforms(a: Values, b: Values, first: Values, second: Values) -> Values:
    """The REFINED best transforms, refined, of those given by the pairs of minutiae `first` and `second`."""
    tried = min(TRIED, len(first))
    transforms, gains = np.empty((tried, TRANSFORM)), np.empty(tried)
    which, deviation = np.empty(len(a), np.int64), np.empty(len(a))
    for h in range(tried):
        fill_transform(a[first[h]], b[second[h]], transforms[h])
        pair_minutiae(a, b, transforms[h], which, deviation)
        gains[h] = np.round(gain_of(a, b, which, deviation), DIGITS)
    kept = np.empty((min(REFINED, tried), TRANSFORM))
    for k in range(len(kept)):
        best = 0
        for h in range(1, tried):
            if gains[h] > gains[best]:
                best = h
        kept[k], gains[best] = transforms[best], -1.0
        for _ in range(ROUNDS):
            if pair_minutiae(a, b, kept[k], which, deviation) >= 2:
                refine(a, b, which, deviation, kept[k])
    return kept


@compiled
def inside(edges: Values, count: int, x: float, y: float) -> bool:
    """Whether a place lies within a hull widened by OVERLAP_MARGIN; true if there is no hull."""
    beyond = -np.inf
    for e in range(count):
        beyond = max(beyond, x * edges[e, 0] + y * edges[e, 1] + edges[e, 2])
    return beyond <= OVERLAP_MARGIN


@compiled
def fill_edges(points: Values, edges: Values) -> int:
    """Fill the edges of the hull of a finger's minutiae; return their number."""
    if len(points) < 3:
        return 0
    return int(hull(points[:, 0].astype(np.int64), points[:, 1].astype(np.int64), edges))


@compiled
def fill_best_alignment(a: Values, b: Values, transforms: Values, out: Values) -> None:
    """Fill the numbers of the Alignment with the most evidence."""
    a_edges, b_edges = np.empty((2 * len(a) + 2, 3)), np.empty((2 * len(b) + 2, 3))
    a_count, b_count = fill_edges(a, a_edges), fill_edges(b, b_edges)
    which, deviation, taken = np.empty(len(a), np.int64), np.empty(len(a)), np.empty(len(b), np.bool_)
    best = -np.inf
    for h in range(len(transforms)):
        rotation, right, down = transforms[h, 0], transforms[h, 1], transforms[h, 2]
        cos, sin = math.cos(rotation), math.sin(rotation)
        pair_minutiae(a, b, transforms[h], which, deviation)
        taken[:] = False
        in_a = in_b = shared = 0.0
        for i in range(len(a)):
            x, y = a[i, 0] - right, a[i, 1] - down
            if which[i] >= 0:
                taken[which[i]] = True
                shared += math.sqrt(a[i, 3] * b[which[i], 3])
            if which[i] >= 0 or inside(b_edges, b_count, cos * x - sin * y, sin * x + cos * y):
                in_a += a[i, 3]
        for j in range(len(b)):
            x, y = cos * b[j, 0] + sin * b[j, 1] + right, cos * b[j, 1] - sin * b[j, 0] + down
            if taken[j] or inside(a_edges, a_count, x, y):
                in_b += b[j, 3]
        overlap = math.sqrt(max(in_a * in_b, 0.1))
        paired = gain_of(a, b, which, deviation) * shared / overlap
        unpaired = in_a + in_b - 2 * shared
        if PAIRED_WEIGHT * paired - UNPAIRED_WEIGHT * unpaired > best:
            best = PAIRED_WEIGHT * paired - UNPAIRED_WEIGHT * unpaired
            out[0], out[1], out[2] = paired, unpaired, overlap
