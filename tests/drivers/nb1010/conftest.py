"""A simulated NB-1010-U in virtual time, and an open driver on it."""

import pytest

from drivers.nb1010.driver import Nb1010
from simulators.sensors.nb1010.device import Nb1010Model
from tests.rigs.nb1010_rig import sensor_on
from tests.rigs.virtual_usb import VirtualUsb


@pytest.fixture(name="model")
def _model() -> Nb1010Model:
    return Nb1010Model("N1", seed=3)


@pytest.fixture(name="usb")
def _usb(model: Nb1010Model) -> VirtualUsb:
    return VirtualUsb(model)


@pytest.fixture(name="sensor")
def _sensor(usb: VirtualUsb) -> Nb1010:
    sensor = sensor_on(usb)
    sensor.open()
    return sensor
