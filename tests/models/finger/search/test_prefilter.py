"""The prefilter: compiled ranks are those of numpy."""

import numpy as np
import pytest

from models.finger.cylinders import Rows
from models.finger.search.block import Probe
from models.finger.search.prefilter import rank, rank_plain
from tests.rigs.fingers import ROWS, UNUSUAL, block_of, second_impression


@pytest.mark.parametrize("probe", [second_impression(3), *UNUSUAL.values()], ids=["mated", *UNUSUAL])
def test_compiled_ranks_are_those_of_numpy(probe: Rows) -> None:
    block = block_of([*ROWS, *UNUSUAL.values()])
    words = Probe.of(probe).words
    allowed = np.arange(len(block)) % 3 != 1
    ranks = rank(words, block.words, allowed)
    assert (ranks == rank_plain(words, block.words, allowed)).all()
    assert ((ranks >= 0) == allowed).all()


def test_ranks_without_numba_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    block, probe = block_of(ROWS[:50]), Probe.of(second_impression(3)).words
    expected = rank(probe, block.words, np.ones(50, bool))
    monkeypatch.setattr("models.finger.search.prefilter.NUMBA", None)
    assert (rank(probe, block.words, np.ones(50, bool)) == expected).all()
    assert expected.argmax() == 3
