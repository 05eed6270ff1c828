"""The rig of every sensor: its control socket, its faults and its cable, on the example of an EF01 module."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from simulators.sensors.ef01.rig import Ef01Rig
from simulators.transports.remote import RemoteError, SensorRemote
from tests.rigs.ef01_module import SMALL

DEADLINE_S = 10.0


@pytest.fixture(name="lines")
def _lines() -> list[str]:
    return []


@pytest.fixture(name="rig")
def _rig(tmp_path: Path, lines: list[str]) -> Iterator[Ef01Rig]:
    with Ef01Rig(SMALL, tmp_path / "finger", report=lines.append) as rig:
        yield rig


def test_a_fault_is_injected_reported_and_cleared_through_the_control_socket(rig: Ef01Rig, lines: list[str]) -> None:
    remote = SensorRemote(rig.link)
    assert "drop" in remote.faults()
    remote.fault("drop", times=2, bytes=3)
    assert remote.status()["faults"] == {"drop": 2}
    remote.clear()
    assert remote.status()["faults"] == {}
    assert lines == ["fault drop pending", "faults cleared"]


def test_the_cable_is_unplugged_and_plugged_in_again(rig: Ef01Rig) -> None:
    remote = SensorRemote(rig.link)
    remote.unplug()
    assert rig.unplugged.wait(DEADLINE_S)
    assert remote.status()["plugged"] is False
    remote.replug()
    assert remote.status()["plugged"] is True


def test_a_status_names_the_sensor_where_it_is_and_what_it_counts(rig: Ef01Rig) -> None:
    status = SensorRemote(rig.link).status()
    assert (status["sensor"], status["link"], status["url"]) == (rig.title, str(rig.link), rig.url)
    assert status["finger_on"] is False
    assert status["images_sent"] == 0
    assert rig.alive


def test_a_second_sensor_at_the_same_link_is_refused_and_the_first_one_continues(rig: Ef01Rig) -> None:
    with pytest.raises(FileExistsError, match="already runs"), Ef01Rig(SMALL, rig.link):
        pass
    assert SensorRemote(rig.link).status()["plugged"] is True


def test_a_control_socket_can_be_elsewhere_and_is_gone_at_the_end(tmp_path: Path) -> None:
    control = tmp_path / "orders"
    with Ef01Rig(SMALL, tmp_path / "finger", control=control):
        SensorRemote(control=control).clear()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RemoteError):
        SensorRemote(control=control).status()
