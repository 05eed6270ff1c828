"""A gallery of irises: many codes in contiguous memory, each compared with the probe at all shifts, by several threads.

The search is exhaustive, with the early exit of models/iris/kernel.py; the results get their scores over all bits from
models/iris/score.py. Each entry is compared on its own, and ties keep the order of the gallery, so the result is the
same for any number of threads, any division into blocks, and with or without compiled code.
"""

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from drivers.sample import Position
from models import packed_arrays
from models.encoder import Entry, Gallery, Scored
from models.gallery import BlockGallery, best_of_each_key, check_positions, comparable, freeze, numbers_of, read_entry
from models.iris.kernel import search
from models.iris.score import scores
from models.iris.search_layout import HEAD, STOPPED, TAIL, ShiftedProbe, Similarities, join, split
from models.iris.template import FORMAT, WORDS, Words, empty_code, unpack
from models.template import Template, TemplateError

PACKED = "iris block 1"  # the kind of the packed form; another one after any change of the arrays
_SHAPES: dict[str, tuple[str, tuple[int | None, ...]]] = {
    "positions": ("u1", (None,)),
    "heads": ("<u8", (None, 2, HEAD)),
    "tails": ("<u8", (None, 2, TAIL)),
}
_SPARE = 2  # entries considered for each key wanted: a key has two eyes


@dataclass(frozen=True, slots=True, eq=False)
class IrisBlock:
    """Up to BLOCK entries in arrays that are never changed: codes and masks, split into heads and tails."""

    keys: tuple[str, ...]
    positions: NDArray[np.uint8]
    heads: Words  # [n, 2, HEAD]
    tails: Words  # [n, 2, TAIL]

    def __post_init__(self) -> None:
        """Make the arrays read-only, as unpacked ones are: for writable ones the search would be compiled again."""
        freeze(self.positions, self.heads, self.tails)

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> Self:
        """A block of these entries. TemplateError names the key of one that cannot be read."""
        codes = [read_entry(entry, unpack) for entry in entries]
        words = np.array([(one.code, one.mask) for one in codes], np.uint64).reshape(-1, 2, WORDS)
        return cls(tuple(entry.key for entry in entries), numbers_of(entries), *split(words[:, 0], words[:, 1]))

    def __len__(self) -> int:
        """The number of entries."""
        return len(self.keys)

    @property
    def nbytes(self) -> int:
        """The size of all arrays, without the keys."""
        return self.positions.nbytes + self.heads.nbytes + self.tails.nbytes

    def at_positions(self, positions: NDArray[np.uint8]) -> Self:
        """The same entries with other numbers of positions; all other arrays are shared."""
        return replace(self, positions=positions)

    def packed(self) -> bytes:
        """The block as bytes."""
        arrays = {name: getattr(self, name) for name in _SHAPES}
        return packed_arrays.pack(PACKED, self.keys, arrays)

    @classmethod
    def unpacked(cls, data: bytes) -> Self:
        """The block of packed(). TemplateError if the bytes are not one, or anything in them is inconsistent."""
        keys, arrays = packed_arrays.unpack(PACKED, data, _SHAPES)
        if {len(array) for array in arrays.values()} != {len(keys)}:
            raise TemplateError(f"{PACKED}: the block is damaged: its arrays do not fit together")
        check_positions(arrays["positions"], PACKED)
        return cls(keys, **arrays)

    def take(self, kept: NDArray[np.bool_]) -> Self:
        """A block of the entries that a mask chooses."""
        keys = tuple(itertools.compress(self.keys, kept))
        return type(self)(keys, self.positions[kept], self.heads[kept], self.tails[kept])

    def joined(self, other: Self) -> Self:
        """A block of these entries and then those of another block."""
        names = ("positions", "heads", "tails")
        arrays = (np.concatenate([getattr(self, name), getattr(other, name)]) for name in names)
        return type(self)(self.keys + other.keys, *arrays)

    def search(self, probe: ShiftedProbe, position: Position) -> Similarities:
        """The similarity of each entry to a probe of a position, as in models/iris/kernel.py."""
        return search(probe, self.heads, self.tails, comparable(self.positions, position))

    def words(self, entry: int) -> tuple[Words, Words]:
        """Code and mask of an entry."""
        return join(self.heads[entry], self.tails[entry])


@dataclass(frozen=True, slots=True, eq=False)
class IrisGallery(BlockGallery[IrisBlock]):
    """The gallery of "iris-code/1". Immutable, so that searches run while the next one is made."""

    template_format = FORMAT

    @staticmethod
    @functools.cache
    def warm_up() -> None:
        """Compile the code of a search, or read it from disk, so that no traveller waits for it."""
        heads, tails = np.zeros((1, 2, HEAD), np.uint64), np.zeros((1, 2, TAIL), np.uint64)
        IrisBlock(("",), np.zeros(1, np.uint8), heads, tails).search(ShiftedProbe.of(empty_code()), Position.UNKNOWN)

    @classmethod
    def block_of(cls, entries: Sequence[Entry]) -> IrisBlock:
        """A block of at most BLOCK entries. TemplateError names the key of one that cannot be read."""
        return IrisBlock.of(entries)

    @classmethod
    def unpacked_block(cls, data: bytes) -> IrisBlock:
        """The block of IrisBlock.packed(). TemplateError if the bytes are not one."""
        return IrisBlock.unpacked(data)

    def search(self, probe: Template, position: Position, limit: int) -> list[Scored]:
        """The best `limit` keys, best first, each with its best score, ties in the order of the gallery.

        If `position` is known, entries of another known position are skipped. Entries stopped by the early exit are not
        returned: their similarity is that of different eyes. TemplateError if the probe cannot be read.
        """
        shifted = ShiftedProbe.of(unpack(probe))
        return best_of_each_key(self._scored(shifted, self._best(self.similarities(shifted, position), limit)), limit)

    def similarities(self, probe: ShiftedProbe, position: Position) -> Similarities:
        """The similarity of every entry, as in models/iris/kernel.py."""
        parts = self.each(lambda block: block.search(probe, position), self.blocks)
        return np.concatenate(parts) if parts else np.zeros(0)

    def _best(self, found: Similarities, limit: int) -> list[int]:
        """Entries of the best keys, in the order of the gallery: of at least `limit` keys if so many are left."""
        wanted = _SPARE * limit
        while True:
            listed = best_entries(found, wanted)
            if len(listed) < wanted or len({self.key(entry) for entry in listed}) >= limit:
                return listed
            wanted *= 2  # some keys have several entries among the best

    def _scored(self, probe: ShiftedProbe, entries: Sequence[int]) -> list[Scored]:
        """These entries with the scores of models/iris/score.py."""
        if not entries:
            return []
        words = [block.words(inside) for block, inside in map(self.locate, entries)]
        codes, masks = (np.stack(part) for part in zip(*words, strict=True))
        found = scores(probe.codes, probe.masks, codes, masks).tolist()
        return [Scored(self.key(entry), score) for entry, score in zip(entries, found, strict=True)]


_: type[Gallery] = IrisGallery


def best_entries(found: Similarities, wanted: int) -> list[int]:
    """The `wanted` most similar entries without those stopped, in the order of the gallery; of equal ones the first."""
    left = np.flatnonzero(found > STOPPED)
    if wanted >= len(left):
        return [int(entry) for entry in left]
    level = np.partition(found[left], len(left) - wanted)[len(left) - wanted]
    above, equal = np.flatnonzero(found > level), np.flatnonzero(found == level)
    return sorted(int(entry) for entry in (*above, *equal[: wanted - len(above)]))
