"""Every simulated fingerprint sensor, attached as on a kiosk: its driver reads the finger that a command presents."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from drivers import SENSORS, open_sensor
from drivers.errors import CaptureRetry, LinkLost, Retry
from drivers.sensor import Sensor
from simulators.sensors.common.touch_rig import TouchRig
from simulators.sensors.table import RIGS, SensorName, make_sensor
from simulators.transports.remote import SensorRemote
from tests.conftest import impression_of

PERSON_S = 5.0


@pytest.fixture(params=RIGS)
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TouchRig]:
    with make_sensor(SensorName(request.param), tmp_path / "sensor") as rig:
        yield rig


@pytest.fixture
def sensor(rig: TouchRig) -> Iterator[Sensor]:
    sensor = open_sensor(rig.kind.driver, rig.url, rig.kind.options)
    sensor.open()
    yield sensor
    sensor.close()


def test_every_touch_sensor_has_a_rig() -> None:
    streaming = {"uvc", "v4l2"}
    assert set(RIGS) == set(SENSORS) - streaming


def test_a_person_pressed_from_outside_is_what_the_driver_reads(rig: TouchRig, sensor: Sensor) -> None:
    remote = SensorRemote(rig.link)
    assert remote.press(person=7, impression=2) == {"finger": "person 7, right_index, impression 2"}
    sample = sensor.capture(PERSON_S)
    pressed = rig.image
    assert pressed is not None
    assert sample.image.shape == pressed.shape
    assert sample.pixels_per_inch == rig.view.ppi
    assert np.corrcoef(sample.image.ravel(), pressed.ravel())[0, 1] > 0.98
    assert remote.lift() == {"finger_on": False}
    with pytest.raises(CaptureRetry) as caught:
        sensor.capture(1.0)
    assert caught.value.reason is Retry.NOTHING_PRESENTED


def test_a_cable_that_is_pulled_from_outside_is_a_lost_link(rig: TouchRig, sensor: Sensor) -> None:
    remote = SensorRemote(rig.link)
    remote.unplug()
    with pytest.raises(LinkLost):
        sensor.capture(PERSON_S)
    assert remote.status()["plugged"] is False
    remote.replug()
    sensor.close()
    sensor.open()
    rig.press(person=1)
    assert sensor.capture(PERSON_S).image.shape == (rig.view.height, rig.view.width)


def test_a_fault_that_pulls_the_cable_does_not_wait_for_the_host(rig: TouchRig) -> None:
    SensorRemote(rig.link).fault("unplug")
    assert rig.unplugged.wait(PERSON_S)


def test_status_names_the_sensor_and_what_waits(rig: TouchRig) -> None:
    rig.fault("silent", times=2)
    status = SensorRemote(rig.link).status()
    assert (status["sensor"], status["url"], status["faults"]) == (rig.kind.title, rig.url, {"silent": 2})


def test_a_finger_of_the_size_of_the_sensor_can_be_shown(rig: TouchRig, sensor: Sensor) -> None:
    image = impression_of(1, 0)
    shown = np.full((rig.view.height, rig.view.width), 255, np.uint8)
    height, width = min(image.shape[0], rig.view.height), min(image.shape[1], rig.view.width)
    shown[:height, :width] = image[:height, :width]
    rig.show(shown)
    assert np.corrcoef(sensor.capture(PERSON_S).image.ravel(), shown.ravel())[0, 1] > 0.98
