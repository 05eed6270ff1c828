"""The second step of a search: local_similarity.local_similarity() over the best LANES cylinders of each entry.

The same arithmetic in compiled code, fast enough to order a short list of thousands; equal to it within rounding. The
scores that a search returns are then computed by models/finger/compare/score.py, over all cylinders and with alignment.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.compiled import compiled, count_bits
from models.finger.compare.local_similarity import FINAL_PAIRS, MAX_ROTATION, MIN_COMMON_PLACES, TOP_PAIRS
from models.finger.compare.relaxation import fill_support, mean_of_kept, relax, top_pairs
from models.finger.minutiae import TURN
from models.finger.packed_cylinders import LANES

FIELDS = 8  # of an unpacked cylinder: six words of 52 bits, and the valid places of the first three and the last three
Values = NDArray[Any]
_HALF_MASK, _MASK = np.uint64((1 << 26) - 1), np.uint64((1 << 52) - 1)
_MAX_ROTATION = int(MAX_ROTATION / (2 * math.pi) * TURN)
_MIN_PLACES = math.ceil(MIN_COMMON_PLACES)
_ANGLES = (np.arange(TURN) * (2 * np.pi / TURN)).astype(np.float32).astype(np.float64)


@compiled
def unpack_lanes(words: Values, fields: Values) -> int:
    """Unpack [WORDS, LANES] to [FIELDS, LANES]; return the number of cylinders."""
    count = 0
    for k in range(LANES):
        for half in range(2):
            at = 6 * half
            low = np.uint64(words[at, k]) | np.uint64(words[at + 1, k]) << np.uint64(32)
            high = np.uint64(words[at + 2, k]) | np.uint64(words[at + 3, k]) << np.uint64(32)
            last = np.uint64(words[at + 4, k]) & np.uint64((1 << 28) - 1)
            fields[3 * half, k] = low & _MASK
            fields[3 * half + 1, k] = (low >> np.uint64(52) | high << np.uint64(12)) & _MASK
            fields[3 * half + 2, k] = (high >> np.uint64(40) | last << np.uint64(24)) & _MASK
        places = np.uint64(words[11, k]) | np.uint64(words[10, k] >> np.uint32(28)) << np.uint64(32)
        places |= np.uint64(words[5, k] >> np.uint32(16)) << np.uint64(36)
        fields[6, k] = places
        fields[7, k] = (places >> np.uint64(26)) | (places & _HALF_MASK) << np.uint64(26)
        count += places != 0
    return count


@compiled
def similarities(a: Values, b: Values, i: int, rotation: Values, out: Values) -> None:
    """Fill local_similarity.pair_similarity() of cylinder i of `a` with each of `b`; `rotation` is between them."""
    for k in range(LANES):
        even, odd = a[6, i] & b[6, k], a[7, i] & b[7, k]
        left = count_bits(a[0, i] & even) + count_bits(a[1, i] & even) + count_bits(a[2, i] & even)
        left += count_bits(a[3, i] & odd) + count_bits(a[4, i] & odd) + count_bits(a[5, i] & odd)
        right = count_bits(b[0, k] & even) + count_bits(b[1, k] & even) + count_bits(b[2, k] & even)
        right += count_bits(b[3, k] & odd) + count_bits(b[4, k] & odd) + count_bits(b[5, k] & odd)
        d = count_bits((a[0, i] ^ b[0, k]) & even) + count_bits((a[1, i] ^ b[1, k]) & even)
        d += count_bits((a[2, i] ^ b[2, k]) & even) + count_bits((a[3, i] ^ b[3, k]) & odd)
        d += count_bits((a[4, i] ^ b[4, k]) & odd) + count_bits((a[5, i] ^ b[5, k]) & odd)
        length = np.sqrt(np.float32(left)) + np.sqrt(np.float32(right))
        value = np.float32(1) - np.sqrt(np.float32(d)) / max(length, np.float32(1))
        comparable = (count_bits(even) >= _MIN_PLACES) & (rotation[k] <= _MAX_ROTATION) & (left + right > 0)
        out[k] = max(value, np.float32(0)) if comparable else np.float32(0)


@compiled
def comes_first(a_count: int, a_places: Values, b_count: int, b_places: Values) -> bool:
    """Whether a comes first, as models.finger.compare.local_similarity.in_order() decides."""
    if a_count != b_count:
        return a_count < b_count
    for column in (2, 0, 1):
        for k in range(a_count):
            if a_places[k, column] != b_places[k, column]:
                return bool(a_places[k, column] < b_places[k, column])
    return True


@compiled
def score_lanes(a: Values, a_count: int, a_places: Values, b: Values, b_count: int, b_places: Values) -> float:
    """The local similarity of two entries, of which a comes first; places are rows of x, y, direction."""
    value = np.empty((LANES, LANES), np.float32)
    rotation = np.empty(LANES, np.int32)
    for i in range(a_count):
        for k in range(LANES):
            apart = (a_places[i, 2] - b_places[k, 2]) & (TURN - 1)
            rotation[k] = min(apart, TURN - apart)
        similarities(a, b, i, rotation, value[i])
    n = min(TOP_PAIRS, a_count, b_count)
    chosen = np.empty(TOP_PAIRS, np.int64)
    top_pairs(value, a_count, b_count, n, chosen)
    start, pa, pb = np.empty(n), np.empty((n, 3)), np.empty((n, 3))
    for t in range(n):
        i, k = chosen[t] // LANES, chosen[t] % LANES
        start[t] = value[i, k]
        pa[t, 0], pa[t, 1], pa[t, 2] = a_places[i, 0], a_places[i, 1], _ANGLES[a_places[i, 2]]
        pb[t, 0], pb[t, 1], pb[t, 2] = b_places[k, 0], b_places[k, 1], _ANGLES[b_places[k, 2]]
    support = np.zeros((n, n))
    fill_support(pa, pb, n, support)
    relaxed = np.empty(n)
    relax(start, support, n, relaxed)
    return mean_of_kept(start, relaxed, n)


@compiled
def read_entry(words: Values, which: Values, start: int, rows: Values, fields: Values, places: Values) -> int:
    """Unpack an entry: its words to `fields`, the x, y and direction of its cylinders to `places`."""
    count = unpack_lanes(words, fields)
    for k in range(count):
        for column in range(3):
            places[k, column] = rows[start + which[k], column]
    return count


@compiled
def rerank_compiled(
    words: Values,
    which: Values,
    rows: Values,
    blocks: Values,
    blocks_which: Values,
    starts: Values,
    blocks_rows: Values,
    indices: Values,
    out: Values,
) -> None:
    """Fill the local similarity of a probe (words, which, rows) to the chosen entries of a block."""
    probe, own = np.empty((FIELDS, LANES), np.uint64), np.zeros((LANES, 3), np.int64)
    count = read_entry(words, which, 0, rows, probe, own)
    other, places = np.empty((FIELDS, LANES), np.uint64), np.zeros((LANES, 3), np.int64)
    for n in range(len(indices)):
        e = indices[n]
        there = read_entry(blocks[e], blocks_which[e], starts[e], blocks_rows, other, places)
        if min(count, there) < FINAL_PAIRS // 2:
            out[n] = 0.0
        elif comes_first(count, own, there, places):
            out[n] = score_lanes(probe, count, own, other, there, places)
        else:
            out[n] = score_lanes(other, there, places, probe, count, own)
