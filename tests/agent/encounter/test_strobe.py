"""Which frames a strobing lamp left unlit, by their mean grey level."""

from collections.abc import Sequence

import numpy as np
import pytest

from agent.encounter.strobe import HISTORY, Strobe, grey_level


def after(levels: Sequence[float]) -> Strobe:
    strobe = Strobe()
    for level in levels:
        strobe.add(level)
    return strobe


@pytest.mark.parametrize("pattern", [[120, 5], [120, 60], [120, 118, 40], [120, 2, 2], [2, 2, 2, 120]])
def test_a_strobing_lamp_is_recognised_and_its_unlit_frames_named(pattern: list[float]) -> None:
    strobe = after(pattern * 4)
    assert strobe.seen
    assert [strobe.left_unlit(level) for level in pattern] == [level < 100 for level in pattern]


@pytest.mark.parametrize(
    "levels",
    [
        [],
        [120.0] * 30,
        [120, 80] * 20,  # the light of the room is nearly that of the lamp: every frame is as good
        [8, 1] * 20,  # darkness
        [24] * 5 + [140, 150, 135, 100, 140] + [24] * 9,  # somebody comes and goes
        list(range(1, 200)),
    ],
)
def test_a_steady_lamp_leaves_no_frame_unlit(levels: list[float]) -> None:
    strobe = after(levels)
    assert not strobe.seen
    assert not any(strobe.left_unlit(level) for level in (0.0, 50.0, 255.0))


def test_a_lamp_that_strobes_is_known_from_then_on_and_light_is_compared_with_that_of_the_latest_frames() -> None:
    strobe = after([120, 5] * 5 + [40] * HISTORY)
    assert strobe.seen
    assert not strobe.left_unlit(40)
    assert strobe.left_unlit(5)


def test_the_level_is_the_mean_and_an_empty_image_is_dark() -> None:
    assert grey_level(np.full((48, 64), 77, np.uint8)) == 77
    assert grey_level(np.empty((0, 0), np.uint8)) == 0


def test_where_the_lamp_makes_frames_too_bright_the_others_are_not_set_aside() -> None:
    strobe = after([240, 110] * 6)
    assert strobe.seen
    assert not strobe.left_unlit(110)
