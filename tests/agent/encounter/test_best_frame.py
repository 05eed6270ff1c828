"""A camera as a sensor of presentations: scripted frames, glances and a clock of their own."""

from math import inf

import pytest

from agent.encounter.best_frame import (
    BLINK_S,
    CHECK_PAUSE_S,
    GONE_S,
    GUIDE_S,
    IDLE_PAUSE_S,
    LEAVE_TIMEOUT_S,
    MAX_CHECK_PAUSE_S,
    MIN_EYE_FRAMES,
    SLOW_AFTER_S,
    WINDOW_S,
    BestFrameSensor,
)
from drivers.errors import Cancelled, CaptureRetry, LinkLost, Retry
from drivers.sample import Position
from models.encoder import Flaw, Quality
from tests.rigs.scripted_camera import BEST, DAMAGED, EMPTY, FAIR, GOOD, PERIOD_S, POOR, ScriptedCamera, Seen, times


class Look:
    """A viewer over a scripted camera, and what the traveller was told. Its rests take time only if it `rests`."""

    def __init__(self, *seen: Seen, period_s: float = PERIOD_S, rests: bool = False) -> None:
        self.camera = ScriptedCamera(*seen, period_s=period_s)
        self.told: list[Flaw] = []
        self.viewer = BestFrameSensor(
            self.camera,
            self.camera.check_frame,
            guide=lambda flaw, _: self.told.append(flaw),
            clock=lambda: self.camera.now,
            rest=self.camera.skip if rests else lambda _: None,
        )

    def capture(self, timeout: float = 5.0, position: Position = Position.RIGHT_EYE) -> int:
        """The number of the frame that was taken."""
        return int(self.viewer.capture(timeout, position).image[0, 0])

    def retry(self, timeout: float, position: Position = Position.RIGHT_EYE) -> Retry:
        with pytest.raises(CaptureRetry) as caught:
            self.viewer.capture(timeout, position)
        return caught.value.reason

    def tend_until_gone(self) -> list[float]:
        """The pauses until no more is wanted, as a station makes them."""
        pauses = []
        while (pause := self.viewer.idle_check()) is not None:
            pauses.append(pause)
            self.camera.now += pause
        return pauses


def test_a_good_frame_ends_the_look_early() -> None:
    look = Look(*times(10, EMPTY), *times(MIN_EYE_FRAMES - 1, FAIR), GOOD)
    assert look.capture() == 10 + MIN_EYE_FRAMES
    assert look.camera.now < 10 * PERIOD_S + WINDOW_S


def test_without_a_good_frame_the_best_of_the_window_is_taken() -> None:
    look = Look(*times(4, FAIR), Quality(60), FAIR)
    assert look.capture() == 5
    assert look.camera.now == pytest.approx(WINDOW_S + PERIOD_S)


def test_a_poor_eye_is_looked_at_until_the_time_is_over_and_then_taken_as_it_is() -> None:
    look = Look(POOR, Quality(20, Flaw.TOO_SMALL), POOR)
    assert look.capture(timeout=4.0) == 2
    assert look.camera.now == pytest.approx(4.0)


def test_a_camera_is_told_where_a_look_begins_and_not_of_its_slices() -> None:
    look = Look(POOR, *times(4, FAIR), GOOD, FAIR, FAIR, GOOD)
    look.viewer.set_time_left(2.0)
    assert look.retry(0.2) is Retry.NOTHING_PRESENTED  # a slice: the next goes on with the look
    assert look.capture() == 6
    assert look.camera.looks == [0]
    assert look.capture(position=Position.LEFT_EYE) == 9
    assert look.camera.looks == [0, 6]


def test_nobody_is_a_retry() -> None:
    assert Look(EMPTY).retry(1.0) is Retry.NOTHING_PRESENTED


def test_somebody_who_walks_by_is_nobody() -> None:
    assert Look(*times(MIN_EYE_FRAMES - 1, BEST), EMPTY).retry(2.0) is Retry.NOTHING_PRESENTED


def test_a_blink_does_not_end_a_look() -> None:
    look = Look(*times(MIN_EYE_FRAMES, FAIR), EMPTY, GOOD)
    assert look.capture() == MIN_EYE_FRAMES + 2


def test_a_blink_of_four_tenths_of_a_second_does_not_end_a_look() -> None:
    look = Look(*times(MIN_EYE_FRAMES, Quality(60)), *times(4, EMPTY), FAIR)
    assert look.capture() == 1
    assert look.camera.now == pytest.approx(WINDOW_S + PERIOD_S)


