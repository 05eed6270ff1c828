"""Which frames a capture window accepts."""

import pytest

from drivers.sample import Position
from drivers.uvc.frame_age import CaptureWindow

GIVEN_S, FRAME_S = 7.0, 1 / 30


@pytest.mark.parametrize(
    ("now", "position", "interval", "moment"),
    [
        (GIVEN_S + 0.04, Position.LEFT_EYE, FRAME_S, GIVEN_S),
        (GIVEN_S + 0.08, Position.LEFT_EYE, FRAME_S, GIVEN_S + 0.03),  # the frame that waited is skipped
        (GIVEN_S + 0.12, Position.LEFT_EYE, 1.0, GIVEN_S + 0.02),
        (GIVEN_S + 0.14, Position.LEFT_EYE, FRAME_S, GIVEN_S + 0.14),  # too late for this look
        (GIVEN_S + 0.04, Position.RIGHT_EYE, FRAME_S, GIVEN_S + 0.04),  # that was the other eye
    ],
)
def test_a_capture_window_continues_for_a_call_that_follows_soon(
    now: float, position: Position, interval: float, moment: float
) -> None:
    window = CaptureWindow()
    assert window.must_begin_after(Position.LEFT_EYE, GIVEN_S, FRAME_S) == GIVEN_S
    window.delivered(Position.LEFT_EYE, GIVEN_S, GIVEN_S + 0.03)
    assert window.must_begin_after(position, now, interval) == pytest.approx(moment)
    window.begin()
    assert window.must_begin_after(position, now, interval) == now
