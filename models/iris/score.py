"""The comparison score of two irises: the only place where scores of irises are born.

Of the bits that both know, the share that differs (fractional Hamming distance) is about a half for two irises and far
less for one. Few bits differ in few places by chance more easily, so the distance from a half is scaled by the number
of bits compared, in the manner of Daugman, who takes its square root. Measured here, the distance that one in a
thousand comparisons of different eyes reaches goes with the power 0.32 (CASIA-Interval) to 0.44 (MMU2) of that number.

score = 0.5 + (0.5 - differing / compared) * (compared / BITS) ** 0.4, the highest of all turns: 1 identical and known
everywhere, 0.5 nothing known or as like as chance.
"""

import numpy as np
from numpy.typing import NDArray

from models.iris.template import BITS, IrisCode, Words, unpack
from models.template import Template

POWER = 0.4
_COMPARED = np.arange(BITS + 1)
# Of a number of bits compared, what one bit more that agrees than differs adds: a table, because it is asked for often.
GAIN: NDArray[np.float64] = (_COMPARED / BITS) ** POWER / (2 * np.maximum(_COMPARED, 1))

Counts = NDArray[np.int64]


def compare(probe: Template, reference: Template) -> float:
    """Likeness, 0 to 1, of two templates. TemplateError when one cannot be read."""
    return score(unpack(probe), unpack(reference))


def score(probe: IrisCode, reference: IrisCode) -> float:
    """The same of unpacked templates: the best of all turns of the probe."""
    return float(scores(*probe.turned(), reference.code[np.newaxis], reference.mask[np.newaxis])[0])


def counts(codes: Words, masks: Words, code: Words, mask: Words) -> tuple[Counts, Counts]:
    """How many bits differ, and how many are compared, of the words [..., n] with those of another, [..., n]."""
    known = masks & mask
    differing = np.bitwise_count((codes ^ code) & known).sum(-1, dtype=np.int64)
    return differing, np.bitwise_count(known).sum(-1, dtype=np.int64)


def likeness(differing: Counts, compared: Counts) -> NDArray[np.float64]:
    """The score less 0.5."""
    gained: NDArray[np.float64] = GAIN[compared] * (compared - 2 * differing)
    return gained


def scores(codes: Words, masks: Words, references: Words, reference_masks: Words) -> NDArray[np.float64]:
    """Of a probe at all turns, [turns, WORDS], with each of some references, [n, WORDS]: the best of the turns."""
    both = counts(codes, masks, references[:, np.newaxis], reference_masks[:, np.newaxis])
    best: NDArray[np.float64] = 0.5 + likeness(*both).max(axis=1)
    return best
