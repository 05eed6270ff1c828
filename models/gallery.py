"""The common part of the galleries: entries in blocks of contiguous memory, searched by several threads.

A gallery is immutable. A change makes another gallery, which shares the blocks that stay the same, so that searches run
in the old one meanwhile.
"""

import bisect
import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from drivers.sample import Position
from models.encoder import Entry, Scored
from models.search_threads import thread_count
from models.template import Template, TemplateError

BLOCK = 4096  # entries: a change copies a few megabytes, and a search has enough blocks to share among threads

_NUMBERS = {position: number for number, position in enumerate(Position)}
_UNKNOWN = _NUMBERS[Position.UNKNOWN]
_BY_NUMBER = tuple(Position)
HIDDEN = 255  # in place of the number of a position: an entry that is not searched

Part = TypeVar("Part")
Result = TypeVar("Result")


class Block(Protocol):
    """Up to BLOCK entries in arrays that are never changed."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The key of each entry."""

    @property
    def positions(self) -> NDArray[np.uint8]:
        """The number of the position of each entry, or HIDDEN."""

    @property
    def nbytes(self) -> int:
        """The bytes of all arrays; the keys are not counted."""

    def at_positions(self, positions: NDArray[np.uint8]) -> Self:
        """The same entries with other numbers of positions; all other arrays are shared."""

    def packed(self) -> bytes:
        """The block as bytes."""

    @classmethod
    def unpacked(cls, data: bytes) -> Self:
        """The block of packed(). TemplateError if the bytes are not one, or anything in them is inconsistent."""

    def __len__(self) -> int:
        """The number of entries."""

    def take(self, kept: NDArray[np.bool_]) -> Self:
        """A block of the entries that a mask chooses."""

    def joined(self, other: Self) -> Self:
        """A block of these entries and then those of another block."""


B = TypeVar("B", bound=Block)


@dataclass(frozen=True, slots=True, eq=False)
class BlockGallery(ABC, Generic[B]):
    """A gallery of blocks. A subclass says how a block is made of entries, and how it is searched."""

    blocks: tuple[B, ...]
    threads: int = 0  # of a search; 0: the number in models/search_threads.py
    _ends: tuple[int, ...] = field(init=False)  # the number of entries up to the end of each block

    def __post_init__(self) -> None:
        """Count the entries once."""
        object.__setattr__(self, "_ends", tuple(itertools.accumulate(len(block) for block in self.blocks)))

    @classmethod
    def build(cls, entries: Iterable[Entry]) -> Self:
        """A gallery of these entries. TemplateError names the key of an entry that cannot be read."""
        cls.warm_up()
        return cls(cls._blocks_of(entries))

    def __len__(self) -> int:
        """The number of entries."""
        return self._ends[-1] if self._ends else 0

    def changed(
        self, added: Sequence[Entry], removed: frozenset[str], between: Callable[[], None] = lambda: None
    ) -> Self:
        """A gallery without the keys of `removed`, then with `added`. Blocks that do not change are shared.

        `between` is called before each block: a search in another thread may need the processor.
        """
        kept = []
        for block in self.blocks:
            between()
            kept.append(without(block, removed))
        return replace(self, blocks=merged([*kept, *self._blocks_of(added)]))

    @classmethod
    def of_blocks(cls, blocks: Iterable[B]) -> Self:
        """A gallery of blocks that were made before."""
        cls.warm_up()
        return cls(tuple(blocks))

    def hiding(self, hidden: frozenset[str]) -> Self:
        """The same gallery, in which the entries of these keys are not searched. Only their positions are copied."""
        return replace(self, blocks=tuple(_hiding(block, hidden) for block in self.blocks))

    def entries(self) -> Iterator[tuple[str, Position]]:
        """The key and the position of each entry that is not hidden."""
        for block in self.blocks:
            for key, number in zip(block.keys, block.positions.tolist(), strict=True):
                if number != HIDDEN:
                    yield key, _BY_NUMBER[number]

    @staticmethod
    @abstractmethod
    def warm_up() -> None:
        """Compile, or read from disk, what a search needs, so that no traveller waits for it."""

    @classmethod
    @abstractmethod
    def block_of(cls, entries: Sequence[Entry]) -> B:
        """A block of at most BLOCK entries. TemplateError names the key of one that cannot be read."""

    @abstractmethod
    def search(self, probe: Template, position: Position, limit: int) -> list[Scored]:
        """The best `limit` keys, best first, as in models/encoder.py."""

    @classmethod
    @abstractmethod
    def unpacked_block(cls, data: bytes) -> B:
        """The block of Block.packed(). TemplateError if the bytes are not one."""

    def locate(self, entry: int) -> tuple[B, int]:
        """The block of an entry, and its number in that block."""
        number = bisect.bisect_right(self._ends, entry)
        block = self.blocks[number]
        return block, entry - self._ends[number] + len(block)

    def key(self, entry: int) -> str:
        """The key of an entry."""
        block, inside = self.locate(entry)
        return block.keys[inside]

    def each(self, work: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
        """The result of some work for each part, in the order of the parts, by as many threads as are allowed."""
        threads = self.threads or thread_count()
        if threads == 1 or len(parts) < 2:
            return [work(part) for part in parts]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(work, parts))

    @classmethod
    def _blocks_of(cls, entries: Iterable[Entry]) -> tuple[B, ...]:
        """Block by block, so that a long list need never be in memory as a whole."""
        left = iter(entries)
        parts = iter(lambda: list(itertools.islice(left, BLOCK)), [])
        return tuple(cls.block_of(part) for part in parts)


