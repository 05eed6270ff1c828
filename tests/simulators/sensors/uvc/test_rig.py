"""The simulated camera with its control socket: looks, faults and its cable."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drivers.uvc.driver import Uvc
from simulators.sensors.uvc.descriptors import UvcSettings
from simulators.sensors.uvc.rig import ScenePlayer, UvcRig
from simulators.transports.remote import RemoteError, SensorRemote
from tests.rigs.uvc_rig import noise


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[UvcRig]:
    with UvcRig(UvcSettings(sizes=((64, 48),), rates=(100.0,)), tmp_path / "eye") as rig:
        yield rig


def seen(rig: UvcRig, sensor: Uvc) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    assert rig.camera.wait_for_frames(12, DEADLINE_S)  # those that the reads in flight were given before
    return sensor.capture(1.0).image


def test_who_looks_and_who_goes_away_is_what_the_driver_sees(rig: UvcRig, tmp_path: Path) -> None:
    Image.fromarray(noise(9)).save(tmp_path / "eye.png")
    sensor = Uvc(rig.url, {})
    sensor.open()
    remote = SensorRemote(rig.link)
    assert (seen(rig, sensor) < 60).all()
    assert remote.ask("look", image=str(tmp_path / "eye.png")) == {"seen": str(tmp_path / "eye.png")}
    assert (seen(rig, sensor) == noise(9)).all()
    assert remote.ask("away") == {"seen": "nobody"}
    assert (seen(rig, sensor) < 60).all()
    sensor.close()


def test_orders_reach_cable_faults_and_status(rig: UvcRig) -> None:
    remote = SensorRemote(rig.link)
    remote.fault("error_bit", times=3)
    assert remote.status()["faults"] == {"error_bit": 3}
    remote.clear()
    remote.unplug()
    assert rig.server.unplugged.wait(DEADLINE_S)
    assert not remote.status()["plugged"]
    remote.replug()
    assert remote.status()["plugged"]
    with pytest.raises(RemoteError, match="give one of the two"):
        remote.ask("look")


def test_a_frozen_stream_goes_on_when_the_fault_is_cleared(rig: UvcRig) -> None:
    sensor = Uvc(rig.url, {})
    sensor.open()
    sensor.capture(1.0)
    rig.fault("freeze")
    rig.clear()
    sensor.capture(1.0)
    sensor.close()


DEADLINE_S = 20.0


def test_a_scene_that_is_replaced_while_it_is_drawn_is_drawn_no_further() -> None:
    shown: list[int] = []
    player = ScenePlayer(UvcSettings(sizes=((64, 48),)), lambda frames: shown.append(len(frames)))

    def frames() -> Iterator[np.ndarray]:
        yield noise(1)
        assert player._stopping.wait(DEADLINE_S)
        yield noise(2)
        raise AssertionError

    player.play(frames())
    player.stop()
    assert shown == [1]
