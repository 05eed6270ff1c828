"""A gallery of fingerprints: many references in contiguous memory, searched in three steps by several threads.

1. models/finger/search/prefilter.py ranks every entry of a fitting position, in whole numbers. The short list are the
best of them
   in that order: SHORT_SHARE of the fitting entries, and more where those are entries of too few keys.
2. models/finger/search/rerank.py puts the short list in order by local likeness over LANES cylinders.
3. models/finger/compare/score.py scores what is returned, over all cylinders and with its geometry.

Each step treats an entry by itself and ties fall in the order of the gallery: the result is the same for any number of
threads, any division into blocks, and with or without machine code.
"""

import bisect
import itertools
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from drivers.sample import Position
from models.encoder import Entry, Gallery, Scored
from models.finger.compare.score import score
from models.finger.cylinders import Cylinders, rows_of
from models.finger.packed_cylinders import Words
from models.finger.search.block import BLOCK, Block, Probe, joined
from models.finger.search.prefilter import Ranks
from models.finger.template import FORMAT, Described, described, unpack
from models.search_threads import granted
from models.template import Template, TemplateError

SHORT_SHARE = 0.01  # of the entries of a fitting position that are re-ranked: where 99.5 % of the mates are
SHORT_KEYS = 64  # of which the entries that are re-ranked are, at the least, if there are as many
MOST_OF_A_KEY = 3  # entries of one key that are scored
_DIGITS = 9  # to which scores of step 2 count, so that rounding does not order them
_PIECE = 128  # entries that a thread re-ranks at a time
_SCORED_PIECE = 8  # entries that a thread scores at a time
_POSITIONS = {position: number for number, position in enumerate(Position)}

