"""The options of the nb1010 driver."""

import pytest

from drivers.errors import CaptureRetry, Retry
from simulators.sensors.nb1010.device import Nb1010Model
from tests.rigs.nb1010_rig import press, sensor_on
from tests.rigs.virtual_usb import VirtualUsb


def test_the_resolution_is_an_option(usb: VirtualUsb, model: Nb1010Model) -> None:
    sensor = sensor_on(usb, ppi=500)
    assert sensor.open().pixels_per_inch == 500
    press(model, 1)
    assert sensor.capture(1.0).pixels_per_inch == 500


def test_the_level_that_is_a_finger_is_an_option(usb: VirtualUsb, model: Nb1010Model) -> None:
    sensor = sensor_on(usb, contact=0xF7)
    sensor.open()
    press(model, 1)
    with pytest.raises(CaptureRetry) as caught:
        sensor.capture(0.5)
    assert caught.value.reason is Retry.NOTHING_PRESENTED
