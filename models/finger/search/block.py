"""A block of a gallery: up to BLOCK entries in contiguous arrays that nobody changes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from models.compiled import NUMBA
from models.finger.compare.local_similarity import local_likeness
from models.finger.cylinder_kernel import described, described_block
from models.finger.cylinders import Cylinders, Rows, from_words
from models.finger.packed_cylinders import LANES, Words, unpacked
from models.finger.search.prefilter import Ranks, rank
from models.finger.search.rerank import rerank_compiled

BLOCK = 4096  # entries: a change copies a few megabytes, a search has enough blocks to share among threads


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """What a probe is searched with."""

    rows: Rows
    cylinders: Cylinders  # all of them
    words: Words  # [WORDS, LANES]
    which: NDArray[np.uint8]

    @classmethod
    def of(cls, rows: Rows) -> Self:
        """Of the rows of a template."""
        words, which = described_block(rows, np.array([0, len(rows)]))
        return cls(rows, described(rows), words[0], which[0])


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Of each entry the key, the position, the minutiae, and its best cylinders as packed_cylinders.py has them."""

    keys: tuple[str, ...]
    positions: NDArray[np.uint8]
    starts: NDArray[np.int64]  # [n + 1], of each entry in `rows`
    rows: Rows
    words: Words  # [n, WORDS, LANES]
    which: NDArray[np.uint8]  # [n, LANES]: of which row of the entry each cylinder is

    @classmethod
    def of(cls, keys: tuple[str, ...], positions: NDArray[np.uint8], entries: Sequence[Rows]) -> Self:
        """Of the rows of each entry."""
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum([len(rows) for rows in entries], dtype=np.int64)])
        rows = np.concatenate([np.zeros((0, 4), np.uint16), *entries])
        return cls(keys, positions, starts, rows, *described_block(rows, starts))

    def __len__(self) -> int:
        """How many entries."""
        return len(self.keys)

    @property
    def nbytes(self) -> int:
        """Of all arrays; the keys are not counted."""
        return sum(a.nbytes for a in (self.positions, self.starts, self.rows, self.words, self.which))

    def without(self, removed: frozenset[str]) -> "Block":
        """The entries whose key is not among these; itself when it has none of them."""
        if not removed or removed.isdisjoint(self.keys):
            return self
        kept = np.array([key not in removed for key in self.keys], bool)
        lengths = np.diff(self.starts)
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths[kept])])
        keys = tuple(key for key in self.keys if key not in removed)
        rows = self.rows[np.repeat(kept, lengths)]
        return Block(keys, self.positions[kept], starts, rows, self.words[kept], self.which[kept])

    def ranks(self, probe: Words, position: int, unknown: int) -> Ranks:
        """Of each entry with a probe of a position; -1 where the entry is of another known one."""
        allowed = (self.positions == position) | (self.positions == unknown) | (position == unknown)
        return rank(probe, self.words, allowed)

    def rerank(self, probe: Probe, entries: NDArray[np.int64]) -> NDArray[np.float64]:
        """The local likeness over LANES cylinders of the probe with each of these entries."""
        if NUMBA is None:
            own = probe.cylinders.first(LANES)
            return np.array([local_likeness(own, self.best_cylinders(entry)) for entry in entries])
        out = np.empty(len(entries))
        rerank_compiled(
            probe.words, probe.which, probe.rows, self.words, self.which, self.starts, self.rows, entries, out
        )
        return out

    def cylinders(self, entry: int) -> Cylinders:
        """All cylinders of an entry."""
        return described(self._rows(entry))

    def best_cylinders(self, entry: int) -> Cylinders:
        """The cylinders that the block keeps, the best LANES."""
        bits, valid = unpacked(self.words[entry])
        return from_words(self._rows(entry), self.which[entry, : len(valid)], bits, valid)

    def _rows(self, entry: int) -> Rows:
        rows: Rows = self.rows[self.starts[entry] : self.starts[entry + 1]]
        return rows


def joined(blocks: Iterable[Block]) -> tuple[Block, ...]:
    """The same entries in the same order, neighbours that fit into one block put together and empty blocks left out."""
    made: list[Block] = []
    for block in blocks:
        if made and len(made[-1]) + len(block) <= BLOCK:
            made[-1] = _together(made[-1], block)
        elif len(block):
            made.append(block)
    return tuple(made)


def _together(one: Block, other: Block) -> Block:
    if not len(other):
        return one
    return Block(
        one.keys + other.keys,
        np.concatenate([one.positions, other.positions]),
        np.concatenate([one.starts, other.starts[1:] + one.starts[-1]]),
        np.concatenate([one.rows, other.rows]),
        np.concatenate([one.words, other.words]),
        np.concatenate([one.which, other.which]),
    )
