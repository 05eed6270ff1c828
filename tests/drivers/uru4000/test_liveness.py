"""A U.are.U reader that fell back to its power-on state without leaving the bus is noticed within seconds."""

import pytest

from drivers.errors import ProtocolError
from drivers.sensor import LivenessCheck
from simulators.sensors.uru4000.device import Uru4000Settings
from tests.rigs.uru4000_reader import ASLEEP, ReaderRig, opened
from tests.rigs.uru4000_rig import as_captured, noise

WAIT_S = 60.0


def test_a_reader_that_falls_back_to_low_power_while_it_waits_is_noticed() -> None:
    rig = opened(Uru4000Settings(status=ASLEEP))
    rig.usb.time.later(1.0, lambda: rig.model.inject("power_loss"))
    with pytest.raises(ProtocolError, match="fell back to its power-on state"):
        rig.sensor.capture(WAIT_S)
    assert rig.usb.time.now() < 5.0
    rig.sensor.open()
    rig.press(noise(1))
    assert (rig.captured() == as_captured(noise(1))).all()


def test_a_reader_whose_mode_can_be_read_is_noticed_by_its_mode() -> None:
    rig = opened(Uru4000Settings(mode_is_readable=True))
    rig.usb.time.later(5.0, lambda: rig.model.inject("power_loss"))
    with pytest.raises(ProtocolError, match="fell back to its power-on state"):
        rig.sensor.capture(WAIT_S)
    assert rig.usb.time.now() < 10.0


def test_a_reader_that_tells_neither_is_powered_up_again_and_sees_the_next_finger() -> None:
    rig = opened()
    rig.usb.time.later(1.0, lambda: rig.model.inject("power_loss"))
    rig.later(20.0, noise(2))
    assert (rig.captured(WAIT_S) == as_captured(noise(2))).all()
    assert rig.model.counters().wakings == 2


def test_a_reader_that_tells_neither_and_works_is_powered_up_again_more_and_more_rarely() -> None:
    rig = opened()
    rig.retry(700.0)
    assert rig.model.counters().wakings - 1 == 7  # after 10, 20, 40, 80 and three times 160 s


def test_a_reader_that_sees_fingers_is_not_powered_up_again() -> None:
    rig = opened()
    for number in range(5):
        rig.later(7.0, noise(number))
        rig.captured(WAIT_S)
        rig.model.lift()
    assert rig.model.counters().wakings == 1


def test_a_reader_that_reports_its_power_again_has_restarted() -> None:
    rig = opened(Uru4000Settings(power_on_messages=(0.0, 0.009, 8.0)))
    with pytest.raises(ProtocolError, match="fell back to its power-on state"):
        rig.sensor.capture(WAIT_S)


@pytest.mark.parametrize("settings", [Uru4000Settings(), Uru4000Settings(mode_is_readable=True)])
def test_a_reader_that_works_is_asked_and_goes_on_waiting(settings: Uru4000Settings) -> None:
    rig = opened(settings)
    rig.later(50.0, noise(3))
    assert (rig.captured(WAIT_S) == as_captured(noise(3))).all()


def test_a_finger_that_comes_during_the_question_is_not_lost() -> None:
    for after in (2.999, 3.0, 3.001, 9.0, 12.0, 12.0005, 12.001):
        rig = opened()
        rig.later(after, noise(4))
        assert (rig.captured(WAIT_S) == as_captured(noise(4))).all()


@pytest.mark.parametrize("readable", [False, True])
def test_an_idle_reader_is_asked_too(readable: bool) -> None:  # noqa: FBT001 - a case
    rig: ReaderRig = opened(Uru4000Settings(status=ASLEEP, mode_is_readable=readable))
    rig.retry(0.0)
    assert isinstance(rig.sensor, LivenessCheck)
    rig.sensor.check_alive()
    rig.model.inject("power_loss")
    with pytest.raises(ProtocolError, match="fell back to its power-on state"):
        rig.sensor.check_alive()


def test_a_reader_that_waits_for_a_lift_is_not_disturbed() -> None:
    rig = opened()
    rig.press(noise(5))
    rig.captured()
    rig.usb.time.seconds += 60.0
    rig.new_requests()
    rig.sensor.check_alive()
    assert rig.new_requests() == ["r07 1", "r4e 1"]
    rig.model.lift()
    rig.later(1.0, noise(6))
    assert (rig.captured() == as_captured(noise(6))).all()
