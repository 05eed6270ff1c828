"""The comparison of two fingers in compiled code: local similarity and alignment, for models/finger/compare/score.py.

The same arithmetic as models/finger/compare/local_similarity.py and models/finger/compare/alignment.py; equal to them
within rounding.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.compiled import compiled, count_bits, exactly
from models.finger.compare.alignment import Alignment
from models.finger.compare.alignment_kernel import POINT, fill_best_alignment, fill_points, fit_transforms
from models.finger.compare.local_similarity import DIGITS, FINAL_PAIRS, MAX_ROTATION, MIN_COMMON_PLACES, TOP_PAIRS
from models.finger.compare.relaxation import fill_support, mean_of_kept, relax, top_pairs
from models.finger.cylinders import DIRECTIONS, Cylinders
from models.finger.minutiae import TURN

Values = NDArray[Any]
_MAX_ROTATION = int(MAX_ROTATION / (2 * np.pi) * TURN)
_SIMILARITY, _ALIGNMENT, _RESULTS = 0, 1, 4  # of the results: local similarity, then the numbers of an Alignment


def compared(a: Cylinders, b: Cylinders) -> tuple[float, Alignment] | None:
    """The local similarity and best alignment of two fingers; None if nothing can be compared.

    Of the two, `a` must be the first by local_similarity.in_order().
    """
    out = np.zeros(_RESULTS)
    # Copies: a read-only map would be another type, and compiled again.
    a_rows, b_rows = np.array(a.rows, order="C"), np.array(b.rows, order="C")
    if not compare_compiled(a.bits, a.valid, a.which, a_rows, b.bits, b.valid, b.which, b_rows, out):
        return None
    return float(out[_SIMILARITY]), Alignment(*out[_ALIGNMENT:].tolist())


@compiled
def all_similarities(
    a_bits: Values,
    a_valid: Values,
    a_direction: Values,
    b_bits: Values,
    b_valid: Values,
    b_direction: Values,
    out: Values,
) -> None:
    """Fill the similarity of each two cylinders, as models.finger.compare.local_similarity.pair_similarity()."""
    for i in range(len(a_valid)):
        for j in range(len(b_valid)):
            valid = a_valid[i] & b_valid[j]
            apart = (np.int64(a_direction[i]) - np.int64(b_direction[j])) & (TURN - 1)
            left = right = differing = np.uint64(0)
            for d in range(DIRECTIONS):
                x, y = a_bits[i, d] & valid, b_bits[j, d] & valid
                left += count_bits(x)
                right += count_bits(y)
                differing += count_bits(x ^ y)
            length = np.sqrt(np.float32(left)) + np.sqrt(np.float32(right))
            value = np.float32(1) - np.sqrt(np.float32(differing)) / max(length, np.float32(1))
            comparable = (
                (count_bits(valid) >= MIN_COMMON_PLACES) & (min(apart, TURN - apart) <= _MAX_ROTATION) & (length > 0)
            )
            out[i, j] = max(value, np.float32(0)) if comparable else np.float32(0)


@exactly
def most_supported(value: Values, start: Values, n: int, order: Values) -> int:
    """Fill the numbers of the pairs that have any similarity, most supported first; return how many."""
    found = 0
    for t in range(n):
        if start[t] <= 0:
            continue
        own, at = np.round(value[t], DIGITS), found
        while at > 0 and np.round(value[order[at - 1]], DIGITS) < own:
            order[at] = order[at - 1]
            at -= 1
        order[at] = t
        found += 1
    return found


@compiled
def fill_places(points: Values, which: Values, out: Values) -> None:
    """Fill the x, y and single-precision direction of these points."""
    for t in range(len(which)):
        out[t, 0], out[t, 1], out[t, 2] = points[which[t], 0], points[which[t], 1], np.float32(points[which[t], 2])


@compiled
def compare_compiled(
    a_bits: Values,
    a_valid: Values,
    a_which: Values,
    a_rows: Values,
    b_bits: Values,
    b_valid: Values,
    b_which: Values,
    b_rows: Values,
    out: Values,
) -> bool:
    """Fill `out` with local similarity and the numbers of an Alignment. False if nothing can be compared."""
    rows, columns = len(a_valid), len(b_valid)
    a, b = np.empty((len(a_rows), POINT)), np.empty((len(b_rows), POINT))
    fill_points(a_rows, a)
    fill_points(b_rows, b)
    value = np.empty((rows, columns), np.float32)
    all_similarities(a_bits, a_valid, a_rows[a_which, 2], b_bits, b_valid, b_rows[b_which, 2], value)
    n = min(TOP_PAIRS, rows, columns)
    if n < FINAL_PAIRS // 2:
        return False
    chosen = np.empty(n, np.int64)
    top_pairs(value, rows, columns, n, chosen)
    if value[chosen[0] // columns, chosen[0] % columns] == 0:
        return False
    first, second = a_which[chosen // columns], b_which[chosen % columns]
    start, pa, pb = np.empty(n), np.empty((n, 3)), np.empty((n, 3))
    for t in range(n):
        start[t] = value[chosen[t] // columns, chosen[t] % columns]
    fill_places(a, first, pa)
    fill_places(b, second, pb)
    support, relaxed, order = np.zeros((n, n)), np.empty(n), np.empty(n, np.int64)
    fill_support(pa, pb, n, support)
    relax(start, support, n, relaxed)
    out[_SIMILARITY] = mean_of_kept(start, relaxed, n)
    promising = order[: most_supported(relaxed, start, n, order)]
    fill_best_alignment(a, b, fit_transforms(a, b, first[promising], second[promising]), out[_ALIGNMENT:])
    return True
