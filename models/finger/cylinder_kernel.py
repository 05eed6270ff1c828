"""The cylinders of models/finger/cylinders.py in compiled code: the same bits, about a hundred times as fast.

The sums are computed in single precision over the cells within reach. A sum too near to SET_ABOVE is computed again in
double precision, so that no bit differs.
"""

import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.compiled import NUMBA, compiled, count_bits
from models.finger.cylinders import (
    CENTRES,
    DIRECTIONS,
    DISC,
    HULL_MARGIN,
    MIN_NEIGHBOURS,
    MIN_VALID_PLACES,
    OFFSETS,
    PLACE_SIGMA,
    PLACES,
    RADIUS,
    REACH,
    SET_ABOVE,
    SIDE,
    Cylinders,
    Rows,
    cylinders_plain,
    direction_share,
    from_words,
    wrapped,
)
from models.finger.minutiae import MAX_MINUTIAE, TURN
from models.finger.packed_cylinders import LANES, PLACE_OF, WORDS, Words, packed

Values = NDArray[Any]
_PITCH = float(OFFSETS[1] - OFFSETS[0])
_FIRST = float(OFFSETS[0])
_NORM = 1 / (PLACE_SIGMA * math.sqrt(2 * math.pi))  # of both axes
_DOUBT = 4e-6  # upper bound of the error of single precision, with some margin
_LOW, _HIGH = float(np.float32(SET_ABOVE - _DOUBT)), float(np.float32(SET_ABOVE + _DOUBT))
_REACH_SQUARED = int(REACH * REACH)
_MIN_PLACES = math.ceil(MIN_VALID_PLACES * DISC.sum())
_DISC_WORD = np.uint64(sum(1 << place for place in np.flatnonzero(DISC).tolist()))
_DIRECTIONS_OF = wrapped(np.arange(TURN) * (2 * np.pi / TURN))
# For each difference of directions, the share of each of the six directions.
_SHARES: Values = direction_share(wrapped(CENTRES - _DIRECTIONS_OF[:, np.newaxis]))
_SHARES32 = _SHARES.astype(np.float32)
_COS, _SIN = np.cos(np.arange(TURN) * (2 * np.pi / TURN)), np.sin(np.arange(TURN) * (2 * np.pi / TURN))


@compiled
def hull(x: Values, y: Values, edges: Values) -> int:
    """Fill the edges of the convex hull: rows (normal x, normal y, offset), negative inside; return how many.

    0 if all points lie on one line.
    """
    n = len(x)
    order = np.argsort(x * 65536 + y)
    corner = np.empty(2 * n + 2, np.int64)
    k = 0
    for side in range(2):
        start = k
        for step in range(n):
            i = order[step] if side == 0 else order[n - 1 - step]
            while k - start >= 2:
                a, b = corner[k - 2], corner[k - 1]
                if (x[b] - x[a]) * (y[i] - y[a]) - (y[b] - y[a]) * (x[i] - x[a]) > 0:
                    break
                k -= 1
            corner[k] = i
            k += 1
        k -= 1  # the last of one side is the first of the other
    if k < 3:
        return 0
    for e in range(k):
        a, b = corner[e], corner[(e + 1) % k]
        dx, dy = float(x[b] - x[a]), float(y[b] - y[a])
        length = math.sqrt(dx * dx + dy * dy)
        edges[e, 0], edges[e, 1] = dy / length, -dx / length
        edges[e, 2] = -(edges[e, 0] * x[a] + edges[e, 1] * y[a])
    return k


