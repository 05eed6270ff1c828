"""Local similarity: cylinders that are the same, support each other, or point too far apart."""

import dataclasses

import numpy as np
import pytest

from models.finger.compare.local_similarity import in_order, local_similarity, pair_similarity, supported_pairs
from models.finger.cylinders import cylinders
from tests.rigs.minutiae import moved, random_minutiae


def test_identical_cylinders_have_similarity_1_and_none_beyond_the_rotation() -> None:
    found = cylinders(random_minutiae(1))
    assert np.allclose(np.diag(pair_similarity(found, found)), 1)
    rotated = dataclasses.replace(found, angle=found.angle + np.float32(np.pi / 2))
    assert (np.diag(pair_similarity(found, rotated)) == 0).all()


def test_the_same_finger_is_more_similar_than_another_one() -> None:
    seen = random_minutiae(1), moved(random_minutiae(1), 9, (5, 5), 2), random_minutiae(2)
    one, again, other = map(cylinders, seen)
    assert local_similarity(one, one) > local_similarity(one, again) > 2 * local_similarity(one, other)
    assert local_similarity(one, again) == local_similarity(again, one)


def test_two_fingers_with_as_many_cylinders_are_put_in_one_order() -> None:
    one = cylinders(random_minutiae(1))
    other = dataclasses.replace(one, angle=one.angle[::-1].copy())
    assert in_order(one, other)[0] is in_order(other, one)[0]
    assert [len(c) for c in in_order(one, one.first(5))] == [5, len(one)]


def test_the_most_supported_pairs_come_first() -> None:
    one = cylinders(random_minutiae(1))
    found = supported_pairs(one, one)
    assert found is not None
    first, second = found.promising()
    assert (first == second).all()
    values = {(int(a), int(b)): value for a, b, value in zip(found.first, found.second, found.value, strict=True)}
    ordered = [values[int(a), int(b)] for a, b in zip(first, second, strict=True)]
    assert ordered == pytest.approx(sorted(ordered, reverse=True), abs=1e-8)


def test_too_few_cylinders_or_no_comparable_ones_have_no_pairs() -> None:
    one = cylinders(random_minutiae(1))
    assert supported_pairs(one.first(3), one) is None
    opposite = [dataclasses.replace(one, angle=np.full_like(one.angle, angle)) for angle in (0, np.pi)]
    assert supported_pairs(*opposite) is None
    assert local_similarity(*opposite) == 0.0
