"""Cylinders: bits that describe the neighbourhood of a minutia, the same wherever the finger lies."""

import dataclasses

import numpy as np

from models.finger.cylinders import PLACES, Cylinders, cylinders
from models.finger.template import unpack
from tests.conftest import template_of
from tests.rigs.minutiae import moved, random_minutiae


def test_the_bits_of_a_cylinder_do_not_change_with_position() -> None:
    finger = moved(random_minutiae(1), 0, (0, 0))
    shifted = dataclasses.replace(finger, x=finger.x + np.uint16(13), y=finger.y + np.uint16(29))
    here, there = cylinders(finger), cylinders(shifted)
    assert (here.bits == there.bits).all()
    assert (here.valid == there.valid).all()


def test_bits_are_set_only_where_places_count() -> None:
    found = cylinders(random_minutiae(1))
    assert len(found) > 30
    assert not (found.bits & ~found.valid[:, np.newaxis]).any()
    assert np.bitwise_count(found.valid).max() <= 52  # of the 64 places, those within the disc
    assert np.bitwise_count(found.valid).min() >= 0.75 * 52


def test_a_neighbour_ahead_sets_cells_ahead() -> None:
    """One minutia pointing up with a like one 40 pixels above it: its bits lie in the cells along its direction."""
    finger = random_minutiae(1, 3)
    three = dataclasses.replace(
        finger,
        x=np.array([100, 100, 104], np.uint16),
        y=np.array([200, 160, 162], np.uint16),
        direction=np.full(3, 16_384, np.uint16),
        qualities=np.array([90, 80, 70], np.uint8),
    )
    lowest = cylinders(three).bits[0]
    set_places = {place for word in lowest for place in range(PLACES) if int(word) >> place & 1}
    assert set_places
    assert all(place // 8 >= 4 for place in set_places)  # rows of cells run along the direction


def test_cylinders_come_best_quality_first() -> None:
    minutiae = unpack(template_of(1, 1))
    assert isinstance(cylinders(minutiae), Cylinders)
    shuffled = minutiae.take(np.random.default_rng(1).permutation(len(minutiae)))
    distinct = len(set(minutiae.qualities.tolist())) == len(minutiae)
    if distinct:
        assert (cylinders(minutiae).bits == cylinders(shuffled).bits).all()
    assert cylinders(minutiae).first(5).x.shape == (5,)


def test_minutiae_on_one_line_have_no_hull_and_every_place_is_valid() -> None:
    finger = random_minutiae(1, 20)
    line = dataclasses.replace(finger, x=np.arange(20, dtype=np.uint16) * 9, y=np.full(20, 50, np.uint16))
    found = cylinders(line)
    assert len(found) == 20
    assert (np.bitwise_count(found.valid) == 52).all()
