"""How probes and entries lie in memory for the search, and its early exit: shared by kernel.py and vectors.py.

An entry is stored in two parts. Its head, the first HEAD words, samples all angles around the pupil
(models/iris/template.py), so that most comparisons can end after the head.
"""

from typing import Self

import numpy as np
from numpy.typing import NDArray

from models.iris.template import SHIFTS, WORDS, IrisCode, Words

HEAD = 8  # words: 512 bits
TAIL = WORDS - HEAD
# A shift is abandoned if, in the head, LIMIT_DENOMINATOR * differing >= LIMIT_NUMERATOR * compared.
LIMIT_NUMERATOR, LIMIT_DENOMINATOR = 42, 100
STOPPED = -1.0  # all shifts abandoned; below every similarity, which is -0.5 to 0.5
NOT_ALLOWED = -2.0
LANES = 8  # words of a vector
GROUPS = -(-len(SHIFTS) // LANES)

Similarities = NDArray[np.float64]


class ShiftedProbe:
    """A probe at all shifts, in the layout that the kernel reads."""

    __slots__ = ("codes", "heads", "masks", "tails")

    def __init__(self, codes: Words, masks: Words) -> None:
        self.codes, self.masks = codes, masks
        # [group, word, code or mask, lane], and [shift, code or mask, word]; the lanes that fill the last group have an
        # empty mask
        padded = np.zeros((2, GROUPS * LANES, HEAD), np.uint64)
        padded[:, : len(SHIFTS)] = codes[:, :HEAD], masks[:, :HEAD]
        self.heads: Words = np.ascontiguousarray(padded.reshape(2, GROUPS, LANES, HEAD).transpose(1, 3, 0, 2))
        self.tails: Words = np.stack([codes, masks], axis=1)

    @classmethod
    def of(cls, iris: IrisCode) -> Self:
        """The shifts of an unpacked probe."""
        return cls(*iris.shifted())


def split(codes: Words, masks: Words) -> tuple[Words, Words]:
    """Entries [n, WORDS] as their heads [n, 2, HEAD] and tails [n, 2, TAIL]."""
    both = np.stack([codes, masks], axis=1)
    return np.ascontiguousarray(both[:, :, :HEAD]), np.ascontiguousarray(both[:, :, HEAD:])


def join(head: Words, tail: Words) -> tuple[Words, Words]:
    """Code and mask of one entry, [WORDS] each, from its two parts."""
    code, mask = np.concatenate([head, tail], axis=1)
    return code, mask
