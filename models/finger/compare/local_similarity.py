"""The local similarity of two fingerprints: steps 1 and 2 of models/finger/compare/score.py, in numpy.

models/finger/compare/relaxation.py, models/finger/search/rerank.py and score_kernel.py do the same in compiled code.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.finger.cylinders import Cylinders

MAX_ROTATION = np.pi / 3  # between two impressions of one finger
MIN_COMMON_PLACES = 0.6 * 64  # with fewer places in common, the similarity of a pair means too little

TOP_PAIRS = 30  # pairs that take part in the relaxation
FINAL_PAIRS = 8  # pairs that are averaged
MIN_SUPPORTERS = 15  # support is divided by this: a few minutiae that agree by chance must not count like many
ROUNDS = 5
OWN_WEIGHT = 0.5  # weight of a pair's own similarity; the rest is that of the support of the others
# Support falls along logistic curves (middle, slope) of the differences in distance, in direction, in bearing.
DISTANCE_CURVE = (5.0, -8 / 5)
DIRECTION_CURVE = (np.pi / 12, -30.0)
BEARING_CURVE = (np.pi / 12, -30.0)
DIGITS = 9  # digits that count when values are put in order, so that rounding does not decide

Floats = NDArray[np.float32]


def local_similarity(one: Cylinders, other: Cylinders) -> float:
    """The local similarity of two fingers, 0..1."""
    pairs = supported_pairs(*in_order(one, other))
    return pairs.similarity() if pairs else 0.0


def in_order(one: Cylinders, other: Cylinders) -> tuple[Cylinders, Cylinders]:
    """The two fingers in a fixed order, whichever is given first, so that ties are resolved in the same way."""
    if len(one) != len(other):
        return (one, other) if len(one) < len(other) else (other, one)
    return (one, other) if _order(one) <= _order(other) else (other, one)


def _order(c: Cylinders) -> tuple[list[float], list[float], list[float], bytes]:
    return c.angle.tolist(), c.x.tolist(), c.y.tolist(), c.rows.tobytes()


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """The best pairs of cylinders, their similarity (`start`) and their similarity after relaxation (`value`)."""

    first: NDArray[np.intp]
    second: NDArray[np.intp]
    start: NDArray[np.float64]
    value: NDArray[np.float64]

    def similarity(self) -> float:
        """The local similarity: the mean of the pairs that kept most of their similarity."""
        kept = np.divide(self.value, self.start, out=np.zeros_like(self.value), where=self.start > 0)
        best = np.argsort(-kept, kind="stable")[:FINAL_PAIRS]
        return float(self.value[best].sum() / FINAL_PAIRS)

    def promising(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The pairs that have any similarity, most supported first."""
        order = np.argsort(-np.round(self.value, DIGITS), kind="stable")
        order = order[self.start[order] > 0]
        return self.first[order], self.second[order]


def supported_pairs(a: Cylinders, b: Cylinders) -> Pairs | None:
    """The best pairs after relaxation; None if there are too few cylinders, or no two that can be compared."""
    if min(len(a), len(b)) < FINAL_PAIRS // 2:
        return None
    similarity = pair_similarity(a, b)
    flat = np.argsort(-similarity, axis=None, kind="stable")[: min(TOP_PAIRS, len(a), len(b))]
    first, second = np.unravel_index(flat, similarity.shape)
    start = similarity.ravel()[flat].astype(float)
    if start[0] == 0:
        return None
    return Pairs(first, second, start, _relaxed(start, _support(a, b, first, second)))


def pair_similarity(a: Cylinders, b: Cylinders) -> Floats:
    """The similarity of each two cylinders (step 1), [len(a), len(b)]."""
    valid = a.valid[:, np.newaxis] & b.valid
    left, right, differing = (np.zeros(valid.shape, np.uint16) for _ in range(3))
    for a_word, b_word in zip(a.bits.T, b.bits.T, strict=True):
        x, y = a_word[:, np.newaxis] & valid, b_word & valid
        left += np.bitwise_count(x)
        right += np.bitwise_count(y)
        differing += np.bitwise_count(x ^ y)
    length = np.sqrt(left, dtype=np.float32) + np.sqrt(right, dtype=np.float32)
    rotation = np.abs(_wrapped(a.angle[:, np.newaxis] - b.angle))
    comparable = (np.bitwise_count(valid) >= MIN_COMMON_PLACES) & (rotation <= MAX_ROTATION) & (length > 0)
    similarity = 1 - np.sqrt(differing, dtype=np.float32) / np.maximum(length, 1)
    return np.where(comparable, np.maximum(similarity, 0), 0).astype(np.float32)


def _support(a: Cylinders, b: Cylinders, first: NDArray[np.intp], second: NDArray[np.intp]) -> NDArray[np.float64]:
    """How well each of the chosen pairs supports each other one, [pairs, pairs], 0 for itself."""
    a_distance, a_direction, a_bearing = _relations(a, first)
    b_distance, b_direction, b_bearing = _relations(b, second)
    support = (
        _logistic(np.abs(a_distance - b_distance), *DISTANCE_CURVE)
        * _logistic(np.abs(_wrapped(a_direction - b_direction)), *DIRECTION_CURVE)
        * _logistic(np.abs(_wrapped(a_bearing - b_bearing)), *BEARING_CURVE)
    )
    np.fill_diagonal(support, 0)
    return support


def _relations(c: Cylinders, chosen: NDArray[np.intp]) -> tuple[NDArray[np.float64], ...]:
    """Between each two of the chosen minutiae: distance, difference of direction, bearing seen from the first."""
    x, y, angle = (values[chosen].astype(float) for values in (c.x, c.y, c.angle))
    dx, dy = x[np.newaxis] - x[:, np.newaxis], y[:, np.newaxis] - y[np.newaxis]
    direction = _wrapped(angle[:, np.newaxis] - angle[np.newaxis])
    return np.hypot(dx, dy), direction, _wrapped(angle[:, np.newaxis] - np.arctan2(dy, dx))


def _relaxed(start: NDArray[np.float64], support: NDArray[np.float64]) -> NDArray[np.float64]:
    value, supporters = start, max(len(start) - 1, MIN_SUPPORTERS)
    for _ in range(ROUNDS):
        value = OWN_WEIGHT * value + (1 - OWN_WEIGHT) * (support @ value) / supporters
    return value


def _logistic(value: NDArray[np.float64], middle: float, slope: float) -> NDArray[np.float64]:
    curve: NDArray[np.float64] = 1 / (1 + np.exp(np.minimum(-slope * (value - middle), 60)))
    return curve


def _wrapped(angle: NDArray[Any]) -> NDArray[Any]:
    wrapped: NDArray[Any] = (angle + np.pi) % (2 * np.pi) - np.pi
    return wrapped
