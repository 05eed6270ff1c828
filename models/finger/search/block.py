"""A block of a gallery: up to BLOCK entries (models/gallery.py) in contiguous arrays that are never changed."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from drivers.sample import Position
from models.compiled import NUMBA
from models.finger.compare.local_similarity import local_similarity
from models.finger.cylinder_kernel import cylinders_of, packed_cylinders_of
from models.finger.cylinders import Cylinders, Rows, from_words
from models.finger.minutiae import MAX_MINUTIAE
from models.finger.packed_cylinders import LANES, WORDS, Words, unpacked
from models.finger.search.prefilter import Ranks, rank
from models.finger.search.rerank import rerank_compiled
from models.gallery import check_positions, comparable, freeze
from models.packed_arrays import pack, unpack
from models.template import TemplateError

PACKED = "finger block 1"  # the kind of the packed form; another one after any change of the arrays


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """A probe as the three steps of a search use it."""

    rows: Rows
    cylinders: Cylinders  # all of them
    words: Words  # [WORDS, LANES]
    which: NDArray[np.uint8]

    @classmethod
    def of(cls, rows: Rows) -> Self:
        """A probe of the rows of a template."""
        words, which = packed_cylinders_of(rows, np.array([0, len(rows)]))
        return cls(rows, cylinders_of(rows), words[0], which[0])


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Keys, positions, minutiae and the best cylinders of the entries, packed as in finger/packed_cylinders.py."""

    keys: tuple[str, ...]
    positions: NDArray[np.uint8]
    starts: NDArray[np.int64]  # [n + 1]: where each entry begins in `rows`
    rows: Rows
    words: Words  # [n, WORDS, LANES]
    which: NDArray[np.uint8]  # [n, LANES]: the row of its entry for each cylinder

    def __post_init__(self) -> None:
        """Make the arrays read-only, as unpacked ones are: for writable ones the search would be compiled again."""
        freeze(self.positions, self.starts, self.rows, self.words, self.which)

    @classmethod
    def of(cls, keys: tuple[str, ...], positions: NDArray[np.uint8], entries: Sequence[Rows]) -> Self:
        """A block of the rows of each entry."""
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum([len(rows) for rows in entries], dtype=np.int64)])
        rows = np.concatenate([np.zeros((0, 4), np.uint16), *entries])
        return cls(keys, positions, starts, rows, *packed_cylinders_of(rows, starts))

    def __len__(self) -> int:
        """The number of entries."""
        return len(self.keys)

    @property
    def nbytes(self) -> int:
        """The bytes of all arrays; the keys are not counted."""
        return sum(a.nbytes for a in (self.positions, self.starts, self.rows, self.words, self.which))

    def at_positions(self, positions: NDArray[np.uint8]) -> Self:
        """The same entries with other numbers of positions; all other arrays are shared."""
        return replace(self, positions=positions)

    def packed(self) -> bytes:
        """The block as bytes."""
        return pack(PACKED, self.keys, {name: getattr(self, name) for name in _shapes(len(self))})

    @classmethod
    def unpacked(cls, data: bytes) -> Self:
        """The block of packed(). TemplateError if the bytes are not one, or anything in them is inconsistent."""
        keys, arrays = unpack(PACKED, data, _shapes(None))
        block = cls(keys, **arrays)
        block._check()
        return block

    def _check(self) -> None:
        """See that no index leads out of an array: compiled code follows them unchecked."""
        n, lengths = len(self.keys), np.diff(self.starts)
        fit = len(self.starts) == n + 1 and {len(a) for a in (self.positions, self.words, self.which)} == {n}
        # Compared, because a difference can overflow.
        falling = (self.starts[1:] < self.starts[:-1]).any() or lengths.max(initial=0) > MAX_MINUTIAE
        if not fit or self.starts[0] != 0 or self.starts[-1] != len(self.rows) or falling:
            raise TemplateError(f"{PACKED}: the block is damaged: its arrays do not fit together")
        # A lane without a cylinder is row 0, also of an entry without any row.
        if (self.which >= np.maximum(lengths, 1)[:, np.newaxis]).any() or (self.words[lengths == 0]).any():
            raise TemplateError(f"{PACKED}: the block is damaged: a descriptor of a minutia that does not exist")
        check_positions(self.positions, PACKED)

    def take(self, kept: NDArray[np.bool_]) -> Self:
        """A block of the entries that a mask chooses."""
        keys = tuple(itertools.compress(self.keys, kept))
        lengths = np.diff(self.starts)
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths[kept])])
        rows = self.rows[np.repeat(kept, lengths)]
        return type(self)(keys, self.positions[kept], starts, rows, self.words[kept], self.which[kept])

    def joined(self, other: Self) -> Self:
        """A block of these entries and then those of another block."""
        return type(self)(
            self.keys + other.keys,
            np.concatenate([self.positions, other.positions]),
            np.concatenate([self.starts, other.starts[1:] + self.starts[-1]]),
            np.concatenate([self.rows, other.rows]),
            np.concatenate([self.words, other.words]),
            np.concatenate([self.which, other.which]),
        )

    def ranks(self, probe: Words, position: Position) -> Ranks:
        """The rank of each entry for a probe of a position; -1 for an entry of another known position."""
        return rank(probe, self.words, comparable(self.positions, position))

    def rerank(self, probe: Probe, entries: NDArray[np.int64]) -> NDArray[np.float64]:
        """The local similarity of the probe to each of these entries, over LANES cylinders."""
        if NUMBA is None:
            own = probe.cylinders.first(LANES)
            return np.array([local_similarity(own, self.best_cylinders(entry)) for entry in entries])
        out = np.empty(len(entries))
        rerank_compiled(
            probe.words, probe.which, probe.rows, self.words, self.which, self.starts, self.rows, entries, out
        )
        return out

    def cylinders(self, entry: int) -> Cylinders:
        """All cylinders of an entry."""
        return cylinders_of(self._rows(entry))

    def best_cylinders(self, entry: int) -> Cylinders:
        """The best LANES cylinders of an entry, which the block keeps."""
        bits, valid = unpacked(self.words[entry])
        return from_words(self._rows(entry), self.which[entry, : len(valid)], bits, valid)

    def _rows(self, entry: int) -> Rows:
        rows: Rows = self.rows[self.starts[entry] : self.starts[entry + 1]]
        return rows


def _shapes(n: int | None) -> dict[str, tuple[str, tuple[int | None, ...]]]:
    """The type and shape of each array of a block of n entries; None: of any number."""
    return {
        "positions": ("u1", (n,)),
        "starts": ("<i8", (None if n is None else n + 1,)),
        "rows": ("<u2", (None, 4)),
        "words": ("<u4", (n, WORDS, LANES)),
        "which": ("u1", (n, LANES)),
    }
