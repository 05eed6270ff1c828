"""One turned probe against many iris codes, with an early way out; in machine code where numba is there.

The first HEAD words of an entry sample its whole turn (models/iris/template.py). A turn of the probe that differs there
in STOP of the bits compared or more is given up; only the others are compared to the end. An entry of which no turn is
left is like nobody: STOPPED. What that changes on real eyes: models/README.md.

The compiled form compares the heads of eight turns at a time: the compiler is given vectors of eight words and makes of
them what the processor has, with its instruction for counting bits where there is one (AVX-512 VPOPCNTDQ).
"""

from typing import Self

import numpy as np
from numpy.typing import NDArray

from models.compiled import NUMBA
from models.iris.score import GAIN, counts, likeness
from models.iris.template import TURNS, WORDS, IrisCode, Words

HEAD = 8  # words: 512 bits
TAIL = WORDS - HEAD
STOP_OF, STOP = 100, 42  # a turn is given up when STOP_OF * differing >= STOP * compared, in the head
STOPPED = -1.0  # below every likeness, which is -0.5 to 0.5
NOT_ALLOWED = -2.0
LANES = 8  # words of a vector
GROUPS = -(-len(TURNS) // LANES)

Likenesses = NDArray[np.float64]


class Turned:
    """A probe at all turns, as the kernel reads it."""

    __slots__ = ("codes", "heads", "masks", "tails")

    def __init__(self, codes: Words, masks: Words) -> None:
        self.codes, self.masks = codes, masks
        # [group, word, code or mask, lane], and [turn, code or mask, word]; what fills up the last group knows no bit
        padded = np.zeros((2, GROUPS * LANES, HEAD), np.uint64)
        padded[:, : len(TURNS)] = codes[:, :HEAD], masks[:, :HEAD]
        self.heads: Words = np.ascontiguousarray(padded.reshape(2, GROUPS, LANES, HEAD).transpose(1, 3, 0, 2))
        self.tails: Words = np.stack([codes, masks], axis=1)

    @classmethod
    def of(cls, iris: IrisCode) -> Self:
        """Of a probe."""
        return cls(*iris.turned())


def split(codes: Words, masks: Words) -> tuple[Words, Words]:
    """Entries [n, WORDS] as their heads [n, 2, HEAD] and tails [n, 2, TAIL]."""
    both = np.stack([codes, masks], axis=1)
    return np.ascontiguousarray(both[:, :, :HEAD]), np.ascontiguousarray(both[:, :, HEAD:])


def together(head: Words, tail: Words) -> tuple[Words, Words]:
    """Code and mask of one entry, [WORDS] each."""
    code, mask = np.concatenate([head, tail], axis=1)
    return code, mask


def search(probe: Turned, heads: Words, tails: Words, allowed: NDArray[np.bool_]) -> Likenesses:
    """The likeness of each entry, STOPPED or NOT_ALLOWED."""
    if NUMBA is None:
        return search_plain(probe, heads, tails, allowed)
    from models.iris.vectors import search_compiled  # noqa: PLC0415 - needs numba

    out: Likenesses = np.empty(len(heads))
    search_compiled(probe.heads, probe.tails, heads, tails, allowed, GAIN, out)
    return out


def search_plain(probe: Turned, heads: Words, tails: Words, allowed: NDArray[np.bool_]) -> Likenesses:
    """The same in numpy."""
    out: Likenesses = np.where(allowed, STOPPED, NOT_ALLOWED)
    for codes, masks in zip(probe.codes, probe.masks, strict=True):
        differing, compared = counts(codes[:HEAD], masks[:HEAD], heads[:, 0], heads[:, 1])
        here = np.flatnonzero(allowed & (STOP_OF * differing < STOP * compared))
        rest = counts(codes[HEAD:], masks[HEAD:], tails[here, 0], tails[here, 1])
        out[here] = np.maximum(out[here], likeness(differing[here] + rest[0], compared[here] + rest[1]))
    return out


def search_whole(probe: Turned, heads: Words, tails: Words) -> Likenesses:
    """The likeness of each entry without the early way out, in numpy: what everything else is measured against."""
    out: Likenesses = np.full(len(heads), STOPPED)
    for codes, masks in zip(probe.codes, probe.masks, strict=True):
        differing, compared = counts(codes[:HEAD], masks[:HEAD], heads[:, 0], heads[:, 1])
        one, both = counts(codes[HEAD:], masks[HEAD:], tails[:, 0], tails[:, 1])
        np.maximum(out, likeness(differing + one, compared + both), out=out)
    return out
