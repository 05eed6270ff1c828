"""The simulated readers that a simulated USB host loads."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from simulators.sensors import touch_plugged
from simulators.sensors.nb1010.device import HEIGHT as NB1010_HEIGHT
from simulators.sensors.nb1010.device import WIDTH as NB1010_WIDTH
from simulators.sensors.touch_plugged import SETTINGS_VARIABLE, TouchSettings
from simulators.sensors.uru4000.device import HEIGHT, WIDTH
from simulators.transports.usb.plugged import PluggedDevices
from simulators.transports.usb.usbip import FULL_SPEED

ROOT = Path(__file__).parents[3]
READERS: list[tuple[Callable[[], PluggedDevices], int]] = [
    (touch_plugged.nb1010, NB1010_WIDTH * NB1010_HEIGHT),
    (touch_plugged.uru4000, WIDTH * HEIGHT),
]


def test_the_models_need_the_standard_library_alone() -> None:
    subprocess.run([sys.executable, "-S", "-c", "import simulators.sensors.touch_plugged"], cwd=ROOT, check=True)


@pytest.mark.parametrize(("make", "pixels"), READERS, ids=["nb1010", "uru4000"])
def test_a_finger_is_pressed_and_lifted_by_orders(
    make: Callable[[], PluggedDevices], pixels: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SETTINGS_VARIABLE, raising=False)
    (tmp_path / "finger").write_bytes(bytes(pixels))
    plugged = make()
    orders, (device,) = plugged.handlers, plugged.devices
    assert device.bytes_per_s is None
    assert orders["finger"]() == {"finger_on": False}
    assert orders["press"](pixels=str(tmp_path / "finger")) == {"finger_on": True}
    device.model.faults.inject("stuck")
    assert orders["lift"]() == {"finger_on": True}
    orders["clear"]()
    assert orders["finger"]() == {"finger_on": False}
    counters = orders["counters"]()
    assert counters is not None
    assert counters["images_sent"] == 0


def test_the_settings_of_the_environment_are_those_of_the_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "finger").write_bytes(bytes(WIDTH * HEIGHT))
    settings = TouchSettings(pace=True, finger=str(tmp_path / "finger"), choice={"reader": "4000", "asleep": True})
    monkeypatch.setenv(SETTINGS_VARIABLE, str(settings))
    plugged = touch_plugged.uru4000()
    (device,) = plugged.devices
    assert device.model.description.product == 0x0007
    assert device.bytes_per_s == FULL_SPEED
    assert plugged.handlers["finger"]() == {"finger_on": True}