def test_a_glimpse_of_one_person_is_not_given_for_the_next() -> None:
    look = Look(BEST, BEST, EMPTY, EMPTY, POOR)
    assert look.capture(timeout=2.0) == 5


def test_who_leaves_in_the_middle_of_a_look_is_not_given_for_the_next() -> None:
    look = Look(*times(MIN_EYE_FRAMES, Quality(65)), *times(BLINK_S / PERIOD_S + 2, EMPTY), POOR)
    assert look.capture(timeout=4.0) > MIN_EYE_FRAMES


def test_who_leaves_in_the_middle_of_a_look_leaves_no_sample() -> None:
    assert Look(*times(MIN_EYE_FRAMES, Quality(65)), EMPTY).retry(4.0) is Retry.NOTHING_PRESENTED


def test_a_camera_of_few_frames_is_no_blink() -> None:
    assert Look(FAIR, FAIR, GOOD, period_s=0.8).capture() == 3


def test_a_look_goes_on_over_the_slices_of_a_request() -> None:
    look = Look(*times(7, EMPTY), POOR, Quality(60), POOR)
    look.viewer.set_time_left(15.0)
    assert look.retry(1.0) is Retry.NOTHING_PRESENTED
    look.viewer.set_time_left(14.0)
    assert look.capture() == 9


def test_a_poor_frame_is_given_only_at_the_end_of_the_request() -> None:
    look = Look(Quality(30), POOR)
    for left in (2.5, 1.5):
        look.viewer.set_time_left(left)
        assert look.retry(1.0) is Retry.NOTHING_PRESENTED
    look.viewer.set_time_left(0.5)
    assert look.capture(timeout=0.5) == 1


def test_a_look_of_one_position_is_none_of_another() -> None:
    look = Look(*times(MIN_EYE_FRAMES, Quality(35)), POOR)
    look.viewer.set_time_left(2.0)
    look.retry(1.0)
    look.viewer.set_time_left(1.0)
    assert look.capture(1.0, Position.LEFT_EYE) > MIN_EYE_FRAMES


def test_who_waits_for_no_end_is_given_no_poor_frame() -> None:
    look = Look(Quality(30))
    for _ in range(10):
        look.viewer.set_time_left(inf)
        assert look.retry(5.0) is Retry.NOTHING_PRESENTED


def test_the_eye_of_a_sample_that_is_done_with_must_leave_first() -> None:
    look = Look(*times(MIN_EYE_FRAMES, GOOD), BEST)
    look.capture()
    look.viewer.require_removal()
    began = look.camera.now
    assert look.retry(20.0) is Retry.LOOK_AWAY
    assert look.camera.now == pytest.approx(began + LEAVE_TIMEOUT_S)


def test_nobody_is_hurried_away_while_nothing_is_asked_of_another() -> None:
    look = Look(*times(MIN_EYE_FRAMES, GOOD), BEST)
    look.capture()
    look.viewer.require_removal()
    look.viewer.set_time_left(inf)
    began = look.camera.now
    assert look.retry(5.0) is Retry.LOOK_AWAY
    assert look.camera.now == pytest.approx(began + 5.0, abs=1.5 * PERIOD_S)


def test_who_was_told_to_leave_is_then_told_to_come() -> None:
    look = Look(*times(MIN_EYE_FRAMES, GOOD), *times(20, BEST), *times(8, EMPTY), GOOD)
    look.capture()
    look.viewer.require_removal()
    assert look.retry(10.0) is Retry.LOOK_AWAY
    assert look.told == []
    look.capture()
    assert look.told == [Flaw.EMPTY]


def test_the_next_eye_is_taken_after_the_first_has_left() -> None:
    away = times(GONE_S / PERIOD_S + 1, EMPTY)
    look = Look(*times(MIN_EYE_FRAMES, GOOD), *times(3, BEST), *away, *times(MIN_EYE_FRAMES - 1, FAIR), GOOD)
    look.capture()
    look.viewer.require_removal()
    assert look.capture(position=Position.LEFT_EYE) == MIN_EYE_FRAMES + 3 + len(away) + MIN_EYE_FRAMES


