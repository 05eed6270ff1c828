"""The first step of a search: a rank for every entry, in whole numbers.

The similarity of two cylinders is BASE + a + b - 2 d, with a and b bits set and d bits differing. It is 0 if that is
negative or if they point more than MAX_ROTATION apart. Each cylinder of the entry takes its largest similarity to a
cylinder of the probe; the rank is the sum of the BEST largest. Only every second cell counts
(models/finger/packed_cylinders.py).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.compiled import NUMBA, compiled, count_bits, inlined
from models.finger.packed_cylinders import COARSE_WORDS, DIRECTION_WORD, LANES, WORDS, Words

BEST = 8
BASE = 32
MAX_ROTATION = 43  # in 1/256 of a full turn: 60 degrees

Ranks = NDArray[np.int32]
Values = NDArray[Any]


def rank(probe: Words, blocks: Words, allowed: NDArray[np.bool_]) -> Ranks:
    """The rank of each entry of [n, WORDS, LANES] with the probe [WORDS, LANES]; -1 if not allowed."""
    if NUMBA is None:
        return rank_plain(probe, blocks, allowed)
    out: Ranks = np.empty(len(blocks), np.int32)
    rank_compiled(probe, blocks, allowed, out)
    return out


def rank_plain(probe: Words, blocks: Words, allowed: NDArray[np.bool_]) -> Ranks:
    """The same as rank(), in numpy."""
    out: Ranks = np.full(len(blocks), -1, np.int32)
    for start in range(0, len(blocks), _BATCH):
        here = start + np.flatnonzero(allowed[start : start + _BATCH])
        out[here] = _ranked(_lane_best(probe, blocks[here]))
    return out


_BATCH = 128


def _lane_best(probe: Words, blocks: Words) -> Ranks:
    words = [np.ascontiguousarray(blocks[:, w]) for w in range(COARSE_WORDS)]
    length = sum((np.bitwise_count(word).astype(np.int32) for word in words), np.zeros((len(blocks), LANES), np.int32))
    angle = _angle(blocks[:, DIRECTION_WORD])
    best = np.zeros((len(blocks), LANES), np.int32)
    for i in range(_count(probe)):
        own = probe[:COARSE_WORDS, i]
        differing = np.zeros(best.shape, np.int32)
        for word, mine in zip(words, own, strict=True):
            differing += np.bitwise_count(word ^ mine)
        similarity = BASE + length + int(np.bitwise_count(own).sum()) - 2 * differing
        rotation = (angle - _angle(probe[DIRECTION_WORD, i]) + MAX_ROTATION) & 255
        np.maximum(best, similarity, out=best, where=rotation <= 2 * MAX_ROTATION)
    best[blocks[:, -1] == 0] = 0  # a lane without a cylinder
    return best


def _ranked(best: Ranks) -> Ranks:
    total: Ranks = np.partition(best, LANES - BEST, axis=1)[:, -BEST:].sum(1, dtype=np.int32)
    return total


def _angle(word: NDArray[np.uint32]) -> NDArray[np.int32]:
    angle: NDArray[np.int32] = ((word >> 8) & 255).astype(np.int32)
    return angle


def _count(words: Words) -> int:
    return int((words[-1] != 0).sum())


@inlined
def count_lanes(words: Values, out: Values) -> None:
    """Fill the number of bits set in each cylinder."""
    w0, w1, w2, w3, w4 = words[0], words[1], words[2], words[3], words[4]
    for k in range(LANES):
        out[k] = count_bits(w0[k]) + count_bits(w1[k]) + count_bits(w2[k]) + count_bits(w3[k]) + count_bits(w4[k])


@inlined
def compare_lanes(probe: Values, i: int, own: int, block: Values, length: Values, out: Values) -> None:
    """Fill the similarity of cylinder i of the probe to each of a block; `own` (with BASE) and `length` count bits."""
    w0, w1, w2, w3, w4, w5 = block[0], block[1], block[2], block[3], block[4], block[5]
    p0, p1, p2, p3, p4 = probe[0, i], probe[1, i], probe[2, i], probe[3, i], probe[4, i]
    angle = probe[DIRECTION_WORD, i] >> np.uint32(8)
    for k in range(LANES):
        d = count_bits(w0[k] ^ p0) + count_bits(w1[k] ^ p1) + count_bits(w2[k] ^ p2)
        d += count_bits(w3[k] ^ p3) + count_bits(w4[k] ^ p4)
        rotation = ((w5[k] >> np.uint32(8)) - angle + np.uint32(MAX_ROTATION)) & np.uint32(255)
        both = np.int32(np.int32(length[k] + own) - np.int32(2) * np.int32(d))
        out[k] = both if rotation <= np.uint32(2 * MAX_ROTATION) else np.int32(0)


@inlined
def top_sum(best: Values) -> int:
    """The sum of the BEST largest of LANES values below 512, by way of the level that BEST of them reach."""
    level = 0
    for step in (256, 128, 64, 32, 16, 8, 4, 2, 1):
        reached = np.int32(0)
        for k in range(LANES):
            reached += np.int32(best[k] >= np.int32(level + step))
        if reached >= BEST:
            level += step
    total = 0
    for k in range(LANES):
        total += max(best[k] - np.int32(level), np.int32(0))
    return total + BEST * level


@compiled
def rank_compiled(probe: Values, blocks: Values, allowed: Values, out: Values) -> None:
    """The same as rank(), in compiled code."""
    lengths, length = np.empty(LANES, np.int32), np.empty(LANES, np.int32)
    best, similarity = np.empty(LANES, np.int32), np.empty(LANES, np.int32)
    count_lanes(probe, lengths)
    for t in range(len(blocks)):
        if not allowed[t]:
            out[t] = -1
            continue
        block = blocks[t]
        count_lanes(block, length)
        best[:] = 0
        for i in range(LANES):
            if probe[WORDS - 1, i] != 0:
                compare_lanes(probe, i, BASE + lengths[i], block, length, similarity)
                for k in range(LANES):
                    best[k] = max(best[k], similarity[k])
        for k in range(LANES):
            best[k] = best[k] if block[WORDS - 1, k] != 0 else 0
        out[t] = top_sum(best)
