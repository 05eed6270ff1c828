"""Random iris codes with the similarity that a test needs. They belong to no real eye."""

import numpy as np
from numpy.typing import NDArray

from models.iris.search_layout import split
from models.iris.template import BITS, COLUMNS, ORDER, PLANES, IrisCode, Words, bits_of, empty_code

EXTREME_CODES = {
    "nothing known": empty_code(),
    "one bit known": IrisCode.of(0, np.arange(BITS) == 5, np.arange(BITS) == 5),
    "all bits set": IrisCode.of(0, np.ones(BITS, bool), np.ones(BITS, bool)),
    "no bit set": IrisCode.of(0, np.zeros(BITS, bool), np.ones(BITS, bool)),
    "known behind the head": IrisCode.of(0, np.arange(BITS) % 2 == 0, np.arange(BITS) > 600),
}


def some_code(seed: int, known: float = 0.6) -> IrisCode:
    """A random code; codes of two seeds are as similar as those of two eyes."""
    rng = np.random.default_rng(seed)
    return IrisCode.of(50, rng.random(BITS) < 0.5, rng.random(BITS) < known)


def columns(words: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Bits by column and plane."""
    sheet = np.empty((COLUMNS, PLANES), bool)
    sheet[ORDER] = bits_of(words).reshape(COLUMNS, PLANES)
    return sheet


def noisy(iris: IrisCode, seed: int, share: float, shift: int = 0, known: float = 1.0) -> IrisCode:
    """The same iris with a share of its bits wrong, shifted by columns, with a part of it hidden."""
    rng = np.random.default_rng(seed)
    code, mask = (np.roll(columns(words), shift, axis=0)[ORDER].ravel() for words in (iris.code, iris.mask))
    return IrisCode.of(iris.quality, code ^ (rng.random(BITS) < share), mask & (rng.random(BITS) < known))


def split_codes(codes: list[IrisCode]) -> tuple[Words, Words]:
    """The heads and tails of some codes."""
    return split(np.stack([one.code for one in codes]), np.stack([one.mask for one in codes]))