@pytest.mark.parametrize("frames", [1, 3, 4])
def test_an_eye_that_blinks_has_not_left(frames: int) -> None:
    look = Look(*times(MIN_EYE_FRAMES, GOOD), BEST, *times(frames, EMPTY), BEST)
    look.capture()
    look.viewer.require_removal()
    assert look.retry(LEAVE_TIMEOUT_S) is Retry.LOOK_AWAY


def test_an_eye_that_leaves_while_nobody_asks_is_seen_to_leave() -> None:
    look = Look(*times(MIN_EYE_FRAMES, GOOD), FAIR, DAMAGED, *times(20, EMPTY), *times(MIN_EYE_FRAMES, GOOD))
    assert look.viewer.idle_check() is None
    look.capture()
    look.viewer.require_removal()
    assert look.tend_until_gone()
    frames = look.camera.frames
    assert look.viewer.idle_check() is None
    assert look.camera.frames == frames
    assert look.capture() > frames


def test_what_leaves_before_its_sample_is_judged_need_not_leave_again() -> None:
    look = Look(*times(MIN_EYE_FRAMES, GOOD), *times(7, EMPTY), *times(MIN_EYE_FRAMES, GOOD))
    look.capture()
    look.tend_until_gone()
    look.viewer.require_removal()
    assert look.capture() > MIN_EYE_FRAMES


def test_a_still_thing_is_looked_at_ever_more_rarely_and_closely_when_it_may_be_leaving() -> None:
    look = Look(*times(MIN_EYE_FRAMES, GOOD), *times(10, BEST), EMPTY)
    look.capture()
    pauses = look.tend_until_gone()
    assert pauses[:3] == [2 * CHECK_PAUSE_S, 4 * CHECK_PAUSE_S, 8 * CHECK_PAUSE_S]
    assert set(pauses[4:10]) == {MAX_CHECK_PAUSE_S}
    assert set(pauses[10:]) == {CHECK_PAUSE_S}


def test_whoever_waits_for_an_eye_to_leave_rests() -> None:
    look = Look(*times(MIN_EYE_FRAMES, GOOD), BEST, rests=True)
    look.capture()
    look.viewer.require_removal()
    look.viewer.set_time_left(inf)
    before = look.camera.captures
    look.retry(30.0)
    assert look.camera.captures - before <= 30.0 / IDLE_PAUSE_S / 1.4


def test_a_still_thing_that_is_no_use_is_looked_at_ever_more_rarely() -> None:
    look = Look(POOR, rests=True)
    look.viewer.set_time_left(inf)
    look.retry(SLOW_AFTER_S)
    before = look.camera.captures
    look.viewer.set_time_left(inf)
    look.retry(30.0)
    assert look.camera.captures - before <= 30.0 / (IDLE_PAUSE_S + PERIOD_S) + 2


def test_a_camera_that_gives_damage_at_once_keeps_no_core_busy() -> None:
    look = Look(DAMAGED, period_s=0.0, rests=True)
    look.retry(1.0)
    assert look.camera.captures <= 21


def test_after_a_sample_that_was_not_accepted_the_same_eye_may_stay() -> None:
    look = Look(*times(MIN_EYE_FRAMES, GOOD), BEST)
    look.capture()
    assert look.capture() == MIN_EYE_FRAMES + 1


def test_the_traveller_is_told_what_is_wrong_when_it_lasts_and_not_at_every_frame() -> None:
    look = Look(POOR)
    look.capture(timeout=3.5 * GUIDE_S)
    assert look.told == [Flaw.TOO_SMALL] * 3


def test_a_flaw_that_passes_is_not_told() -> None:
    look = Look(*times(GUIDE_S / PERIOD_S - 1, POOR), FAIR)
    look.capture()
    assert look.told == []


def test_nobody_is_told_anything_where_nobody_is() -> None:
    look = Look(EMPTY)
    look.retry(5.0)
    assert look.told == []


def test_a_damaged_frame_is_passed_over() -> None:
    assert Look(DAMAGED, FAIR, DAMAGED, FAIR, GOOD).capture() == 3


def test_a_camera_that_only_gives_damage_ends_with_its_reason() -> None:
    assert Look(DAMAGED).retry(1.0) is Retry.MOVED


@pytest.mark.parametrize("error", [Cancelled(), LinkLost("gone")])
def test_other_ends_pass_through(error: Exception) -> None:
    with pytest.raises(type(error)):
        Look(FAIR, error).capture()


def test_cancel_reaches_the_camera() -> None:
    look = Look(EMPTY)
    look.viewer.cancel()
    assert look.camera.cancelled == 1
