"""Re-ranking: the compiled local similarity is that of numpy over the same cylinders."""

from pathlib import Path

import numpy as np
import pytest

from models.compiled import NUMBA
from models.finger.compare.local_similarity import local_similarity
from models.finger.cylinders import Rows, cylinders_plain, rows_of
from models.finger.packed_cylinders import LANES
from models.finger.search.block import Probe
from models.finger.template import unpack
from simulators.bench.mates import people_of
from tests.conftest import SHARED
from tests.conftest import template_of as real_template_of
from tests.rigs.fingers import ROWS, UNUSUAL, block_of, second_impression

needs_numba = pytest.mark.skipif(NUMBA is None, reason="numba is not installed")


@pytest.mark.parametrize("probe", [second_impression(3), *UNUSUAL.values()], ids=["mated", *UNUSUAL])
def test_a_reranked_score_is_that_of_compare_over_the_best_cylinders(probe: Rows) -> None:
    rows = [*ROWS[:60], *UNUSUAL.values()]
    scores = block_of(rows).rerank(Probe.of(probe), np.arange(len(rows)))
    own = cylinders_plain(probe).first(LANES)
    expected = [local_similarity(own, cylinders_plain(one).first(LANES)) for one in rows]
    assert np.allclose(scores, expected, rtol=0, atol=1e-9)


def test_a_reranked_score_of_synthetic_impressions_is_that_of_compare() -> None:
    rows = [_rows_of(seed, 1) for seed in range(1, 9)]
    block = block_of(rows)
    for seed in range(1, 9):
        probe = Probe.of(_rows_of(seed, 2))
        expected = [local_similarity(probe.cylinders.first(LANES), cylinders_plain(one).first(LANES)) for one in rows]
        assert np.allclose(block.rerank(probe, np.arange(8)), expected, rtol=0, atol=1e-9)


def _rows_of(seed: int, impression: int) -> Rows:
    return rows_of(unpack(real_template_of(seed, impression)))


@pytest.mark.shared
@needs_numba
def test_real_scores_in_compiled_code_are_those_of_compare(tmp_path: Path) -> None:
    """Templates are made of real images here and leave no trace."""
    for picture in (SHARED / "data/fingerprint/FVC2002_DB1_B").glob("10[1-4]_[1-3].png"):
        (tmp_path / picture.name).symlink_to(picture)
    people = list(people_of(tmp_path, fingers_each=1, source_ppi=500.0, size=10))
    rows = [person.references[0] for person in people]
    block = block_of(rows)
    assert len(rows) == 4
    for person in people:
        for (one,) in person.probes:
            probe = Probe.of(one)
            expected = [local_similarity(probe.cylinders.first(LANES), cylinders_plain(r).first(LANES)) for r in rows]
            assert np.allclose(block.rerank(probe, np.arange(len(rows))), expected, rtol=0, atol=1e-9)