Part = TypeVar("Part")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, eq=False)
class FingerGallery:
    """The gallery of "finger-minutiae/2". Immutable, so that searches run while the next one is made."""

    template_format = FORMAT

    blocks: tuple[Block, ...]
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

        Entries of another known position than a known `position` are passed over. TemplateError: the probe.
        """
        own = Probe.of(rows_of(unpack(probe)))
        return self.best_of(own, self.short_list(own, position, limit), limit)

    def short_list(self, probe: Probe, position: Position, limit: int) -> list[int]:
        """Step 1: the entries that may be among the best `limit` keys, in the order of the gallery.

        The shortest beginning of the entries in the order of their ranks that has SHORT_SHARE of those of a fitting
        position, and entries of SHORT_KEYS and of twice `limit` keys: a person of many fingers is one key.
        """
        ranks = self.ranks(probe.words, position)
        fitting = int((ranks >= 0).sum())
        share, keys = int(np.ceil(SHORT_SHARE * fitting)), max(SHORT_KEYS, 2 * limit)
        taken = max(share, keys)
        while (length := self._reaching(keys, listed := best_ranked(ranks, taken))) is None and taken < fitting:
            taken *= 2
        return sorted(listed[: max(share, length or taken)])

    def best_of(self, probe: Probe, listed: Sequence[int], limit: int) -> list[Scored]:
        """Steps 2 and 3: the best `limit` keys of a short list, scored."""
        chosen = sorted(self._best(self._reranked(probe, listed), limit))
        pieces = [chosen[at : at + _SCORED_PIECE] for at in range(0, len(chosen), _SCORED_PIECE)]
        parts = self._each(lambda piece: self.scored(probe, piece), pieces)
        best: dict[str, Scored] = {}
        for one in sorted(itertools.chain.from_iterable(parts), key=lambda one: -one.score):
            best.setdefault(one.key, one)
        return list(best.values())[:limit]

    def scored(self, probe: Probe, entries: Sequence[int]) -> list[Scored]:
        """Step 3: the exact score of each of these entries."""
        return [Scored(self._key(entry), score(probe.cylinders, self._cylinders(entry))) for entry in entries]

    def ranks(self, words: Words, position: Position) -> Ranks:
        """Step 1: the rank of every entry, -1 of those of another position."""
        number, unknown = _POSITIONS[position], _POSITIONS[Position.UNKNOWN]
        parts = self._each(lambda block: block.ranks(words, number, unknown), self.blocks)
        return np.concatenate(parts) if parts else np.zeros(0, np.int32)

    def _reaching(self, keys: int, listed: Sequence[int]) -> int | None:
        """How many of the first entries it takes for so many keys; None when they are not that many."""
        seen: set[str] = set()
        for count, entry in enumerate(listed, 1):
            seen.add(self._key(entry))
            if len(seen) == keys:
                return count
        return None

    def _reranked(self, probe: Probe, listed: Sequence[int]) -> list[int]:
        """Step 2: the same entries, best first."""
        pieces = [(number, part) for number, part in self._by_block(listed)]
        parts = self._each(lambda piece: self.blocks[piece[0]].rerank(probe, piece[1]), pieces)
        scores = np.round(np.concatenate(parts), _DIGITS) if parts else np.zeros(0)
        return [listed[i] for i in np.argsort(-scores, kind="stable")]

    def _best(self, ordered: Sequence[int], limit: int) -> list[int]:
        """The best entries of the first `limit` keys."""
        taken: dict[str, int] = {}
        chosen = []
        for entry in ordered:
            key = self._key(entry)
            count = taken.get(key, 0)
            if count < MOST_OF_A_KEY and (count or len(taken) < limit):
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

    def _locate(self, entry: int) -> tuple[Block, int]:
        number = bisect.bisect_right(self._ends, entry)
        block = self.blocks[number]
        return block, entry - self._ends[number] + len(block)

    def _key(self, entry: int) -> str:
        block, inside = self._locate(entry)
        return block.keys[inside]

    def _cylinders(self, entry: int) -> Cylinders:
        block, inside = self._locate(entry)
        return block.cylinders(inside)

    def _each(self, work: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
        """Some work for each part, by as many threads as there may be, in the order of the parts."""
        threads = self.threads or granted()
        if threads == 1 or len(parts) < 2:
            return [work(part) for part in parts]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(work, parts))


_: type[Gallery] = FingerGallery


def best_ranked(ranks: Ranks, wanted: int) -> list[int]:
    """The `wanted` entries of highest rank, best first, of equals the first ones; none below 0."""
    fitting = np.flatnonzero(ranks >= 0)
    if wanted < len(fitting):
        level = np.partition(ranks[fitting], len(fitting) - wanted)[len(fitting) - wanted]
        above, equal = np.flatnonzero(ranks > level), np.flatnonzero(ranks == level)
        fitting = np.concatenate([above, equal[: wanted - len(above)]])
    best: list[int] = fitting[np.argsort(-ranks[fitting], kind="stable")].tolist()
    return best


def warm_up() -> None:
    """Compile, or read from disk, what a search needs, so that no traveller waits for it."""
    global _warm  # noqa: PLW0603 - once a process
    if not _warm:
        few = Block.of(("",), np.zeros(1, np.uint8), [np.zeros((8, 4), np.uint16)])
        probe = Probe.of(np.zeros((8, 4), np.uint16))
        few.ranks(probe.words, 0, 0)
        few.rerank(probe, np.zeros(1, np.int64))
        score(probe.cylinders, few.cylinders(0))
        _warm = True


_warm = False


def _blocks_of(entries: Iterable[Entry]) -> tuple[Block, ...]:
    """Part by part, so that a long list need never be there at once."""
    left = iter(entries)
    parts = iter(lambda: list(itertools.islice(left, BLOCK)), [])
    return tuple(_block_of(part) for part in parts)


def _block_of(entries: Sequence[Entry]) -> Block:
    read = _read(entries)
    positions = np.array([_POSITIONS[entry.position] for entry in entries], np.uint8)
    return Block(tuple(entry.key for entry in entries), positions, read.starts, read.rows, read.words, read.which)


def _read(entries: Sequence[Entry]) -> Described:
    try:
        return described([entry.template for entry in entries])
    except TemplateError:
        for entry in entries:
            _check(entry)
        raise


def _check(entry: Entry) -> None:
    try:
        described([entry.template])
    except TemplateError as error:
        raise TemplateError(f"{entry.key}: {error}") from error
