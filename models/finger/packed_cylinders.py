"""The packed form of the best cylinders of an entry, for the search: 12 words for each of LANES cylinders.

A word is stored next to the same word of the other cylinders, [WORDS, LANES], so that one instruction can work on
several cylinders:

    0-4   the bits that the prefilter uses: every second cell, as on a chess board of three dimensions
    5     direction (16 bits); 16 bits of the valid places
    6-10  the other cells; in the 4 bits that are left at the end of word 10, more bits of the valid places
    11    32 bits of the valid places

1536 bytes per entry. A lane without a cylinder is zero, and so is an entry without any.
"""

import numpy as np
from numpy.typing import NDArray

from models.finger.cylinders import DIRECTIONS, DISC, PLACES, SIDE

LANES = 32  # cylinders of each entry, those of the best quality
WORDS = 12
COARSE_WORDS = 5
DIRECTION_WORD = 5

Words = NDArray[np.uint32]

_ROW, _COLUMN = np.divmod(np.flatnonzero(DISC), SIDE)
_ODD = (_ROW + _COLUMN) % 2
_ORDER = np.argsort(_ODD, kind="stable")  # of the 52 places of the disc: the 26 even ones, then the 26 odd ones
PLACE_OF = np.flatnonzero(DISC)[_ORDER]  # the bit of each of them in a word of models/finger/cylinders.py
_CHESS = (np.arange(DIRECTIONS)[:, np.newaxis] + _ODD[_ORDER]) % 2 == 0  # [DIRECTIONS, 52]
_HALF = int(_CHESS.sum())  # 156


def packed(bits: NDArray[np.uint64], valid: NDArray[np.uint64], direction: NDArray[np.uint16]) -> Words:
    """The first LANES cylinders as [WORDS, LANES]; `direction` in 1/65536 turn."""
    cells = _unpacked(bits[:LANES])[..., PLACE_OF]  # [n, DIRECTIONS, 52]
    places = _unpacked(valid[:LANES])[..., PLACE_OF]
    stream = np.zeros((len(cells), WORDS * 32), np.uint8)
    stream[:, :_HALF] = cells[:, _CHESS]
    stream[:, 160:176] = np.unpackbits(
        direction[:LANES].astype("<u2")[:, np.newaxis].view(np.uint8), axis=1, bitorder="little"
    )
    stream[:, 176:192] = places[:, 36:]
    stream[:, 192 : 192 + _HALF] = cells[:, ~_CHESS]
    stream[:, 348:352] = places[:, 32:36]
    stream[:, 352:] = places[:, :32]
    words = np.zeros((WORDS, LANES), np.uint32)
    words[:, : len(cells)] = np.packbits(stream, axis=1, bitorder="little").view("<u4").T
    return words


def unpacked(words: Words) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """The bits and the valid places of the cylinders in [WORDS, LANES], as in models/finger/cylinders.py."""
    count = int((words[-1] != 0).sum())
    stream = np.unpackbits(
        np.ascontiguousarray(words.T[:count].astype("<u4")).view(np.uint8), axis=1, bitorder="little"
    )
    cells = np.zeros((count, DIRECTIONS, len(_ORDER)), np.uint8)
    cells[:, _CHESS] = stream[:, :_HALF]
    cells[:, ~_CHESS] = stream[:, 192 : 192 + _HALF]
    places = np.concatenate([stream[:, 352:], stream[:, 348:352], stream[:, 176:192]], axis=1)
    return _spread(cells), _spread(places)


def _spread(bits: NDArray[np.uint8]) -> NDArray[np.uint64]:
    wide = np.zeros((*bits.shape[:-1], PLACES), np.uint8)
    wide[..., PLACE_OF] = bits
    octets = np.packbits(wide, axis=-1, bitorder="little")
    return np.ascontiguousarray(octets).view("<u8")[..., 0].astype(np.uint64)


def _unpacked(words: NDArray[np.uint64]) -> NDArray[np.uint8]:
    octets = np.ascontiguousarray(words.astype("<u8"))[..., np.newaxis].view(np.uint8)
    return np.unpackbits(octets, axis=-1, bitorder="little")[..., :PLACES]
