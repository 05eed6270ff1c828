"""A gallery of fingerprints: many references in contiguous memory, searched in two steps.

Coarse: the best WIDTH cylinders of every entry against those of the probe, all places taken for valid; the mean of the
best pairs ranks the entries. Exact: the score of models.compare for the SHORT_LIST best. What is returned is always the
exact score.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from drivers.sample import Position
from models.compare import FINAL_PAIRS, MAX_ROTATION, score
from models.cylinders import DIRECTIONS, PLACES, Cylinders, cylinders
from models.encoder import Entry, Gallery, Scored
from models.minutiae import FORMAT, unpack
from models.template import Template, TemplateError

WIDTH = 40  # cylinders of each entry that the coarse step looks at
SHORT_LIST = 64  # keys of which entries are compared exactly, at the least
_BATCH = 256  # entries of the coarse step at a time: its arrays stay in the cache
_POSITIONS = {position: number for number, position in enumerate(Position)}
_SQRT = np.sqrt(np.arange(DIRECTIONS * PLACES + 1, dtype=np.float32))
_ANGLE_UNITS = 256 / (2 * np.pi)  # directions in a byte, which wraps by itself
_MAX_TURN = np.uint8(MAX_ROTATION * _ANGLE_UNITS)


@dataclass(frozen=True, slots=True, eq=False)
class Coarse:
    """The best cylinders of several entries, filled up with empty ones: [entries, WIDTH, ...]."""

    bits: NDArray[np.uint64]
    length: NDArray[np.float32]  # the root of how many bits are set; 0 where there is no cylinder
    angle: NDArray[np.uint8]

    @classmethod
    def of(cls, entries: Sequence[Cylinders]) -> Self:
        """Packed from the cylinders of each entry."""
        bits = np.zeros((len(entries), WIDTH, DIRECTIONS), np.uint64)
        angle = np.zeros((len(entries), WIDTH), np.uint8)
        for number, entry in enumerate(entries):
            count = min(len(entry), WIDTH)
            bits[number, :count] = entry.bits[:count]
            angle[number, :count] = _angle_byte(entry.angle[:count])
        return cls(bits, _SQRT[np.bitwise_count(bits).sum(-1, dtype=np.intp)], angle)

    def __getitem__(self, index: NDArray[np.bool_] | slice) -> "Coarse":
        """Some of the entries."""
        return Coarse(self.bits[index], self.length[index], self.angle[index])

    def joined(self, other: "Coarse") -> "Coarse":
        """These entries, then the others."""
        return Coarse(
            np.concatenate([self.bits, other.bits]),
            np.concatenate([self.length, other.length]),
            np.concatenate([self.angle, other.angle]),
        )

    def rank(self, probe: Cylinders) -> NDArray[np.float32]:
        """The coarse similarity of each entry with the probe."""
        starts = range(0, len(self.bits), _BATCH)
        parts = [self[start : start + _BATCH].rank_batch(probe) for start in starts]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def rank_batch(self, probe: Cylinders) -> NDArray[np.float32]:
        """The same in one piece: the mean of the best FINAL_PAIRS cylinders of each entry."""
        best = np.zeros(self.length.shape, np.float32)  # of each reference cylinder over those of the probe
        words = np.ascontiguousarray(np.moveaxis(self.bits, -1, 0))
        lengths = _SQRT[np.bitwise_count(probe.bits).sum(-1, dtype=np.intp)]
        for own, length, angle in zip(probe.bits, lengths, _angle_byte(probe.angle), strict=True):
            differing = np.zeros(self.length.shape, np.uint16)
            for word, mine in zip(words, own, strict=True):
                differing += np.bitwise_count(word ^ mine)
            similarity = 1 - _SQRT[differing] / np.maximum(self.length + length, 1)
            comparable = (self.angle - angle + _MAX_TURN) <= 2 * _MAX_TURN
            np.maximum(best, similarity, out=best, where=comparable & (self.length > 0))
        rank: NDArray[np.float32] = np.partition(best, WIDTH - FINAL_PAIRS, axis=1)[:, -FINAL_PAIRS:].mean(1)
        return rank


@dataclass(frozen=True, slots=True, eq=False)
class FingerGallery:
    """The gallery of "finger-minutiae/1". Immutable, so that searches run while the next one is made."""

    template_format = FORMAT

    keys: tuple[str, ...]
    cylinders: tuple[Cylinders, ...]
    positions: NDArray[np.uint8]
    coarse: Coarse

    @classmethod
    def build(cls, entries: Iterable[Entry]) -> Self:
        """A gallery of these. TemplateError names the key of an entry that cannot be read."""
        listed = list(entries)
        read = tuple(_read(entry) for entry in listed)
        positions = np.array([_POSITIONS[entry.position] for entry in listed], np.uint8)
        return cls(tuple(entry.key for entry in listed), read, positions, Coarse.of(read))

    def __len__(self) -> int:
        """How many entries."""
        return len(self.keys)

    def changed(self, added: Sequence[Entry], removed: frozenset[str]) -> Self:
        """A gallery without the keys of `removed`, then with `added`."""
        kept = np.array([key not in removed for key in self.keys], bool)
        new = self.build(added)
        return type(self)(
            keys=tuple(key for key in self.keys if key not in removed) + new.keys,
            cylinders=tuple(c for c, keep in zip(self.cylinders, kept, strict=True) if keep) + new.cylinders,
            positions=np.concatenate([self.positions[kept], new.positions]),
            coarse=self.coarse[kept].joined(new.coarse),
        )

    def search(self, probe: Template, position: Position, limit: int) -> list[Scored]:
        """The best `limit` keys, best first, each with its best score, ties in the order of the gallery.

        Entries of another known position than a known `position` are passed over. TemplateError: the probe.
        """
        own = cylinders(unpack(probe))
        scored = [
            Scored(self.keys[index], score(own, self.cylinders[index]))
            for index in self._promising(own, position, limit)
        ]
        best: dict[str, Scored] = {}
        for one in sorted(scored, key=lambda one: -one.score):
            best.setdefault(one.key, one)
        return list(best.values())[:limit]

    def _promising(self, probe: Cylinders, position: Position, limit: int) -> list[int]:
        """The entries worth an exact comparison, in the order of the gallery."""
        rank = self.coarse.rank(probe)
        rank[~self._allowed(position)] = -1
        chosen: list[int] = []
        keys: set[str] = set()
        for index in np.argsort(-rank, kind="stable"):
            if rank[index] < 0 or len(keys) == max(SHORT_LIST, 2 * limit):
                break
            chosen.append(int(index))
            keys.add(self.keys[index])
        return sorted(chosen)

    def _allowed(self, position: Position) -> NDArray[np.bool_]:
        unknown = _POSITIONS[Position.UNKNOWN]
        number = _POSITIONS[position]
        allowed: NDArray[np.bool_] = (self.positions == number) | (self.positions == unknown) | (number == unknown)
        return allowed


_: type[Gallery] = FingerGallery


def _read(entry: Entry) -> Cylinders:
    try:
        return cylinders(unpack(entry.template))
    except TemplateError as error:
        raise TemplateError(f"{entry.key}: {error}") from error


def _angle_byte(angle: NDArray[np.float32]) -> NDArray[np.uint8]:
    return (np.round(angle * _ANGLE_UNITS).astype(np.int64) % 256).astype(np.uint8)
