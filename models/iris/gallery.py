"""A gallery of irises: many codes in contiguous memory, each compared with the probe at all turns, by several threads.

The search is exhaustive, with the early way out of models/iris/kernel.py; what is returned is scored by
models/iris/score.py over all bits. Each entry is treated by itself and ties fall in the order of the gallery: the
result is the same for any number of threads, any division into blocks, and with or without machine code.
"""

import bisect
import itertools
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from drivers.sample import Position
from models.encoder import Entry, Gallery, Scored
from models.iris.kernel import HEAD, STOPPED, TAIL, Likenesses, Turned, search, split, together
from models.iris.score import scores
from models.iris.template import FORMAT, WORDS, IrisCode, Words, nothing_known, unpack
from models.search_threads import granted
from models.template import Template, TemplateError

BLOCK = 4096  # entries: 4 MB; a change copies as much, and a search has enough blocks to share among threads
_SPARE = 2  # times as many entries are looked at as keys are wanted: the eyes of one key
_POSITIONS = {position: number for number, position in enumerate(Position)}
_UNKNOWN = _POSITIONS[Position.UNKNOWN]


@dataclass(frozen=True, slots=True, eq=False)
class IrisBlock:
    """Up to BLOCK entries in arrays that nobody changes: codes and masks, the first part of each by itself."""

    keys: tuple[str, ...]
    positions: NDArray[np.uint8]
    heads: Words  # [n, 2, HEAD]
    tails: Words  # [n, 2, TAIL]

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> Self:
        """Of entries. TemplateError names the key of one that cannot be read."""
        codes = [_read(entry) for entry in entries]
        words = np.array([(one.code, one.mask) for one in codes], np.uint64).reshape(-1, 2, WORDS)
        positions = np.array([_POSITIONS[entry.position] for entry in entries], np.uint8)
        return cls(tuple(entry.key for entry in entries), positions, *split(words[:, 0], words[:, 1]))

    def __len__(self) -> int:
        """How many entries."""
        return len(self.keys)

    @property
    def nbytes(self) -> int:
        """Of all arrays; the keys are not counted."""
        return self.positions.nbytes + self.heads.nbytes + self.tails.nbytes

    def without(self, removed: frozenset[str]) -> "IrisBlock":
        """The entries whose key is not among these; itself when it has none of them."""
        if not removed or removed.isdisjoint(self.keys):
            return self
        kept = np.array([key not in removed for key in self.keys], bool)
        keys = tuple(key for key in self.keys if key not in removed)
        return IrisBlock(keys, self.positions[kept], self.heads[kept], self.tails[kept])

    def search(self, probe: Turned, position: int) -> Likenesses:
        """Of each entry with a probe of a position, as models/iris/kernel.py has it."""
        allowed = (self.positions == position) | (self.positions == _UNKNOWN) | (position == _UNKNOWN)
        return search(probe, self.heads, self.tails, allowed)

    def words(self, entry: int) -> tuple[Words, Words]:
        """Code and mask of an entry."""
        return together(self.heads[entry], self.tails[entry])


