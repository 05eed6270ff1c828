"""When a finger counts as new: late, lost and missing messages of the reader."""

import pytest

from drivers.errors import Cancelled, Retry
from simulators.sensors.uru4000.device import TELLS, Uru4000Settings
from tests.rigs.uru4000_reader import ReaderRig, opened
from tests.rigs.uru4000_rig import as_captured, noise


def test_a_finger_that_comes_later_is_waited_for(rig: ReaderRig) -> None:
    rig.later(2.0, noise(4))
    assert (rig.captured() == as_captured(noise(4))).all()
    assert rig.usb.time.seconds == pytest.approx(2.13, abs=0.02)


def test_nobody_coming_switches_the_reader_off(rig: ReaderRig) -> None:
    assert rig.retry(1.0) is Retry.NOTHING_PRESENTED
    assert rig.usb.time.seconds == pytest.approx(1.0, abs=0.02)
    assert rig.new_requests() == ["w4e 10", "w4e 70"]


def test_a_finger_is_reported_before_a_message_of_power_on_that_is_late() -> None:
    rig = ReaderRig()
    rig.model.inject("late_power_on", seconds=3.0)
    rig.sensor.open()
    rig.press(noise(4))
    assert (rig.captured(0.5) == as_captured(noise(4))).all()
    assert rig.usb.time.now() < 2.0


@pytest.mark.parametrize("slow_s", [0.4, 0.7])
def test_a_finger_that_is_reported_late_and_has_left_is_none(rig: ReaderRig, slow_s: float) -> None:
    rig.model.inject("slow", seconds=slow_s)
    rig.press(noise(4))
    assert rig.retry() is Retry.NOTHING_PRESENTED
    rig.model.clear_faults()
    rig.model.lift()
    assert rig.retry(1.0) is Retry.NOTHING_PRESENTED
    assert rig.model.counters().images_sent == 0


def test_a_finger_that_comes_just_after_a_wait_for_nobody_is_asked_for_again_and_taken(rig: ReaderRig) -> None:
    assert rig.retry() is Retry.NOTHING_PRESENTED
    rig.later(0.5, noise(6))
    rig.new_requests()
    assert (rig.captured() == as_captured(noise(6))).all()
    assert rig.new_requests().count("w4e 10") == 3
    assert rig.usb.time.seconds == pytest.approx(0.2 + 0.5 + 0.13, abs=0.02)


@pytest.mark.parametrize("tells", ["afresh", "changes"])
@pytest.mark.parametrize("after", [0.1, 1.0, 2.9, 4.0])
def test_a_touch_that_is_reported_once_counts_at_any_moment_of_a_wait(tells: str, after: float) -> None:
    rig = opened(Uru4000Settings(tells=tells))
    assert rig.retry(1.0) is Retry.NOTHING_PRESENTED
    rig.later(after, noise(6))
    assert (rig.captured() == as_captured(noise(6))).all()
    assert rig.usb.time.seconds <= 1.0 + after + 0.3 + 0.14


@pytest.mark.parametrize("tells", ["always", "afresh"])
@pytest.mark.parametrize("late_s", [0.5, 1.0, 2.5])
def test_a_late_message_is_found_out_by_what_the_reader_says_when_it_is_asked_for_the_lift(
    tells: str, late_s: float
) -> None:
    rig = opened(Uru4000Settings(tells=tells))
    rig.model.inject("late", at="answer", seconds=late_s)
    rig.press(noise(6))
    assert rig.retry() is Retry.NOTHING_PRESENTED
    rig.model.lift()
    rig.later(2.8, noise(7))
    rig.new_requests()
    assert (rig.captured() == as_captured(noise(7))).all()
    assert rig.model.counters().images_sent == 1
    assert "w4e 12" in rig.new_requests()[:-1]


def test_a_finger_that_stays_must_be_lifted(rig: ReaderRig) -> None:
    rig.press(noise(5))
    rig.captured()
    assert rig.retry(1.0) is Retry.LIFT_FINGER
    rig.later(0.5, None)
    rig.later(1.0, noise(6))
    assert (rig.captured() == as_captured(noise(6))).all()


