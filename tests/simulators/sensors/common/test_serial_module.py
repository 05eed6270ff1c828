"""The finger and the faults of every simulated serial module."""

import numpy as np
import pytest

from simulators.sensors.common.serial_module import SerialModule, lacks
from simulators.transports.faults import Faults
from tests.conftest import FakeClock

IMAGE = np.zeros((4, 6), np.uint8)


@pytest.fixture(name="module")
def _module(clock: FakeClock) -> SerialModule:
    return SerialModule(6, 4, Faults(), clock.monotonic)


def test_a_finger_is_on_the_sensor_from_press_to_lift(module: SerialModule) -> None:
    module.press(IMAGE)
    assert module.finger_on
    module.lift()
    assert not module.finger_on


@pytest.mark.parametrize("image", [np.zeros((6, 4), np.uint8), np.zeros((4, 6), np.uint16)])
def test_an_image_of_another_size_or_type_is_refused(module: SerialModule, image: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"this sensor needs u8\[4, 6\], not uint"):
        module.press(image)
    assert not module.finger_on


def test_a_finger_that_changes_while_it_is_pressed_keeps_its_time(module: SerialModule, clock: FakeClock) -> None:
    clock.advance(2.0)
    module.press(IMAGE)
    clock.advance(3.0)
    module.press(IMAGE + 1)
    assert (module._touch.pressed_at, module._touch.pixels) == (2.0, bytes([1] * 24))


def test_a_stuck_finger_stays_until_the_faults_are_cleared(module: SerialModule) -> None:
    module.press(IMAGE)
    module.inject("stuck")
    module.lift()
    assert module.finger_on
    module.clear_faults()
    assert not module.finger_on


def test_clearing_the_faults_keeps_a_finger_that_was_not_lifted(module: SerialModule) -> None:
    module.press(IMAGE)
    module.inject("stuck")
    module.clear_faults()
    assert module.finger_on


@pytest.mark.parametrize(
    ("lacking", "command", "optional", "expected"),
    [(0x0F, 0x0F, True, True), (0x0F, 0x0F, False, True), (0x0F, 0x0E, True, False), (-1, 0x0E, True, True),
     (-1, 0x01, False, False)],
)  # fmt: skip
def test_a_module_lacks_one_command_or_every_optional_one(
    lacking: int, command: int, *, optional: bool, expected: bool
) -> None:
    assert lacks({"command": lacking}, command, optional=optional) is expected
