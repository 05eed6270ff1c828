"""A gallery of fingerprints: many references in contiguous memory, searched in three steps by several threads.

1. models/finger/search/prefilter.py ranks every entry of a comparable position, in whole numbers. The short list is the
   best SHORT_SHARE of these entries, or more if they have too few different keys.
2. models/finger/search/rerank.py orders the short list by local similarity over LANES cylinders.
3. models/finger/compare/score.py computes the scores of what is returned, over all cylinders and with alignment.

Each step treats an entry on its own, and ties are resolved in the order of the gallery. So the result is the same for
any number of threads, any division into blocks, and with or without compiled code.
"""

import functools
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.sample import Position
from models.encoder import Entry, Gallery, Scored
from models.finger.compare.score import score
from models.finger.cylinders import Cylinders, rows_of
from models.finger.packed_cylinders import Words
from models.finger.search.block import Block, Probe
from models.finger.search.prefilter import Ranks
from models.finger.template import FORMAT, TemplateArrays, arrays_of, unpack
from models.gallery import BlockGallery, best_of_each_key, numbers_of, read_entry
from models.template import Template, TemplateError

SHORT_SHARE = 0.01  # of the entries of a comparable position that are re-ranked: 99.5 % of the mated ones are there
SHORT_KEYS = 64  # different keys among the entries that are re-ranked, at least, if the gallery has as many
MAX_ENTRIES_PER_KEY = 3  # entries of one key that are scored
_DIGITS = 9  # digits of a score of step 2 that count, so that rounding does not decide the order
_PIECE = 128  # entries that a thread re-ranks at a time
_SCORED_PIECE = 8  # entries that a thread scores at a time


