"""The table of drivers: which there are, and why one cannot be used."""

from importlib.metadata import EntryPoint

import pytest

import drivers
from drivers import SENSORS, known_drivers, open_sensor
from drivers.errors import LinkLost
from drivers.options import Options
from drivers.sample import Modality


class OutsideSensor:
    """What another package may bring."""

    modality = Modality.IRIS
    streams = True

    def __init__(self, url: str, options: Options) -> None:
        self.arguments = (url, options)


def bring(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    point = EntryPoint(name, value, drivers.ENTRY_POINTS)
    monkeypatch.setattr(drivers, "entry_points", lambda group: [point] if group == "kiosk_agent.sensors" else [])


def test_an_unknown_driver_names_those_that_there_are() -> None:
    with pytest.raises(ValueError, match=r"there is no driver 'ef02'; there are: .*ef01"):
        open_sensor("ef02", "serial:/dev/ttyFP0?baud=57600")


def test_another_package_brings_a_driver_by_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    bring(monkeypatch, "outside", "tests.drivers.test_init:OutsideSensor")
    assert known_drivers() == {"outside": "tests.drivers.test_init:OutsideSensor", **SENSORS}
    sensor = open_sensor("outside", "usb:1", {"gain": 3})
    assert isinstance(sensor, OutsideSensor)
    assert sensor.arguments == ("usb:1", {"gain": 3})


def test_another_package_cannot_replace_a_driver_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    bring(monkeypatch, "ef01", "tests.drivers.test_init:OutsideSensor")
    assert known_drivers() == SENSORS


@pytest.mark.parametrize("target", ["no_such_package:Class", "tests.drivers.test_init:NoSuchClass"])
def test_a_driver_that_cannot_be_imported_is_named(monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    bring(monkeypatch, "broken", target)
    with pytest.raises(ValueError, match=f"driver 'broken' cannot be imported from {target}"):
        open_sensor("broken", "usb:1")


def test_a_driver_opens_its_device_through_the_given_connect() -> None:
    def unplugged(*_: object) -> object:
        raise LinkLost("test: unplugged")

    sensor = open_sensor("nb1010", "usb:298d:1010", connect=unplugged)
    with pytest.raises(LinkLost, match="test: unplugged"):
        sensor.open()


def test_a_driver_without_connect_refuses_one() -> None:
    with pytest.raises(ValueError, match="driver 'v4l2' takes no `connect`"):
        open_sensor("v4l2", "v4l2:/dev/video0", connect=lambda *_: None)
