"""The common part of the galleries: blocks are shared, joined and searched in order, whatever they hold."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.sample import Position
from models import search_threads
from models.encoder import Entry, Scored
from models.gallery import (
    BLOCK,
    HIDDEN,
    BlockGallery,
    best_of_each_key,
    check_positions,
    comparable,
    freeze,
    merged,
    numbers_of,
    read_entry,
    without,
)
from models.packed_arrays import pack, unpack
from models.template import Template, TemplateError


@dataclass(frozen=True, slots=True, eq=False)
class KeyBlock:
    """A block that holds nothing but keys."""

    keys: tuple[str, ...]
    positions: NDArray[np.uint8]

    @property
    def nbytes(self) -> int:
        return self.positions.nbytes

    def at_positions(self, positions: NDArray[np.uint8]) -> Self:
        return type(self)(self.keys, positions)

    def packed(self) -> bytes:
        return pack("keys", self.keys, {"positions": self.positions})

    @classmethod
    def unpacked(cls, data: bytes) -> Self:
        keys, arrays = unpack("keys", data, {"positions": ("u1", (None,))})
        return cls(keys, **arrays)

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, kept: NDArray[np.bool_]) -> Self:
        return type(self)(tuple(np.array(self.keys, object)[kept]), self.positions[kept])

    def joined(self, other: Self) -> Self:
        return type(self)(self.keys + other.keys, np.concatenate([self.positions, other.positions]))


@dataclass(frozen=True, slots=True, eq=False)
class KeyGallery(BlockGallery[KeyBlock]):
    """A gallery of such blocks."""

    @staticmethod
    def warm_up() -> None:
        """There is nothing to compile."""

    @classmethod
    def block_of(cls, entries: Sequence[Entry]) -> KeyBlock:
        return KeyBlock(tuple(entry.key for entry in entries), numbers_of(entries))

    @classmethod
    def unpacked_block(cls, data: bytes) -> KeyBlock:
        return KeyBlock.unpacked(data)

    def search(self, probe: Template, position: Position, limit: int) -> list[Scored]:
        """The keys that are comparable."""
        assert probe.format == "none/1"
        found = [(block, at) for block in self.blocks for at in np.flatnonzero(comparable(block.positions, position))]
        return [Scored(block.keys[at], 1.0) for block, at in found][:limit]


PROBE = Template("none/1", b"")


def _block(*keys: str) -> KeyBlock:
    return KeyBlock(keys, np.zeros(len(keys), np.uint8))


def _entries(*keys: str) -> list[Entry]:
    return [Entry(key, Position.UNKNOWN, Template("none/1", b"")) for key in keys]


def _keys(gallery: KeyGallery) -> list[str]:
    return [gallery.key(entry) for entry in range(len(gallery))]


def test_entries_are_divided_into_blocks_and_found_again_by_number() -> None:
    names = [str(number) for number in range(2 * BLOCK + 3)]
    gallery = KeyGallery.build(iter(_entries(*names)))
    assert [len(block) for block in gallery.blocks] == [BLOCK, BLOCK, 3]
    assert _keys(gallery) == names
    assert gallery.locate(BLOCK) == (gallery.blocks[1], 0)
    assert gallery.locate(2 * BLOCK + 2) == (gallery.blocks[2], 2)


def test_a_gallery_without_entries_has_length_zero() -> None:
    assert len(KeyGallery.build([])) == 0
    assert len(KeyGallery.build(_entries("a")).changed([], frozenset({"a"}))) == 0


def test_a_change_removes_then_adds_and_leaves_the_old_gallery() -> None:
    gallery = KeyGallery.build(_entries("a", "b", "a", "c"))
    changed = gallery.changed(_entries("a", "d"), frozenset({"a"}))
    assert _keys(changed) == ["b", "c", "a", "d"]
    assert _keys(gallery) == ["a", "b", "a", "c"]


def test_before_each_block_of_a_change_there_is_a_pause_for_others() -> None:
    gallery = KeyGallery.of_blocks([_block("a"), _block("b"), _block("c")])
    pauses: list[int] = []
    changed = gallery.changed([], frozenset({"b"}), lambda: pauses.append(1))
    assert _keys(changed) == ["a", "c"]
    assert len(pauses) == 3


def test_a_block_that_loses_nothing_is_the_same_object() -> None:
    block = _block("a", "b")
    assert without(block, frozenset()) is block
    assert without(block, frozenset({"nobody"})) is block
    assert without(block, frozenset({"a"})).keys == ("b",)


def test_neighbours_are_joined_while_they_fit_and_empty_blocks_left_out() -> None:
    full, small, empty = _block(*"x" * BLOCK), _block("a", "b"), _block()
    found = merged([empty, full, empty, small, small, empty])
    assert found[0] is full
    assert [block.keys for block in found[1:]] == [("a", "b", "a", "b")]
    assert merged([]) == ()


@pytest.mark.parametrize(("threads", "allowed", "made"), [(0, 3, [3]), (2, 3, [2]), (1, 3, []), (0, 1, [])])
def test_work_is_done_by_the_threads_that_are_allowed_and_answered_in_order(
    monkeypatch: pytest.MonkeyPatch, threads: int, allowed: int, made: list[int]
) -> None:
    pools: list[int] = []

    class Counting(ThreadPoolExecutor):
        def __init__(self, threads: int) -> None:
            pools.append(threads)
            super().__init__(threads)

    monkeypatch.setattr("models.gallery.ThreadPoolExecutor", Counting)
    monkeypatch.setattr(search_threads, "_thread_count", allowed)
    gallery = KeyGallery((_block("a"),), threads)
    assert gallery.each(str, range(9)) == [str(number) for number in range(9)]
    assert gallery.each(str, [7]) == ["7"]  # a single part needs no second thread
    assert pools == made


def test_entries_of_an_unknown_position_are_compared_with_every_probe() -> None:
    entries = [
        Entry("", position, Template("none/1", b""))
        for position in (Position.RIGHT_EYE, Position.UNKNOWN, Position.LEFT_EYE)
    ]
    numbers = numbers_of(entries)
    assert comparable(numbers, Position.RIGHT_EYE).tolist() == [True, True, False]
    assert comparable(numbers, Position.UNKNOWN).all()


def test_each_key_comes_once_with_its_best_score_and_equal_scores_stay_in_order() -> None:
    scored = [Scored("b", 0.5), Scored("a", 0.2), Scored("c", 0.5), Scored("a", 0.9)]
    assert best_of_each_key(scored, 9) == [Scored("a", 0.9), Scored("b", 0.5), Scored("c", 0.5)]
    assert best_of_each_key(scored, 2) == [Scored("a", 0.9), Scored("b", 0.5)]


def test_an_error_in_a_template_names_the_key_of_its_entry() -> None:
    def refuse(template: Template) -> int:
        raise TemplateError(f"{template.format}: cut short")

    (entry,) = _entries("ref-7")
    assert read_entry(entry, lambda template: len(template.data)) == 0
    with pytest.raises(TemplateError, match="ref-7: none/1: cut short"):
        read_entry(entry, refuse)


def test_hidden_keys_are_not_searched_and_all_else_is_shared() -> None:
    entries = [Entry(key, position, PROBE) for key in "abcd" for position in (Position.RIGHT_EYE, Position.UNKNOWN)]
    blocks = [KeyGallery.block_of(entries[:4]), KeyGallery.block_of(entries[4:])]
    gallery = KeyGallery.of_blocks(blocks)
    hidden = gallery.hiding(frozenset({"b", "nobody"}))
    for position, times in ((Position.RIGHT_EYE, 2), (Position.UNKNOWN, 2), (Position.LEFT_EYE, 1)):
        found = [one.key for one in hidden.search(PROBE, position, 99)]
        assert found == [key for key in "acd" for _ in range(times)]
    assert hidden.blocks[1] is blocks[1]
    assert hidden.blocks[0].keys is blocks[0].keys
    assert [one.key for one in gallery.search(PROBE, Position.LEFT_EYE, 99)] == list("abcd")


def test_the_entries_are_counted_without_those_hidden() -> None:
    eyes = (Position.RIGHT_EYE, Position.LEFT_EYE)
    gallery = KeyGallery.build([Entry(key, position, PROBE) for key in "ab" for position in eyes])
    assert list(gallery.entries()) == [("a", eyes[0]), ("a", eyes[1]), ("b", eyes[0]), ("b", eyes[1])]
    assert list(gallery.hiding(frozenset("a")).entries()) == [("b", eyes[0]), ("b", eyes[1])]


def test_a_number_of_no_position_is_damage_and_so_is_hidden() -> None:
    check_positions(np.arange(len(Position), dtype=np.uint8), "here")
    check_positions(np.zeros(0, np.uint8), "here")
    for number in (len(Position), HIDDEN):
        with pytest.raises(TemplateError, match="here: the block is damaged: a position that does not exist"):
            check_positions(np.array([0, number], np.uint8), "here")


def test_a_frozen_array_cannot_be_changed() -> None:
    array = np.zeros(2)
    freeze(array)
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1