@compiled
def seen_places(x: float, y: float, cos: float, sin: float, edges: Values, count: int) -> np.uint64:
    """The places of the disc around a minutia that lie within the widened hull, as a word."""
    word = _DISC_WORD
    for e in range(count):
        nx, ny, offset = edges[e, 0], edges[e, 1], edges[e, 2]
        if nx * x + ny * y + offset + RADIUS + 0.01 <= HULL_MARGIN:
            continue  # the whole disc is inside this edge
        for place in range(PLACES):
            along, across = _FIRST + (place // SIDE) * _PITCH, _FIRST + (place % SIDE) * _PITCH
            px = x + cos * along - sin * across
            py = y - sin * along - cos * across
            outside = nx * px + ny * py + offset > HULL_MARGIN
            word &= ~(np.uint64(outside) << np.uint64(place))
    return word


@compiled
def gaussian(distance: Values, number: int, out: Values, exponent: Values) -> None:
    """Fill exp(-d^2 / 2 sigma^2) of SIDE cells around each of `number` distances, in single precision."""
    scale = np.float32(-0.5 / (PLACE_SIGMA * PLACE_SIGMA) / math.log(2))
    for j in range(number):
        for k in range(SIDE):
            away = distance[j] - np.float32(_FIRST) - np.float32(k) * np.float32(_PITCH)
            power = max(scale * away * away, np.float32(-40))  # not smaller, because denormal numbers are slow
            whole = np.floor(power)
            part = power - whole
            value = np.float32(0.0018775767) * part + np.float32(0.0089893397)
            value = value * part + np.float32(0.055826318)
            value = value * part + np.float32(0.24015361)
            value = value * part + np.float32(0.69315308)
            value = value * part + np.float32(0.99999994)
            out[j, k] = value
            exponent[j, k] = (np.int32(whole) + np.int32(127)) << np.int32(23)
    scales = exponent.view(np.float32)
    for j in range(number):
        for k in range(SIDE):
            out[j, k] *= scales[j, k]


@compiled
def exact_cell(
    d: int, place: int, number: int, along: Values, across: Values, difference: Values, shares: Values
) -> float:
    """The sum of one cell, in double precision."""
    total = 0.0
    row, column = _FIRST + (place // SIDE) * _PITCH, _FIRST + (place % SIDE) * _PITCH
    for j in range(number):
        a, b = (along[j] - row) / PLACE_SIGMA, (across[j] - column) / PLACE_SIGMA
        total += shares[difference[j], d] * math.exp(-0.5 * a * a) * math.exp(-0.5 * b * b) * _NORM
    return total


@compiled
def accumulate(
    number: int, rows: Values, columns: Values, difference: Values, shares: Values, spread: Values, total: Values
) -> None:
    """Fill the sums of all cells of one minutia over its neighbours."""
    total[:] = 0
    for j in range(number):
        for r in range(SIDE):
            row = rows[j, r] * np.float32(_NORM)
            for c in range(SIDE):
                spread[r * SIDE + c] = row * columns[j, c]
        for d in range(DIRECTIONS):
            share = shares[difference[j], d]
            into = total[d]
            for place in range(PLACES):
                into[place] += share * spread[place]


@compiled
def above(sums: Values, level: float) -> np.uint64:
    """The places whose sum exceeds a level, as a word."""
    word = np.uint64(0)
    for place in range(PLACES):
        word |= np.uint64(sums[place] > level) << np.uint64(place)
    return word


@compiled
def fill(
    x: Values,
    y: Values,
    direction: Values,
    shares: Values,
    shares32: Values,
    cos_of: Values,
    sin_of: Values,
    bits: Values,
    valid: Values,
    which: Values,
) -> int:
    """Fill the cylinders of minutiae, best quality first; return how many. `which` receives their minutiae."""
    n = len(x)
    edges = np.empty((2 * n + 2, 3))
    count = hull(x, y, edges) if n >= 3 else 0
    along, across = np.empty(n), np.empty(n)
    along32, across32 = np.empty(n, np.float32), np.empty(n, np.float32)
    difference = np.empty(n, np.int64)
    rows, columns = np.empty((n, SIDE), np.float32), np.empty((n, SIDE), np.float32)
    exponent = np.empty((n, SIDE), np.int32)
    total, spread = np.empty((DIRECTIONS, PLACES), np.float32), np.empty(PLACES, np.float32)
    kept = 0
    for i in range(n):
        cos, sin = cos_of[direction[i]], sin_of[direction[i]]
        number = 0
        for j in range(n):
            dx, dy = x[j] - x[i], y[i] - y[j]
            if j != i and dx * dx + dy * dy <= _REACH_SQUARED:
                along[number] = dx * cos + dy * sin
                across[number] = dy * cos - dx * sin
                along32[number], across32[number] = along[number], across[number]
                difference[number] = (direction[i] - direction[j]) & (TURN - 1)
                number += 1
        if number < MIN_NEIGHBOURS:
            continue
        places = seen_places(float(x[i]), float(y[i]), cos, sin, edges, count)
        if count_bits(places) < _MIN_PLACES:
            continue
        gaussian(along32, number, rows, exponent)
        gaussian(across32, number, columns, exponent)
        accumulate(number, rows, columns, difference, shares32, spread, total)
        valid[kept] = places
        for d in range(DIRECTIONS):
            word, doubtful = above(total[d], _HIGH), above(total[d], _LOW)
            if word != doubtful:
                for place in range(PLACES):
                    if ((word ^ doubtful) >> np.uint64(place)) & np.uint64(1):
                        on = exact_cell(d, place, number, along, across, difference, shares) > SET_ABOVE
                        word |= np.uint64(on) << np.uint64(place)
            bits[kept, d] = word & places
        which[kept] = i
        kept += 1
    return kept


@compiled
def pack_lanes(bits: Values, valid: Values, direction: Values, count: int, place_of: Values, words: Values) -> None:
    """Fill the packed form of the first `count` cylinders, as packed() of models/finger/packed_cylinders.py."""
    words[:] = 0
    for k in range(count):
        at0, at1 = 0, 192
        for d in range(DIRECTIONS):
            for p in range(52):
                bit = np.uint32((bits[k, d] >> np.uint64(place_of[p])) & np.uint64(1))
                if (d + (p >= 26)) % 2 == 0:
                    words[at0 >> 5, k] |= bit << np.uint32(at0 & 31)
                    at0 += 1
                else:
                    words[at1 >> 5, k] |= bit << np.uint32(at1 & 31)
                    at1 += 1
        words[5, k] = np.uint32(direction[k])
        for p in range(52):
            bit = np.uint32((valid[k] >> np.uint64(place_of[p])) & np.uint64(1))
            at = 352 + p if p < 32 else (348 + p - 32 if p < 36 else 176 + p - 36)
            words[at >> 5, k] |= bit << np.uint32(at & 31)


@compiled
def fill_block(
    rows: Values,
    starts: Values,
    shares: Values,
    shares32: Values,
    cos_of: Values,
    sin_of: Values,
    place_of: Values,
    words: Values,
    which: Values,
) -> None:
    """Fill the packed cylinders of several entries, whose rows lie one after another."""
    bits, valid = np.empty((MAX_MINUTIAE, DIRECTIONS), np.uint64), np.empty(MAX_MINUTIAE, np.uint64)
    of, direction = np.empty(MAX_MINUTIAE, np.int64), np.empty(LANES, np.int64)
    for e in range(len(starts) - 1):
        own = rows[starts[e] : starts[e + 1]].astype(np.int64)
        x, y, directions = own[:, 0].copy(), own[:, 1].copy(), own[:, 2].copy()
        count = min(LANES, fill(x, y, directions, shares, shares32, cos_of, sin_of, bits, valid, of))
        which[e] = 0
        for k in range(count):
            which[e, k] = of[k]
            direction[k] = directions[of[k]]
        pack_lanes(bits, valid, direction, count, place_of, words[e])


def cylinders_of(rows: Rows) -> Cylinders:
    """The cylinders of rows, the same as models.finger.cylinders.cylinders_plain()."""
    if NUMBA is None:
        return cylinders_plain(rows)
    bits, valid = np.empty((len(rows), DIRECTIONS), np.uint64), np.empty(len(rows), np.uint64)
    which = np.empty(len(rows), np.int64)
    x, y, direction = np.ascontiguousarray(rows[:, :3].T.astype(np.int64))
    count = fill(x, y, direction, _SHARES, _SHARES32, _COS, _SIN, bits, valid, which)
    return from_words(rows, which[:count], bits[:count].copy(), valid[:count].copy())


def packed_cylinders_of(rows: Rows, starts: NDArray[np.int64]) -> tuple[Words, NDArray[np.uint8]]:
    """The packed cylinders of entries whose rows lie one after another, and the row of its entry for each cylinder."""
    words = np.empty((len(starts) - 1, WORDS, LANES), np.uint32)
    which = np.zeros((len(starts) - 1, LANES), np.uint8)
    if NUMBA is not None:
        fill_block(rows, starts, _SHARES, _SHARES32, _COS, _SIN, PLACE_OF, words, which)
        return words, which
    for e, (start, end) in enumerate(itertools.pairwise(starts.tolist())):
        own = rows[start:end]
        found = cylinders_plain(own)
        words[e] = packed(found.bits, found.valid, own[found.which, 2])
        which[e, : min(len(found), LANES)] = found.which[:LANES]
    return words, which
