"""A simulated touch sensor on a simulated USB host, controlled from this process."""

from pathlib import Path

import pytest

from simulators.sensors.nb1010 import rig as nb1010_rig
from simulators.sensors.touch_libusb import LibusbRig, PluggedReader
from simulators.sensors.touch_plugged import TouchSettings
from simulators.transports.remote import SensorRemote
from tests.rigs.umockdev import needs_umockdev

READER = PluggedReader("nb1010", nb1010_rig.KIND, nb1010_rig.VIEW, "usb:298d:1010", TouchSettings())

pytestmark = needs_umockdev


@pytest.mark.parametrize("pressed", [False, True])
def test_a_loaded_finger_is_on_the_sensor_from_the_start_if_pressed(*, pressed: bool, tmp_path: Path) -> None:
    rig = LibusbRig(READER, ["sleep", "60"], tmp_path / "finger", pressed=pressed)
    rig.load(person=7)
    with rig:
        status = SensorRemote(rig.link).status()
    assert (status["finger_on"], status["url"]) == (pressed, "usb:298d:1010")
    assert status["finger"] == "person 7, right_index, impression 0"
    assert status["images_sent"] == 0


def test_a_finger_is_pressed_and_lifted_while_the_program_runs(tmp_path: Path) -> None:
    with LibusbRig(READER, ["sleep", "60"], tmp_path / "finger") as rig:
        remote = SensorRemote(rig.link)
        remote.press(person=7)
        assert remote.status()["finger_on"] is True
        assert remote.lift() == {"finger_on": False}
        assert rig.polls() == 0
        assert rig.wait_until_lift_noticed(0.0)
