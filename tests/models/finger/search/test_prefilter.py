"""The prefilter: compiled ranks are those of numpy."""

import numpy as np
import pytest

from models.finger.cylinders import Rows
from models.finger.search.block import Probe
from models.finger.search.prefilter import rank, rank_plain
from tests.rigs.fingers import ROWS, UNUSUAL, block_of, seen_again


@pytest.mark.parametrize("probe", [seen_again(3), *UNUSUAL.values()], ids=["mated", *UNUSUAL])
def test_compiled_ranks_are_those_of_numpy(probe: Rows) -> None:
    block = block_of([*ROWS, *UNUSUAL.values()])
    words = Probe.of(probe).words
    allowed = np.arange(len(block)) % 3 != 1
    ranks = rank(words, block.words, allowed)
    assert (ranks == rank_plain(words, block.words, allowed)).all()
    assert ((ranks >= 0) == allowed).all()
