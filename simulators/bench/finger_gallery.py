"""The synthetic gallery of kiosk-bench search finger: made in parts, stored as plain arrays, memory-mapped."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from drivers.sample import Position
from models.finger.cylinder_kernel import packed_cylinders_of
from models.finger.cylinders import Rows
from models.finger.packed_cylinders import LANES, WORDS, Words
from models.finger.search.block import Block
from models.finger.search.gallery import FingerGallery
from models.gallery import BLOCK
from simulators.people.finger_minutiae import Fingers, fingers, repositioned

POSITIONS = tuple(position for position in Position if position is not Position.UNKNOWN)
NUMBERS = {position: number for number, position in enumerate(Position)}
DISTINCT = 32 * BLOCK  # synthetic fingers; a larger gallery repeats them, rotated and shifted
ARRAYS = ("positions", "starts", "rows", "words", "which")


def groups(total: int, threads: int) -> list[list[tuple[int, int]]]:
    """First entry and number of entries of each part, in groups of parts that are made in parallel.

    No group crosses a multiple of DISTINCT: the entries after it are made from parts of earlier groups.
    """
    each = BLOCK * min(2 * threads, DISTINCT // BLOCK)
    rounds = ((first, min(first + DISTINCT, total)) for first in range(0, total, DISTINCT))
    spans = [(at, min(at + each, end)) for first, end in rounds for at in range(first, end, each)]
    return [[(at, min(BLOCK, end - at)) for at in range(first, end, BLOCK)] for first, end in spans]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Some entries: their fingers, and the packed form that the search uses."""

    fingers: Fingers
    words: Words
    which: NDArray[np.uint8]


class SyntheticFingers:
    """Makes synthetic fingers. The first DISTINCT are made one by one; the rest repeats them, rotated and shifted."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._made: dict[int, Part] = {}

    def part(self, at: int, count: int, replacements: dict[int, Rows]) -> Part:
        """The `count` entries from `at`, some of them replaced by real ones."""
        rng = np.random.default_rng([self._seed, at])
        if at < DISTINCT:
            self._made[at] = made = _described(fingers(rng, count))
        else:
            made = _posed(rng, self._made[at % DISTINCT], count)
        return _replaced(made, at, replacements)


def _described(made: Fingers) -> Part:
    return Part(made, *packed_cylinders_of(made.rows, made.starts))


def _posed(rng: np.random.Generator, part: Part, count: int) -> Part:
    some = Fingers(part.fingers.rows[: part.fingers.starts[count]], part.fingers.starts[: count + 1])
    return Part(*repositioned(rng, some, part.words[:count]), part.which[:count])


def _replaced(made: Part, first: int, replacements: dict[int, Rows]) -> Part:
    count = len(made.words)
    if not any(first + i in replacements for i in range(count)):
        return made
    rows = [replacements.get(first + i, made.fingers.one(i)) for i in range(count)]
    return _described(Fingers(np.concatenate(rows), np.concatenate([[0], np.cumsum([len(one) for one in rows])])))


class Writer:
    """Writes one file for each array, entry after entry."""

    def __init__(self, folder: Path, fingers_each: int) -> None:
        self._files = {name: (folder / name).open("wb") for name in ARRAYS}
        self._fingers_each, self._written = fingers_each, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        np.array([self._written]).tofile(self._files["starts"])
        for file in self._files.values():
            file.close()

    def write(self, at: int, part: Part) -> None:
        """Write the next entries."""
        numbers = range(at, at + len(part.words))
        positions = np.array([NUMBERS[POSITIONS[n % self._fingers_each]] for n in numbers], np.uint8)
        starts, rows = part.fingers.starts[:-1] + self._written, part.fingers.rows
        arrays: tuple[NDArray[Any], ...] = (positions, starts, rows, part.words, part.which)
        for name, array in zip(ARRAYS, arrays, strict=True):
            array.tofile(self._files[name])
        self._written += len(rows)


def open_gallery(folder: Path, threads: int) -> FingerGallery:
    """The gallery in a folder, as a memory map: data is read when it is searched."""
    positions = np.fromfile(folder / "positions", np.uint8)
    starts = np.fromfile(folder / "starts", np.int64)
    count = len(positions)
    rows = np.memmap(folder / "rows", np.uint16, "c", shape=(int(starts[-1]), 4))
    words = np.memmap(folder / "words", np.uint32, "c", shape=(count, WORDS, LANES))
    which = np.memmap(folder / "which", np.uint8, "c", shape=(count, LANES))
    fingers_each = len(np.unique(positions))
    plain = [np.asarray(array) for array in (rows, words, which)]
    return FingerGallery(
        tuple(_block(at, positions, starts, plain, fingers_each) for at in range(0, count, BLOCK)), threads
    )


def _block(
    at: int,
    positions: NDArray[np.uint8],
    starts: NDArray[np.int64],
    plain: Sequence[NDArray[Any]],
    fingers_each: int,
) -> Block:
    end = min(at + BLOCK, len(positions))
    rows, words, which = plain
    keys = tuple(str(number // fingers_each) for number in range(at, end))
    own = rows[starts[at] : starts[end]]
    return Block(keys, positions[at:end], starts[at : end + 1] - starts[at], own, words[at:end], which[at:end])
