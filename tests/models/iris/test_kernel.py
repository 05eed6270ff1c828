"""The early exit: it skips comparisons of different eyes only, and its result is otherwise that of all bits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.iris import kernel
from models.iris.kernel import search, search_plain, search_whole
from models.iris.score import score
from models.iris.search_layout import NOT_ALLOWED, STOPPED, ShiftedProbe
from models.iris.template import IrisCode
from tests.rigs.iris_codes import EXTREME_CODES, noisy, some_code, split_codes

CODES = [some_code(seed) for seed in range(100)]


@pytest.mark.parametrize("probe", EXTREME_CODES.values(), ids=EXTREME_CODES)
def test_extreme_probes_are_never_similar_by_chance(probe: IrisCode) -> None:
    heads, tails = split_codes([*CODES[:30], *EXTREME_CODES.values()])
    allowed = np.ones(len(heads), bool)
    found = search(ShiftedProbe.of(probe), heads, tails, allowed)
    assert (found == search_plain(ShiftedProbe.of(probe), heads, tails, allowed)).all()
    assert (found[:30] < 0.05).all()


@given(st.integers(0, 2**32), st.floats(0.0, 0.33), st.floats(0.5, 1), st.sampled_from([-17, -9, -2, 0, 1, 7, 15]))
@settings(max_examples=60, deadline=None)
def test_the_early_exit_never_changes_a_mated_comparison(seed: int, share: float, known: float, shift: int) -> None:
    reference = some_code(seed)
    probe = noisy(reference, seed + 1, share, shift, known)
    heads, tails = split_codes([reference])
    found = search(ShiftedProbe.of(probe), heads, tails, np.ones(1, bool))
    assert found == search_whole(ShiftedProbe.of(probe), heads, tails)
    assert found + 0.5 == score(probe, reference)


def test_stopped_entries_are_those_of_different_eyes_and_excluded_entries_are_not_compared() -> None:
    heads, tails = split_codes(CODES[:100])
    allowed = np.arange(100) % 3 != 1
    found = search(ShiftedProbe.of(some_code(999)), heads, tails, allowed)
    assert ((found == NOT_ALLOWED) == ~allowed).all()
    assert (found == STOPPED).sum() > 30
    whole = search_whole(ShiftedProbe.of(some_code(999)), heads, tails)
    assert whole.max() < 0.1


def test_without_numba_the_search_is_that_of_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    probe, (heads, tails) = ShiftedProbe.of(noisy(CODES[3], 1, 0.2)), split_codes(CODES)
    allowed = np.ones(len(CODES), bool)
    usual = search(probe, heads, tails, allowed)
    monkeypatch.setattr(kernel, "NUMBA", None)
    assert (search(probe, heads, tails, allowed) == usual).all()
    assert usual.argmax() == 3
