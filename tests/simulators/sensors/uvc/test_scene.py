"""What is in front of the simulated camera."""

from pathlib import Path

import numpy as np
import pytest

from drivers.sample import Position
from simulators.people.person import EyeCondition, Person
from simulators.sensors.uvc.scene import camera_bytes, describe, empty_room, frames_of, letterbox


def test_a_picture_is_shown_whole_in_the_middle() -> None:
    frame = letterbox(np.full((50, 100), 200, np.uint8), 64, 48)
    assert frame.shape == (48, 64)
    assert (frame[8:40] == 200).all()
    assert not frame[:8].any()
    assert not frame[40:].any()


def test_nobody_is_a_dark_room() -> None:
    empty = empty_room(64, 48)
    assert 15 < empty.mean() < 35
    assert empty.std() < 5


def test_mjpeg_is_made_of_the_picture() -> None:
    smooth = np.add.outer(np.arange(48), np.arange(64)).astype(np.uint8)
    data = camera_bytes("mjpeg", smooth)
    assert data.startswith(b"\xff\xd8")
    assert data.endswith(b"\xff\xd9")


@pytest.mark.parametrize(
    ("look", "said"),
    [
        ({}, "give one of the two"),
        ({"person": 1, "image": "x.png"}, "give one of the two"),
        ({"person": 1, "eye": "third"}, "choose one of left, right"),
        ({"person": 1, "condition": "angry"}, "choose one of normal"),
        ({"person": 1, "finger": "x"}, "there is no argument finger"),
        ({"image": "no_such.png"}, "there is no file"),
    ],
)
def test_a_look_that_cannot_be_says_why(look: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        next(frames_of(look, 64, 48))  # type: ignore[arg-type]


def test_a_synthetic_eye_fills_the_frame() -> None:
    frame = next(frames_of({"person": 1, "eye": "right", "condition": "normal"}, 64, 48))
    assert frame.shape == (48, 64)
    assert (frame == Person(1).eye(Position.RIGHT_EYE).frame(0, 64, 48, EyeCondition.NORMAL)).all()


def test_a_frame_in_another_format_is_encoded() -> None:
    assert camera_bytes("yuy2", np.array([[7, 8]], np.uint8)) == b"\x07\x80\x08\x80"


def test_a_look_is_one_line_of_text() -> None:
    assert describe({"image": Path("eye.png")}) == "eye.png"
    assert describe({"person": 7}) == "person 7, left eye"
    assert describe({"person": 7, "eye": "right", "condition": "closed"}) == "person 7, right eye, closed"
