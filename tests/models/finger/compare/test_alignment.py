"""The alignment of two fingers: minutiae are paired where fingers overlap; unpaired ones there lower the score."""

import dataclasses

import numpy as np
import pytest

from models.finger.compare.alignment import best_alignment
from models.finger.cylinder_kernel import cylinders_of
from tests.rigs.fingers import finger_rows, half_of

FULL = max(finger_rows(11, 60), key=len)


def test_a_finger_aligned_with_itself_is_wholly_paired() -> None:
    one = cylinders_of(FULL)
    found = best_alignment(one, one, (np.arange(6), np.arange(6)))
    assert found.unpaired == pytest.approx(0, abs=1e-6)
    assert found.paired == pytest.approx((FULL[:, 3] / 100).sum(), rel=1e-3)


def test_minutiae_of_one_finger_only_are_unpaired_within_the_overlap() -> None:
    one, fewer = cylinders_of(FULL), cylinders_of(FULL[:-8])
    found = best_alignment(one, fewer, (np.arange(6), np.arange(6)))
    assert 0 < found.unpaired <= (FULL[-8:, 3] / 100).sum() + 1e-6


def test_minutiae_beyond_the_other_finger_are_not_unpaired() -> None:
    half = half_of(FULL, upper=True, shared=0)
    seen = cylinders_of(half)
    pairs = seen.which[:6], np.arange(6)
    rows_of_half = np.flatnonzero((FULL[:, np.newaxis] == half).all(2).any(1))
    whole = dataclasses.replace(seen, rows=FULL, which=rows_of_half[seen.which])
    found = best_alignment(whole, seen, (np.arange(6), pairs[1]))
    assert found.unpaired < 0.15 * (FULL[:, 3] / 100).sum()


def test_minutiae_whose_quality_was_not_reported_count() -> None:
    unknown = FULL.copy()
    unknown[:, 3] = 0
    one = cylinders_of(unknown)
    assert best_alignment(one, one, (np.arange(6), np.arange(6))).paired > 0.5 * len(FULL)