def test_a_lift_between_two_captures_is_heard(rig: ReaderRig) -> None:
    rig.press(noise(5))
    rig.captured()
    assert rig.retry() is Retry.LIFT_FINGER
    assert rig.model.mode == 0x12
    rig.model.lift()
    rig.usb.time.run(lambda: False, 1.0)
    rig.new_requests()
    assert rig.retry() is Retry.NOTHING_PRESENTED
    assert rig.new_requests() == ["w4e 10", "w4e 70"]


def test_a_stuck_finger_is_never_a_second_sample(rig: ReaderRig) -> None:
    rig.press(noise(7))
    rig.captured()
    rig.model.inject("stuck")
    rig.model.lift()
    assert [rig.retry(timeout) for timeout in (0.0, 3.0, 7.0)] == [Retry.LIFT_FINGER] * 3
    rig.model.clear_faults()
    assert rig.retry() is Retry.NOTHING_PRESENTED


def test_a_lost_message_of_the_lift_is_asked_for_again(rig: ReaderRig) -> None:
    rig.press(noise(8))
    rig.captured()
    rig.model.inject("no_finger_off", times=2)
    rig.model.lift()
    rig.later(4.0, noise(9))
    assert (rig.captured(9.0) == as_captured(noise(9))).all()
    assert rig.new_requests().count("w4e 12") == 4  # after each image, and twice more


@pytest.mark.parametrize("tells", TELLS)
def test_one_lost_message_of_a_lift_never_locks_a_reader(tells: str) -> None:
    rig = opened(Uru4000Settings(tells=tells))
    rig.later(0.5, noise(8))
    rig.captured()
    rig.model.inject("no_finger_off")
    rig.model.lift()
    rig.later(8.0, noise(9))
    assert (rig.captured(9.0) == as_captured(noise(9))).all()


@pytest.mark.parametrize("tells", TELLS)
def test_a_finger_that_stays_is_never_a_second_sample_whatever_the_reader_reports(tells: str) -> None:
    rig = opened(Uru4000Settings(tells=tells))
    rig.later(0.5, noise(8))
    rig.captured()
    reasons = [rig.retry(timeout) for timeout in (0.0, 0.0, 0.0, 7.0, 3.0)]
    assert reasons[0] is Retry.LIFT_FINGER
    assert tells == "changes" or set(reasons) == {Retry.LIFT_FINGER}  # it does not say that a finger stays
    rig.model.lift()
    rig.later(1.0, noise(9))
    assert (rig.captured() == as_captured(noise(9))).all()


def test_a_finger_that_stays_is_never_a_second_sample_of_a_slow_reader() -> None:
    rig = opened()
    rig.press(noise(8))
    rig.captured()
    rig.model.inject("slow", seconds=0.7)
    assert {rig.retry(timeout) for timeout in (0.0, 0.0, 0.0, 0.0)} == {Retry.LIFT_FINGER}


def test_a_lift_whose_message_is_lost_is_asked_for_by_the_next_capture_however_short(rig: ReaderRig) -> None:
    rig.press(noise(8))
    rig.captured()
    rig.model.inject("no_finger_off")
    rig.model.lift()
    assert rig.retry() is Retry.NOTHING_PRESENTED
    rig.press(noise(9))
    assert (rig.captured() == as_captured(noise(9))).all()


def test_a_lift_that_is_reported_late_is_heard_whatever_is_asked_meanwhile(rig: ReaderRig) -> None:
    rig.press(noise(8))
    rig.captured()
    rig.model.inject("late", at="answer", seconds=3.0)
    rig.model.lift()
    assert rig.retry() is Retry.LIFT_FINGER
    rig.press(noise(9))
    assert (rig.captured() == as_captured(noise(9))).all()


def test_a_cancelled_wait_for_a_lift_is_taken_up_again() -> None:
    rig = opened(Uru4000Settings(tells="afresh"))
    rig.press(noise(8))
    rig.captured()
    rig.usb.time.later(0.5, rig.sensor.cancel)
    with pytest.raises(Cancelled):
        rig.captured()
    rig.model.lift()
    rig.later(1.0, noise(9))
    assert (rig.captured() == as_captured(noise(9))).all()


def test_cancel_ends_the_wait_for_a_lift(rig: ReaderRig) -> None:
    rig.press(noise(22))
    rig.captured()
    rig.usb.time.later(0.5, rig.sensor.cancel)
    with pytest.raises(Cancelled):
        rig.captured()
    assert rig.retry() is Retry.LIFT_FINGER