@dataclass(frozen=True, slots=True, eq=False)
class IrisGallery:
    """The gallery of "iris-code/1". Immutable, so that searches run while the next one is made."""

    template_format = FORMAT

    blocks: tuple[IrisBlock, ...]
    threads: int = 0  # of a search; 0: what models/search_threads.py allows
    _ends: tuple[int, ...] = field(init=False)  # how many entries up to the end of each block

    def __post_init__(self) -> None:
        """Count once."""
        object.__setattr__(self, "_ends", tuple(itertools.accumulate(len(block) for block in self.blocks)))

    @classmethod
    def build(cls, entries: Iterable[Entry]) -> Self:
        """A gallery of these. TemplateError names the key of an entry that cannot be read."""
        warm_up()
        return cls(_blocks_of(entries))

    def __len__(self) -> int:
        """How many entries."""
        return self._ends[-1] if self._ends else 0

    def changed(self, added: Sequence[Entry], removed: frozenset[str]) -> Self:
        """A gallery without the keys of `removed`, then with `added`. Blocks that do not change are shared."""
        kept = [block.without(removed) for block in self.blocks]
        return replace(self, blocks=joined([*kept, *_blocks_of(added)]))

    def search(self, probe: Template, position: Position, limit: int) -> list[Scored]:
        """The best `limit` keys, best first, each with its best score, ties in the order of the gallery.

        Entries of another known position than a known `position` are passed over, and those that the early way out
        gives up are not returned: they are like nobody. TemplateError: the probe.
        """
        turned = Turned.of(unpack(probe))
        scored = self._scored(turned, self._best(self.likenesses(turned, position), limit))
        best: dict[str, Scored] = {}
        for one in sorted(scored, key=lambda one: -one.score):
            best.setdefault(one.key, one)
        return list(best.values())[:limit]

    def likenesses(self, probe: Turned, position: Position) -> Likenesses:
        """Of every entry, as models/iris/kernel.py has it."""
        number = _POSITIONS[position]
        threads = self.threads or granted()
        if threads == 1 or len(self.blocks) < 2:
            parts = [block.search(probe, number) for block in self.blocks]
        else:
            with ThreadPoolExecutor(threads) as pool:
                parts = list(pool.map(lambda block: block.search(probe, number), self.blocks))
        return np.concatenate(parts) if parts else np.zeros(0)

    def _best(self, found: Likenesses, limit: int) -> list[int]:
        """Entries of the best keys, in the order of the gallery: of at least `limit` keys, where so many are left."""
        wanted = _SPARE * limit
        while True:
            listed = best_entries(found, wanted)
            if len(listed) < wanted or len({self._key(entry) for entry in listed}) >= limit:
                return listed
            wanted *= 2  # some keys have several entries among the best

    def _locate(self, entry: int) -> tuple[IrisBlock, int]:
        number = bisect.bisect_right(self._ends, entry)
        block = self.blocks[number]
        return block, entry - self._ends[number] + len(block)

    def _key(self, entry: int) -> str:
        block, inside = self._locate(entry)
        return block.keys[inside]

    def _scored(self, probe: Turned, entries: Sequence[int]) -> list[Scored]:
        """These entries with the scores of models/iris/score.py."""
        if not entries:
            return []
        words = [block.words(inside) for block, inside in map(self._locate, entries)]
        codes, masks = (np.stack(part) for part in zip(*words, strict=True))
        found = scores(probe.codes, probe.masks, codes, masks).tolist()
        return [Scored(self._key(entry), score) for entry, score in zip(entries, found, strict=True)]


_: type[Gallery] = IrisGallery


def best_entries(found: Likenesses, wanted: int) -> list[int]:
    """The `wanted` most alike that were not given up, of equals the first ones, in the order of the gallery."""
    left = np.flatnonzero(found > STOPPED)
    if wanted >= len(left):
        return [int(entry) for entry in left]
    level = np.partition(found[left], len(left) - wanted)[len(left) - wanted]
    above, equal = np.flatnonzero(found > level), np.flatnonzero(found == level)
    return sorted(int(entry) for entry in (*above, *equal[: wanted - len(above)]))


def joined(blocks: Iterable[IrisBlock]) -> tuple[IrisBlock, ...]:
    """The same entries in the same order, neighbours that fit into one block put together and empty blocks left out."""
    made: list[IrisBlock] = []
    for block in blocks:
        if made and len(made[-1]) + len(block) <= BLOCK:
            made[-1] = _together(made[-1], block)
        elif len(block):
            made.append(block)
    return tuple(made)


def warm_up() -> None:
    """Compile, or read from disk, what a search needs, so that no traveller waits for it."""
    global _warm  # noqa: PLW0603 - once a process
    if not _warm:
        heads, tails = np.zeros((1, 2, HEAD), np.uint64), np.zeros((1, 2, TAIL), np.uint64)
        search(Turned.of(nothing_known()), heads, tails, np.ones(1, bool))
        _warm = True


_warm = False


def _together(one: IrisBlock, other: IrisBlock) -> IrisBlock:
    if not len(other):
        return one
    return IrisBlock(
        one.keys + other.keys,
        np.concatenate([one.positions, other.positions]),
        np.concatenate([one.heads, other.heads]),
        np.concatenate([one.tails, other.tails]),
    )


def _blocks_of(entries: Iterable[Entry]) -> tuple[IrisBlock, ...]:
    listed = list(entries)
    return tuple(IrisBlock.of(listed[at : at + BLOCK]) for at in range(0, len(listed), BLOCK))


def _read(entry: Entry) -> IrisCode:
    try:
        return unpack(entry.template)
    except TemplateError as error:
        raise TemplateError(f"{entry.key}: {error}") from error
