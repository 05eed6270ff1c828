"""The crowd of kiosk-bench search finger: the same whoever makes it, however many at a time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.gallery import BLOCK
from simulators.bench import finger_gallery as bench_gallery
from simulators.bench.finger_gallery import DISTINCT, Part, SyntheticFingers, groups

SMALL = 4  # entries of a part, instead of BLOCK


@given(total=st.integers(1, 3 * DISTINCT + 1), threads=st.integers(1, 200))
def test_every_entry_is_made_once_and_no_group_needs_a_part_of_its_own(total: int, threads: int) -> None:
    made = groups(total, threads)
    assert [part for group in made for part in group] == [(at, min(BLOCK, total - at)) for at in range(0, total, BLOCK)]
    for group in made:
        assert len(group) <= 2 * threads
        assert group[0][0] // DISTINCT == group[-1][0] // DISTINCT


def test_a_crowd_is_the_same_in_whatever_order_threads_make_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_gallery, "BLOCK", SMALL)
    monkeypatch.setattr(bench_gallery, "DISTINCT", 3 * SMALL)
    assert max(len(group) for group in groups(8 * SMALL, 40)) == 3
    alone, together = (_made(threads, backwards=threads > 1) for threads in (1, 40))
    assert alone.keys() == together.keys()
    for at, part in alone.items():
        assert np.array_equal(part.fingers.rows, together[at].fingers.rows)
        assert np.array_equal(part.words, together[at].words)


def _made(threads: int, *, backwards: bool) -> dict[int, Part]:
    crowd, parts = SyntheticFingers(7), dict[int, Part]()
    for group in groups(8 * SMALL - 1, threads):
        for at, count in reversed(group) if backwards else group:
            parts[at] = crowd.part(at, count, {})
    return parts
