"""Blocks of fingers: changed, joined, and small enough."""

import sys
import uuid

import numpy as np
import pytest

from drivers.sample import Position
from models.encoder import Entry
from models.finger.packed_cylinders import LANES
from models.finger.search.block import Block, Probe
from models.finger.search.gallery import FingerGallery
from models.gallery import BLOCK, merged, numbers_of, without
from models.template import Template
from tests.rigs.fingers import ROWS, block_of, second_impression


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
