"""Compares one probe at all shifts with many iris codes, with an early exit; compiled if numba is installed.

A shift of the probe is abandoned if its share of differing bits in the head of an entry reaches the limit of
models/iris/search_layout.py; only the other shifts are compared over all bits. An entry for which all shifts are
abandoned gets STOPPED. The effect on real eyes is in models/README.md.

The compiled form compares the heads of eight shifts at a time (models/iris/vectors.py).
"""

import numpy as np
from numpy.typing import NDArray

from models.compiled import NUMBA
from models.iris.score import GAIN, counts, similarity
from models.iris.search_layout import (
    HEAD,
    LIMIT_DENOMINATOR,
    LIMIT_NUMERATOR,
    NOT_ALLOWED,
    STOPPED,
    ShiftedProbe,
    Similarities,
)
from models.iris.template import Words


def search(probe: ShiftedProbe, heads: Words, tails: Words, allowed: NDArray[np.bool_]) -> Similarities:
    """The similarity of each entry to the probe, or STOPPED or NOT_ALLOWED."""
    if NUMBA is None:
        return search_plain(probe, heads, tails, allowed)
    from models.iris.vectors import search_compiled  # noqa: PLC0415 - needs numba

    out: Similarities = np.empty(len(heads))
    search_compiled(probe.heads, probe.tails, heads, tails, allowed, GAIN, out)
    return out


def search_plain(probe: ShiftedProbe, heads: Words, tails: Words, allowed: NDArray[np.bool_]) -> Similarities:
    """The same in numpy."""
    out: Similarities = np.where(allowed, STOPPED, NOT_ALLOWED)
    for codes, masks in zip(probe.codes, probe.masks, strict=True):
        differing, compared = counts(codes[:HEAD], masks[:HEAD], heads[:, 0], heads[:, 1])
        here = np.flatnonzero(allowed & (LIMIT_DENOMINATOR * differing < LIMIT_NUMERATOR * compared))
        rest = counts(codes[HEAD:], masks[HEAD:], tails[here, 0], tails[here, 1])
        out[here] = np.maximum(out[here], similarity(differing[here] + rest[0], compared[here] + rest[1]))
    return out


def search_whole(probe: ShiftedProbe, heads: Words, tails: Words) -> Similarities:
    """The similarity of each entry without the early exit, in numpy: the reference for the other functions."""
    out: Similarities = np.full(len(heads), STOPPED)
    for codes, masks in zip(probe.codes, probe.masks, strict=True):
        differing, compared = counts(codes[:HEAD], masks[:HEAD], heads[:, 0], heads[:, 1])
        one, both = counts(codes[HEAD:], masks[HEAD:], tails[:, 0], tails[:, 1])
        np.maximum(out, similarity(differing + one, compared + both), out=out)
    return out
