"""Samples: what one must be, and that its text shows no pixels."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from drivers.sample import Modality, Position, Sample, expand_4bit, other_side, size_text


def sample(image: Any = None, captured_at: datetime | None = None) -> Sample:  # noqa: ANN401 - also wrong ones
    image = np.full((3, 4), 200, np.uint8) if image is None else image
    when = captured_at or datetime(2026, 1, 2, tzinfo=UTC)
    return Sample(Modality.FINGER, Position.LEFT_THUMB, image, 4, 500.0, when, "ef01 at /dev/ttyFP0")


def test_every_position_has_the_modality_that_it_belongs_to() -> None:
    assert Position.UNKNOWN.modality is None
    assert Position.LEFT_EYE.modality is Modality.IRIS
    assert Position.RIGHT_THUMB.modality is Modality.FINGER


def test_the_other_side_is_the_same_finger_of_the_other_hand_or_the_other_eye() -> None:
    assert other_side(Position.RIGHT_THUMB) is Position.LEFT_THUMB
    assert other_side(Position.LEFT_EYE) is Position.RIGHT_EYE
    assert other_side(Position.UNKNOWN) is Position.UNKNOWN
    for position in Position:
        assert other_side(other_side(position)) is position
        assert other_side(position).modality is position.modality


def test_the_image_cannot_be_changed_and_the_repr_shows_no_pixels() -> None:
    found = sample()
    with pytest.raises(ValueError, match="read-only"):
        found.image[0, 0] = 1
    assert repr(found) == "<Sample finger left_thumb 4x3 at 500 ppi, 4 bit, ef01 at /dev/ttyFP0>"


@pytest.mark.parametrize("image", [np.zeros((3, 4)), np.zeros(12, np.uint8), np.zeros((3, 4, 3), np.uint8)])
def test_an_image_of_another_shape_or_type_is_refused(image: Any) -> None:  # noqa: ANN401 - also wrong ones
    with pytest.raises(ValueError, match=r"a sample is u8\[h, w\]"):
        sample(image)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="a datetime with a time zone"):
        sample(captured_at=datetime(2026, 1, 2))  # noqa: DTZ001 - refused


def test_a_camera_has_a_size_without_a_resolution() -> None:
    assert size_text(640, 480, 0) == "640x480"


def test_two_pixels_of_a_byte_are_spread_over_the_full_range() -> None:
    assert expand_4bit(np.array([0x0F, 0x80], np.uint8)).tolist() == [0, 255, 136, 0]
