"""Blocks of fingers: changed, joined, and small enough."""

import sys
import uuid
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from drivers.sample import Position
from models.compiled import NUMBA
from models.encoder import Entry
from models.finger.compare.score import score
from models.finger.minutiae import MAX_MINUTIAE
from models.finger.packed_cylinders import LANES, WORDS
from models.finger.search.block import PACKED, Block, Probe
from models.finger.search.gallery import FingerGallery
from models.finger.search.prefilter import rank_compiled
from models.finger.search.rerank import rerank_compiled
from models.gallery import BLOCK, merged, numbers_of, without
from models.packed_arrays import pack
from models.template import Template, TemplateError
from tests.rigs.fingers import ROWS, UNUSUAL, block_of, second_impression

ARRAYS = ("positions", "starts", "rows", "words", "which")


def test_growing_and_shrinking_share_what_does_not_change() -> None:
    one, other = block_of(ROWS[:5]), block_of(ROWS[5:9])
    assert without(one, frozenset({"nobody"})) is one
    assert len(merged([one, other])) == 1
    full = Block(one.keys * BLOCK, *(getattr(one, n) for n in ("positions", "starts", "rows", "words", "which")))
    assert merged([full, other])[0] is full
    assert merged([without(one, frozenset(one.keys)), other]) == (other,)


def test_a_finger_of_40_to_60_minutiae_takes_at_most_2_kb_with_its_key() -> None:
    """Two fingers a person, whose key is as long as those that an enrolment makes and kept once."""
    most = np.concatenate(ROWS[:2])
    rows = [most[: 40 + n % 21] for n in range(210)]
    keys = tuple(key for _ in range(105) for key in [uuid.uuid4().hex] * 2)
    gallery = FingerGallery((Block.of(keys, np.zeros(len(keys), np.uint8), rows),))
    names = sum(sys.getsizeof(key) for key in {id(key): key for key in keys}.values()) + sys.getsizeof(keys)
    assert np.mean([len(one) for one in rows]) == 50
    assert len(most) >= 60
    assert sum(block.nbytes for block in gallery.blocks) + names <= 2048 * len(gallery)


def test_a_block_keeps_the_minutiae_and_the_best_cylinders_of_each_entry() -> None:
    block = block_of(ROWS[:4])
    for entry in range(4):
        whole = block.cylinders(entry)
        assert (whole.rows == ROWS[entry]).all()
        assert (block.best_cylinders(entry).bits == whole.first(LANES).bits).all()


def test_an_entry_of_another_known_position_has_rank_minus_one() -> None:
    positions = numbers_of([Entry("", p, Template("", b"")) for p in (Position.RIGHT_THUMB, Position.LEFT_THUMB)])
    block = Block.of(("a", "b"), positions, ROWS[:2])
    ranks = block.ranks(Probe.of(second_impression(1)).words, Position.RIGHT_THUMB)
    assert ranks[0] >= 0
    assert ranks[1] == -1


def test_reranking_without_numba_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    block, probe, entries = block_of(ROWS[:9]), Probe.of(second_impression(3)), np.array([7, 3, 5])
    expected = block.rerank(probe, entries)
    assert expected.argmax() == 1
    monkeypatch.setattr("models.finger.search.block.NUMBA", None)
    assert block.rerank(probe, entries) == pytest.approx(expected, abs=1e-9)


def test_a_block_is_the_same_after_it_was_packed() -> None:
    block = block_of([*ROWS[:9], *UNUSUAL.values()])
    again = FingerGallery.unpacked_block(block.packed())
    assert again.keys == block.keys
    assert again.nbytes == block.nbytes
    for name in ARRAYS:
        assert np.array_equal(getattr(again, name), getattr(block, name))
    assert again.packed() == block.packed()
    probe, every = Probe.of(second_impression(3)), np.arange(len(block))
    assert (again.rerank(probe, every) == block.rerank(probe, every)).all()
    assert (again.ranks(probe.words, Position.UNKNOWN) == block.ranks(probe.words, Position.UNKNOWN)).all()
    assert len(Block.unpacked(block_of([]).packed())) == 0


