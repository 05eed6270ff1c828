"""One finger or several: slaps and pairs of thumbs are several; creases, dry places, ghosts and dirt are not."""

from collections.abc import Sequence

import numpy as np
import pytest

from drivers.sample import Position
from models.finger.ridge_map import ridge_map
from models.finger.several import divided, several_fingers
from simulators.people.person import Condition
from tests.conftest import impression_of
from tests.rigs.slaps import (
    PAPER,
    RIGHT_HAND,
    THUMBS,
    Picture,
    print_of,
    slap,
    with_band,
    with_ghost,
    with_smears,
)


def _several(picture: Picture) -> bool:
    return several_fingers(picture.astype(np.float32))


@pytest.mark.parametrize(
    ("positions", "gap", "tilt", "turn"),
    [
        (RIGHT_HAND, 10, 0, 0),
        (RIGHT_HAND, 2, 8, 30),
        (RIGHT_HAND[:3], 20, 0, 90),
        (RIGHT_HAND[:2], 2, 0, 0),
        (RIGHT_HAND[:2], 40, 8, 180),
        (THUMBS, 2, 8, 0),
        (THUMBS, 40, 0, 45),
    ],
)
def test_fingers_side_by_side_are_several(positions: Sequence[Position], gap: int, tilt: float, turn: float) -> None:
    assert _several(slap(900, positions, gap, tilt, turn))


@pytest.mark.parametrize("condition", Condition)
def test_a_print_in_any_condition_is_one_finger(condition: Condition) -> None:
    for seed in (900, 901):
        assert not _several(print_of(seed, Position.RIGHT_THUMB, condition))


@pytest.mark.parametrize("degrees", [0, 20, 70, 90])
@pytest.mark.parametrize("width", [6, 12])
def test_a_print_with_a_bare_band_across_it_is_one_finger(width: int, degrees: float) -> None:
    """A crease, a scar or a dry place of 0.3 to 0.6 mm."""
    assert not _several(with_band(print_of(901, Position.RIGHT_INDEX), width, degrees))


@pytest.mark.parametrize("aside", [0, 150, 330])
def test_a_finger_beside_a_ghost_of_an_earlier_one_is_one_finger(aside: int) -> None:
    ghost = print_of(951, Position.RIGHT_MIDDLE)
    assert not _several(with_ghost(print_of(901, Position.RIGHT_INDEX), ghost, 0.25, aside))


def test_a_finger_on_a_dirty_window_is_one_finger() -> None:
    wide = np.pad(print_of(902, Position.RIGHT_INDEX), ((100, 100), (300, 300)), constant_values=PAPER)
    assert not _several(with_smears(wide, 1, 12))


def test_of_a_sensor_of_less_than_20_mm_nothing_is_several() -> None:
    """There is no room for two fingers on it, whatever it shows."""
    stripes = np.zeros((288, 256), np.float32)
    stripes[:, ::8] = stripes[:, 1::8] = 255
    stripes[:, 120:136] = 255
    assert not several_fingers(stripes)


def test_an_image_without_ridges_is_not_several() -> None:
    for image in (np.full((600, 900), 200, np.float32), np.random.default_rng(1).normal(128, 40, (600, 900))):
        assert not several_fingers(image.astype(np.float32))


def test_two_prints_of_less_than_a_fingers_width_are_not_divided() -> None:
    found = ridge_map(impression_of(1, 1)[:, 100:160].astype(np.float32))
    assert not divided(found, found.ridged())
