"""The compiled comparison gives what numpy gives."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.finger.compare.local_similarity import in_order
from models.finger.compare.score import compared_plain
from models.finger.compare.score_kernel import compared
from models.finger.cylinder_kernel import cylinders_of
from models.finger.cylinders import Rows
from models.finger.minutiae import TURN
from simulators.people.finger_minutiae import another_impression


def _random_rows(rng: np.random.Generator, count: int, side: int) -> Rows:
    """Random minutiae in a square, best quality first, some without a reported quality."""
    rows = np.stack([*rng.integers(0, side, (2, count)), rng.integers(0, TURN, count), rng.integers(0, 101, count)], 1)
    return rows[np.argsort(-rows[:, 3], kind="stable")].astype(np.uint16)


@given(st.integers(0, 2**32), st.integers(1, 90), st.integers(1, 90), st.sampled_from([150, 300, 600]))
@settings(max_examples=60, deadline=None)
def test_a_compiled_comparison_is_that_of_numpy(seed: int, count: int, others: int, side: int) -> None:
    rng = np.random.default_rng(seed)
    one = _random_rows(rng, count, side)
    for other in (_random_rows(rng, others, side), another_impression(rng, one), one[: others // 2 + 1]):
        a, b = in_order(cylinders_of(one), cylinders_of(other))
        fast, plain = compared(a, b), compared_plain(a, b)
        assert (fast is None) == (plain is None)
        if fast and plain:
            assert fast[0] == pytest.approx(plain[0], abs=1e-9)
            assert dataclasses.astuple(fast[1]) == pytest.approx(dataclasses.astuple(plain[1]), abs=1e-9)
