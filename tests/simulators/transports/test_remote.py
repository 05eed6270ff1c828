"""The control socket of a simulated sensor, and the commands that use it."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import serial
from PIL import Image

from simulators.sensors.ef01.device import Ef01Settings, frame
from simulators.sensors.ef01.rig import Ef01Rig
from simulators.transports.faults import FAULTS
from simulators.transports.remote import RemoteControl, RemoteError, SensorRemote, default_link
from simulators.transports.serial.pseudo_terminal import PtyServer

ANYONE = 0xFFFFFFFF


DEADLINE_S = 10.0
FINGER = np.random.default_rng(5).integers(0, 256, (288, 256), np.uint8)


def asked(code: int, payload: bytes = b"") -> bytes:
    return frame(ANYONE, 0x01, bytes([code]) + payload)


def host(server: PtyServer, baud: int = 57600, timeout: float = DEADLINE_S) -> serial.Serial:
    return serial.Serial(str(server.link), baud, timeout=timeout)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "finger.png"
    Image.fromarray(FINGER).save(path)
    return path


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Ef01Rig]:
    with Ef01Rig(Ef01Settings(boot_s=0.0), tmp_path / "ttyFP0") as rig:
        yield rig


@pytest.fixture
def remote(rig: Ef01Rig) -> SensorRemote:
    return SensorRemote(rig.server.link)


def test_a_picture_is_pressed_lifted_and_pressed_again(rig: Ef01Rig, remote: SensorRemote, picture: Path) -> None:
    assert remote.press(image=picture) == {"finger": str(picture)}
    assert rig.module.finger_on
    assert remote.lift() == {"finger_on": False}
    remote.press()
    assert rig.module.finger_on


def test_a_relative_path_is_that_of_the_caller(
    remote: SensorRemote, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(picture.parent)
    assert remote.press(image=Path(picture.name)) == {"finger": str(picture)}


def test_a_synthetic_finger_is_pressed_by_seed(rig: Ef01Rig, remote: SensorRemote) -> None:
    shown = remote.press(person=3, finger="left_thumb", impression=2)
    assert shown == {"finger": "person 3, left_thumb, impression 2"}
    assert remote.status()["finger_on"]
    rig.module.receive(asked(0x01))
    first = rig.module.image_buffer
    remote.load(person=3, finger="left_thumb", impression=1)  # a finger that is down changes at once
    rig.module.receive(asked(0x01))
    assert None not in (first, rig.module.image_buffer)
    assert rig.module.image_buffer != first


def test_status_says_what_the_sensor_is_and_has_done(remote: SensorRemote, rig: Ef01Rig) -> None:
    with host(rig.server) as port:
        port.write(asked(0x01))
        port.read(12)
    status = remote.status()
    expected = {"plugged": True, "size": "256x288", "baud": 57600, "packet_size": 128, "finger_on": False, "faults": {}}
    assert status | expected == status
    assert status["commands"] == {"GetImage": 1}


def test_faults_and_the_plug_are_worked_from_outside(remote: SensorRemote, rig: Ef01Rig) -> None:
    remote.fault("drop", times=2, bytes="3")
    remote.fault("silent")
    assert remote.status()["faults"] == {"drop": 2, "silent": 0}
    remote.clear()
    assert remote.status()["faults"] == {}
    remote.unplug()
    assert rig.server.unplugged.wait(DEADLINE_S)
    remote.replug()
    assert remote.status()["plugged"]


@pytest.mark.parametrize(
    ("do", "details", "said"),
    [
        ("press", {}, "no finger is loaded: give --image FILE or --person SEED"),
        ("press", {"person": 1, "image": "x.png"}, "give one of the two"),
        ("press", {"person": 1, "finger": "thumb"}, "there is no finger 'thumb'; choose one of right_thumb"),
        ("press", {"person": 1, "toe": 2}, "there is no argument toe"),
        ("press", {"image": "/nowhere/x.png"}, "there is no file /nowhere/x.png: check the path"),
        ("fault", {"name": "drp"}, "there is no fault 'drp'"),
        ("dance", {}, "requests are press, load, lift"),
    ],
)
def test_a_refusal_says_why(remote: SensorRemote, do: str, details: dict[str, object], said: str) -> None:
    with pytest.raises(RemoteError, match=said):
        remote.ask(do, **details)


@pytest.mark.parametrize("line", [b"\n", b"[]\n", b"no json\n", b'{"do": "lift", "x": 1}\n', b""])
def test_a_line_that_is_no_request_is_refused_and_the_next_is_served(remote: SensorRemote, line: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as wire:
        wire.settimeout(DEADLINE_S)
        wire.connect(str(remote.control))
        wire.sendall(line)
        wire.shutdown(socket.SHUT_WR)
        assert wire.recv(4096).startswith(b'{"ok": false')
    assert remote.status()["plugged"]


def test_a_sensor_that_is_not_there_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match=f"kiosk-sim ef01 --link {tmp_path}/none"):
        SensorRemote(tmp_path / "none").lift()


def test_a_second_sensor_at_the_same_link_is_refused(rig: Ef01Rig) -> None:
    second = Ef01Rig(Ef01Settings(), rig.server.link)
    with pytest.raises(FileExistsError, match="already runs"), second:
        pass
    assert rig.server.link.is_symlink()


def test_a_socket_that_a_killed_sensor_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "dead.control"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with RemoteControl(path, {"ping": lambda: {"pong": 1}}):
        assert SensorRemote(control=path).ask("ping") == {"pong": 1}
    assert not path.exists()


def test_the_link_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIOSK_SIM_LINK", "/tmp/other")  # noqa: S108 - only a name
    assert SensorRemote().control == Path("/tmp/other.control")  # noqa: S108
    monkeypatch.delenv("KIOSK_SIM_LINK")
    assert default_link() == Path("/tmp/kiosk-ef01")  # noqa: S108


def kiosk_sim(*arguments: str, link: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "simulators", *arguments],
        env=os.environ | {"KIOSK_SIM_LINK": str(link)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def sensor_process(link: Path, ending: signal.Signals) -> Iterator[list[str]]:
    """A sensor in a process of its own; its opening lines, and after the context all that it said."""
    command = [sys.executable, "-m", "simulators", "ef01", "--link", str(link), "--size", "192x192"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sensor:
        assert sensor.stdout is not None
        said = [line for _, line in zip(range(5), sensor.stdout, strict=False)]
        try:
            yield said
        finally:
            sensor.send_signal(ending)
            said += sensor.stdout
            assert sensor.wait(DEADLINE_S) == 0


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_sensor_says_how_to_use_it_and_ends_on_a_signal_leaving_nothing(
    tmp_path: Path, ending: signal.Signals
) -> None:
    with sensor_process(tmp_path / "ttyFP0", ending) as said:
        assert "simulated EF01 sensor, 192x192 at 508 ppi" in said[0]
        assert "Ctrl-C ends" in said[-1]
        assert (tmp_path / "ttyFP0").is_symlink()
    assert "sensor stopped" in said[-1]
    assert list(tmp_path.iterdir()) == []


def test_a_technician_presses_disturbs_and_clears_from_another_terminal(tmp_path: Path, picture: Path) -> None:
    link = tmp_path / "ttyFP0"
    with sensor_process(link, signal.SIGTERM) as said:
        pressed = kiosk_sim("press", "--image", str(picture), "--hold", "0", link=link)
        assert pressed.stdout == f"on the sensor: {picture}\nlifted\n"
        kiosk_sim("fault", "stuck", link=link)
        assert "still detects it (fault stuck)" in kiosk_sim("press", "--hold", "0", link=link).stdout
        assert kiosk_sim("fault", "clear", link=link).stdout == "clear: done\n"
    assert "finger on the sensor" in "".join(said)


def test_a_command_without_a_sensor_says_what_to_do_and_fails(tmp_path: Path) -> None:
    done = kiosk_sim("lift", link=tmp_path / "none")
    assert done.returncode == 1
    assert "no simulated sensor answers" in done.stderr
    assert f"kiosk-sim ef01 --link {tmp_path}/none" in done.stderr


def test_the_list_of_faults_needs_no_sensor_and_says_which_have_each(tmp_path: Path) -> None:
    listed = kiosk_sim("fault", "list", link=tmp_path / "none").stdout
    assert any(line.startswith("hung ") and " uru4000 " in line and "sfm" not in line for line in listed.splitlines())
    assert {line.split()[0] for line in listed.splitlines()} == {*FAULTS, "clear", "replug"}
