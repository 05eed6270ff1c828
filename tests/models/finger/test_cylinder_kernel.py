"""Compiled cylinders have the same bits as those of numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.finger.cylinder_kernel import cylinders_of, packed_cylinders_of
from models.finger.cylinders import Rows, cylinders_plain
from models.finger.packed_cylinders import LANES, packed
from tests.rigs.fingers import ROWS, UNUSUAL


@pytest.mark.parametrize("rows", [*ROWS[:40], *UNUSUAL.values()], ids=[*map(str, range(40)), *UNUSUAL])
def test_compiled_cylinders_have_the_same_bits(rows: Rows) -> None:
    plain = cylinders_plain(rows)
    which = plain.which
    fast = cylinders_of(rows)
    for name in ("bits", "valid", "x", "y", "angle"):
        assert (getattr(plain, name) == getattr(fast, name)).all(), name
    words, of = packed_cylinders_of(rows, np.array([0, len(rows)]))
    assert (words[0] == packed(plain.bits, plain.valid, rows[which, 2])).all()
    assert (of[0, : min(LANES, len(which))] == which[:LANES]).all()


@given(st.integers(0, 2**32), st.integers(0, 60), st.sampled_from([30, 300, 1000]))
@settings(max_examples=40, deadline=None)
def test_cylinders_are_the_same_for_minutiae_anywhere(seed: int, count: int, spread: int) -> None:
    rng = np.random.default_rng(seed)
    places = rng.integers(0, spread, (count, 2))
    rows = np.column_stack([places, rng.integers(0, 65_536, count), np.zeros(count)]).astype(np.uint16)
    plain, fast = cylinders_plain(rows), cylinders_of(rows)
    assert plain.bits.tobytes() == fast.bits.tobytes()
    assert plain.valid.tobytes() == fast.valid.tobytes()
