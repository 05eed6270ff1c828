"""The compiled search gives exactly the result of numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.compiled import NUMBA
from models.iris.kernel import search_plain
from models.iris.score import GAIN
from models.iris.search_layout import ShiftedProbe
from tests.rigs.iris_codes import EXTREME_CODES, noisy, some_code, split_codes

if NUMBA is None:
    pytest.skip("numba is not installed", allow_module_level=True)

from models.iris.vectors import search_compiled

CODES = [some_code(seed) for seed in range(20)]


@given(st.integers(0, 2**32), st.floats(0.02, 1), st.floats(0.1, 0.5), st.integers(-20, 20))
@settings(max_examples=40, deadline=None)
def test_compiled_code_gives_exactly_what_numpy_gives(seed: int, known: float, share: float, shift: int) -> None:
    rng = np.random.default_rng(seed)
    codes = [*CODES, *EXTREME_CODES.values(), *(noisy(CODES[n], seed + n, share, shift, known) for n in range(20))]
    probe = ShiftedProbe.of(noisy(CODES[seed % 20], seed, share / 2, shift // 2, known))
    allowed = rng.random(len(codes)) < 0.8
    heads, tails = split_codes(codes)
    out = np.empty(len(codes))
    search_compiled(probe.heads, probe.tails, heads, tails, allowed, GAIN, out)
    assert (out == search_plain(probe, heads, tails, allowed)).all()
