"""The comparison score of two irises. No other module computes scores of irises.

The share of differing bits, among the bits known in both codes (fractional Hamming distance), is about one half for
different irises and far less for the same iris. With few bits, a small share occurs by chance more easily. So the
distance from one half is scaled by the number of compared bits, as Daugman does with its square root. Measured here,
the distance that one in a thousand comparisons of different eyes reaches is proportional to that number to the power
0.32 (CASIA-Interval) to 0.44 (MMU2).

score = 0.5 + (0.5 - differing / compared) * (compared / BITS) ** 0.4, the highest of all shifts. 1: identical and all
bits known; 0.5: no bit known, or as similar as different irises are on average.
"""

import numpy as np
from numpy.typing import NDArray

from models.iris.template import BITS, IrisCode, Words, unpack
from models.template import Template

POWER = 0.4
_COMPARED = np.arange(BITS + 1)
# For each number of compared bits, what one more equal than differing bit adds. A table, because it is used often.
GAIN: NDArray[np.float64] = (_COMPARED / BITS) ** POWER / (2 * np.maximum(_COMPARED, 1))

Counts = NDArray[np.int64]


def compare(probe: Template, reference: Template) -> float:
    """The score, 0 to 1, of two templates. TemplateError if one cannot be read."""
    return score(unpack(probe), unpack(reference))


def score(probe: IrisCode, reference: IrisCode) -> float:
    """The score of two unpacked templates: the best of all shifts of the probe."""
    return float(scores(*probe.shifted(), reference.code[np.newaxis], reference.mask[np.newaxis])[0])


def counts(codes: Words, masks: Words, code: Words, mask: Words) -> tuple[Counts, Counts]:
    """The numbers of differing and of compared bits of the words [..., n] of two codes."""
    known = masks & mask
    differing = np.bitwise_count((codes ^ code) & known).sum(-1, dtype=np.int64)
    return differing, np.bitwise_count(known).sum(-1, dtype=np.int64)


def similarity(differing: Counts, compared: Counts) -> NDArray[np.float64]:
    """The score minus 0.5."""
    gained: NDArray[np.float64] = GAIN[compared] * (compared - 2 * differing)
    return gained


def scores(codes: Words, masks: Words, references: Words, reference_masks: Words) -> NDArray[np.float64]:
    """The scores of a probe at all shifts, [shifts, WORDS], with references, [n, WORDS]: each the best shift."""
    both = counts(codes, masks, references[:, np.newaxis], reference_masks[:, np.newaxis])
    best: NDArray[np.float64] = 0.5 + similarity(*both).max(axis=1)
    return best