def without(block: B, removed: frozenset[str]) -> B:
    """The entries of a block whose key is not in `removed`; the block itself if there is none of these keys in it."""
    if not removed or removed.isdisjoint(block.keys):
        return block
    return block.take(np.array([key not in removed for key in block.keys], bool))


def merged(blocks: Iterable[B]) -> tuple[B, ...]:
    """The same entries in the same order; neighbours that fit into one block are joined, empty blocks are left out."""
    made: list[B] = []
    for block in blocks:
        if made and len(made[-1]) + len(block) <= BLOCK and len(block):
            made[-1] = made[-1].joined(block)
        elif len(block):
            made.append(block)
    return tuple(made)


def _hiding(block: B, hidden: frozenset[str]) -> B:
    if hidden.isdisjoint(block.keys):
        return block
    mask = np.fromiter((key in hidden for key in block.keys), bool, len(block))
    return block.at_positions(np.where(mask, np.uint8(HIDDEN), block.positions))


def freeze(*arrays: NDArray[Any]) -> None:
    """Make arrays read-only."""
    for array in arrays:
        array.setflags(write=False)


def check_positions(positions: NDArray[np.uint8], where: str) -> None:
    """TemplateError if a number is not that of a position."""
    if positions.max(initial=0) >= len(_BY_NUMBER):
        raise TemplateError(f"{where}: the block is damaged: a position that does not exist")


def numbers_of(entries: Iterable[Entry]) -> NDArray[np.uint8]:
    """The position of each entry as a number."""
    return np.array([_NUMBERS[entry.position] for entry in entries], np.uint8)


def comparable(positions: NDArray[np.uint8], position: Position) -> NDArray[np.bool_]:
    """Which entries a probe of this position is compared with: the same position, or one of both is unknown."""
    number = _NUMBERS[position]
    wanted: NDArray[np.bool_] = (positions == number) | (positions == _UNKNOWN)
    return wanted if number != _UNKNOWN else np.not_equal(positions, HIDDEN)


def best_of_each_key(scored: Iterable[Scored], limit: int) -> list[Scored]:
    """The best score of each key, best first, at most `limit`; equal scores stay in their order."""
    best: dict[str, Scored] = {}
    for one in sorted(scored, key=lambda one: -one.score):
        best.setdefault(one.key, one)
    return list(best.values())[:limit]


def read_entry(entry: Entry, read: Callable[[Template], Result]) -> Result:
    """What `read` makes of the template of an entry. TemplateError names the key."""
    try:
        return read(entry.template)
    except TemplateError as error:
        raise TemplateError(f"{entry.key}: {error}") from error
