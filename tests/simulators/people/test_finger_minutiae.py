"""Synthetic fingers as minutiae: valid rows, other impressions of the same finger, and rotated copies."""

import numpy as np

from models.finger.minutiae import TURN
from models.finger.packed_cylinders import DIRECTION_WORD
from simulators.people.finger_minutiae import (
    COUNT_MAX,
    COUNT_MIN,
    HEIGHT,
    WIDTH,
    another_impression,
    fingers,
    repositioned,
)

LIMITS = (WIDTH - 1, HEIGHT - 1, TURN - 1, 100)


def test_rows_are_within_their_limits_and_the_best_minutia_comes_first() -> None:
    made = fingers(np.random.default_rng(1), 20)
    assert (made.rows <= LIMITS).all()
    for number in range(20):
        rows = made.one(number)
        assert COUNT_MIN <= len(rows) <= COUNT_MAX
        assert (np.diff(rows[:, 3].astype(int)) <= 0).all()


def test_the_same_seed_gives_the_same_fingers() -> None:
    one, other = (fingers(np.random.default_rng(2), 5) for _ in range(2))
    assert np.array_equal(one.rows, other.rows)
    assert not np.array_equal(one.one(0)[:5], one.one(1)[:5])


def test_another_impression_loses_some_minutiae_and_has_spurious_ones() -> None:
    rows = fingers(np.random.default_rng(3), 1).one(0)
    other = another_impression(np.random.default_rng(4), rows)
    assert (other <= LIMITS).all()
    assert 0.5 * len(rows) < len(other) < 1.5 * len(rows)
    assert not np.array_equal(other, rows)


def test_a_repositioned_finger_keeps_its_distances_and_rotates_its_directions() -> None:
    made = fingers(np.random.default_rng(5), 3)
    words = np.random.default_rng(6).integers(1, 1 << 32, (3, DIRECTION_WORD + 2, 8), dtype=np.uint32)
    moved, turned = repositioned(np.random.default_rng(7), made, words)
    for number in range(3):
        before, after = (each.one(number)[:, :2].astype(float) for each in (made, moved))
        far, still_far = (np.hypot(*(points - points[0]).T) for points in (before, after))
        assert np.allclose(far, still_far, atol=2)
    changed = (words != turned).any(axis=(0, 2))
    assert changed.tolist() == [index == DIRECTION_WORD for index in range(len(changed))]
