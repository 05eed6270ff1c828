"""Blocks of fingers: changed, joined, and small enough."""

import sys
import uuid

import numpy as np

from models.finger.search.block import Block
from models.finger.search.gallery import FingerGallery
from models.gallery import BLOCK, merged, without
from tests.rigs.fingers import ROWS, block_of


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