@pytest.mark.skipif(NUMBA is None, reason="numba is not there")
def test_the_search_of_an_unpacked_block_is_not_compiled_again() -> None:
    """It would be if the arrays of one were read-only and those of the other not: on the way of a traveller."""
    FingerGallery.warm_up()
    compiled: tuple[Any, ...] = (rank_compiled, rerank_compiled)
    compiled_for = [list(one.signatures) for one in compiled]
    for block in (block_of(ROWS[:2]), Block.unpacked(block_of(ROWS[:2]).packed())):
        probe = Probe.of(second_impression(1))
        block.ranks(probe.words, Position.UNKNOWN)
        block.rerank(probe, np.array([0, 1]))
    assert [list(one.signatures) for one in compiled] == compiled_for


def _changed(name: str, values: object) -> bytes:
    """The block of three entries, two of which have minutiae, with one array changed."""
    block = block_of([ROWS[0], ROWS[1], UNUSUAL["none"]])
    arrays = {name: getattr(block, name) for name in ARRAYS}
    arrays[name] = values(arrays[name].copy()) if callable(values) else values
    return pack(PACKED, block.keys, arrays)


def _set(at: int | tuple[int, ...], value: int) -> object:
    def change(array: NDArray[Any]) -> NDArray[Any]:
        array[at] = value
        return array

    return change


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("positions", _set(0, 255)),
        ("positions", lambda a: a[:2]),
        ("words", lambda a: a[:2]),
        ("which", lambda a: a[:2]),
        ("starts", lambda a: a[:3]),
        ("starts", _set(0, 1)),
        ("starts", _set(0, -1)),
        ("starts", _set(1, 1 << 40)),
        ("starts", lambda a: np.array([0, (1 << 63) - 1, -2, a[-1]], np.int64)),  # each difference overflows to above 0
        ("starts", lambda a: a + np.array([0, 0, 0, 1])),
        ("rows", lambda a: a[:-1]),
        ("rows", lambda a: np.concatenate([a, a])),
        ("which", _set((0, 0), 255)),
        ("which", _set((2, 5), 1)),
        ("words", _set((2, WORDS - 1, 0), 1)),  # a cylinder of an entry that has no minutiae
    ],
)
def test_an_index_that_leads_out_of_an_array_is_refused(name: str, values: object) -> None:
    with pytest.raises(TemplateError, match="finger block 1: the block is damaged"):
        Block.unpacked(_changed(name, values))


def test_more_minutiae_than_a_template_can_have_are_refused() -> None:
    many = np.zeros((MAX_MINUTIAE + 1, 4), np.uint16)
    block = block_of([many[:-1]])
    assert len(Block.unpacked(block.packed())) == 1
    arrays = {name: getattr(block, name) for name in ARRAYS}
    data = pack(PACKED, block.keys, arrays | {"rows": many, "starts": np.array([0, len(many)])})
    with pytest.raises(TemplateError, match="damaged"):
        Block.unpacked(data)


@settings(deadline=None)
@given(st.data())
def test_a_damaged_block_is_refused_or_searched_without_harm(data: st.DataObject) -> None:
    block = bytearray(block_of([ROWS[0], UNUSUAL["none"], ROWS[1], UNUSUAL["two"]]).packed())
    places = st.one_of(st.integers(0, 600), st.integers(0, len(block) - 1))
    for at, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=8)):
        block[at] = value
    try:
        found = Block.unpacked(bytes(block))
    except TemplateError:
        return
    scores = found.rerank(Probe.of(ROWS[0]), np.arange(len(found)))
    assert ((scores >= 0) & (scores <= 1)).all()
    for entry in range(len(found)):
        assert score(found.cylinders(entry), found.cylinders(entry)) <= 1