@dataclass(frozen=True, slots=True, eq=False)
class FingerGallery(BlockGallery[Block]):
    """The gallery of "finger-minutiae/2". Immutable, so that searches run while the next one is made."""

    template_format = FORMAT

    @staticmethod
    @functools.cache
    def warm_up() -> None:
        """Compile, or read from disk, what a search needs, so that no traveller waits for it."""
        few = Block.of(("",), np.zeros(1, np.uint8), [np.zeros((8, 4), np.uint16)])
        probe = Probe.of(np.zeros((8, 4), np.uint16))
        few.ranks(probe.words, Position.UNKNOWN)
        few.rerank(probe, np.zeros(1, np.int64))
        score(probe.cylinders, few.cylinders(0))

    @classmethod
    def block_of(cls, entries: Sequence[Entry]) -> Block:
        """A block of at most BLOCK entries. TemplateError names the key of one that cannot be read."""
        read = _read(entries)
        keys = tuple(entry.key for entry in entries)
        return Block(keys, numbers_of(entries), read.starts, read.rows, read.words, read.which)

    @classmethod
    def unpacked_block(cls, data: bytes) -> Block:
        """The block of Block.packed(). TemplateError if the bytes are not one."""
        return Block.unpacked(data)

    def search(self, probe: Template, position: Position, limit: int) -> list[Scored]:
        """The best `limit` keys, best first, each with its best score, ties in the order of the gallery.

        If `position` is known, entries of another known position are skipped. TemplateError if the probe cannot be
        read.
        """
        own = Probe.of(rows_of(unpack(probe)))
        return self.best_of(own, self.short_list(own, position, limit), limit)

    def short_list(self, probe: Probe, position: Position, limit: int) -> list[int]:
        """Step 1: the entries that may be among the best `limit` keys, in the order of the gallery.

        These are the entries of highest rank: at least SHORT_SHARE of those of a comparable position, and enough to
        have SHORT_KEYS and twice `limit` different keys. A person with many fingers is one key.
        """
        ranks = self.ranks(probe.words, position)
        fitting = int((ranks >= 0).sum())
        share, keys = int(np.ceil(SHORT_SHARE * fitting)), max(SHORT_KEYS, 2 * limit)
        taken = max(share, keys)
        while (length := self._count_until(keys, listed := best_ranked(ranks, taken))) is None and taken < fitting:
            taken *= 2
        return sorted(listed[: max(share, length or taken)])

    def best_of(self, probe: Probe, listed: Sequence[int], limit: int) -> list[Scored]:
        """Steps 2 and 3: the best `limit` keys of a short list, scored."""
        chosen = sorted(self._best(self._reranked(probe, listed), limit))
        pieces = [chosen[at : at + _SCORED_PIECE] for at in range(0, len(chosen), _SCORED_PIECE)]
        parts = self.each(lambda piece: self.scored(probe, piece), pieces)
        return best_of_each_key(itertools.chain.from_iterable(parts), limit)

    def scored(self, probe: Probe, entries: Sequence[int]) -> list[Scored]:
        """Step 3: the exact score of each of these entries."""
        return [Scored(self.key(entry), score(probe.cylinders, self._cylinders(entry))) for entry in entries]

    def ranks(self, words: Words, position: Position) -> Ranks:
        """Step 1: the rank of every entry, -1 for one of another known position."""
        parts = self.each(lambda block: block.ranks(words, position), self.blocks)
        return np.concatenate(parts) if parts else np.zeros(0, np.int32)

    def _count_until(self, keys: int, listed: Sequence[int]) -> int | None:
        """The number of first entries that have this many different keys; None if all of them have fewer."""
        seen: set[str] = set()
        for count, entry in enumerate(listed, 1):
            seen.add(self.key(entry))
            if len(seen) == keys:
                return count
        return None

    def _reranked(self, probe: Probe, listed: Sequence[int]) -> list[int]:
        """Step 2: the same entries, the best first."""
        pieces = [(number, part) for number, part in self._by_block(listed)]
        parts = self.each(lambda piece: self.blocks[piece[0]].rerank(probe, piece[1]), pieces)
        scores = np.round(np.concatenate(parts), _DIGITS) if parts else np.zeros(0)
        return [listed[i] for i in np.argsort(-scores, kind="stable")]

    def _best(self, ordered: Sequence[int], limit: int) -> list[int]:
        """The best entries of the first `limit` keys."""
        taken: dict[str, int] = {}
        chosen = []
        for entry in ordered:
            key = self.key(entry)
            count = taken.get(key, 0)
            if count < MAX_ENTRIES_PER_KEY and (count or len(taken) < limit):
                taken[key] = count + 1
                chosen.append(entry)
        return chosen

    def _by_block(self, listed: Sequence[int]) -> Iterable[tuple[int, NDArray[np.int64]]]:
        entries = np.array(listed, np.int64)
        cuts = np.searchsorted(entries, self._ends)
        for number, part in enumerate(np.split(entries, cuts[:-1]) if len(cuts) else ()):
            inside = part - (self._ends[number] - len(self.blocks[number]))
            for start in range(0, len(inside), _PIECE):
                yield number, inside[start : start + _PIECE]

    def _cylinders(self, entry: int) -> Cylinders:
        block, inside = self.locate(entry)
        return block.cylinders(inside)


_: type[Gallery] = FingerGallery


def best_ranked(ranks: Ranks, wanted: int) -> list[int]:
    """The `wanted` entries of highest rank, best first, the first of equals first; none whose rank is below 0."""
    fitting = np.flatnonzero(ranks >= 0)
    if wanted < len(fitting):
        level = np.partition(ranks[fitting], len(fitting) - wanted)[len(fitting) - wanted]
        above, equal = np.flatnonzero(ranks > level), np.flatnonzero(ranks == level)
        fitting = np.concatenate([above, equal[: wanted - len(above)]])
    best: list[int] = fitting[np.argsort(-ranks[fitting], kind="stable")].tolist()
    return best


def _read(entries: Sequence[Entry]) -> TemplateArrays:
    try:
        return arrays_of([entry.template for entry in entries])
    except TemplateError:
        for entry in entries:
            read_entry(entry, lambda template: arrays_of([template]))
        raise
