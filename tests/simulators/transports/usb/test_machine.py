"""kiosk-sim … --via libusb: a simulated reader behind the real libusb of one program, obeyed from another terminal."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image

from drivers.recordings.playback import Player
from drivers.sample import Position
from simulators.people.person import Person
from simulators.polling import wait_until
from simulators.sensors import touch_cli
from simulators.sensors.common.touch_rig import View
from simulators.sensors.nb1010 import rig as nb1010_rig
from simulators.sensors.touch_libusb import LibusbRig, PluggedReader
from simulators.sensors.touch_plugged import TouchSettings
from simulators.sensors.uru4000.rig import VIEW
from simulators.transports.remote import RemoteError, SensorRemote
from simulators.transports.usb import machine
from tests.rigs.umockdev import needs_umockdev
from tests.rigs.uru4000_rig import as_captured

PROCESS_S = 60.0
Make = Callable[[list[str]], LibusbRig]
SLEEPER = ["sleep", "60"]


def finger(view: View) -> np.ndarray:
    """Of person 7, as the sensor sees it."""
    return Person(7).finger(Position.RIGHT_INDEX).impression(0, view.width, view.height, view.ppi)


def kiosk_sim(sensor: str, link: Path, *options: str, program: list[str]) -> list[str]:
    command = [sys.executable, "-m", "simulators", sensor, "--link", str(link), *options, "--via", "libusb"]
    return [*command, "--", *program]


def agent(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "agent", *arguments]


def run(command: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=PROCESS_S)


@pytest.fixture
def link(tmp_path: Path) -> Path:
    return tmp_path / "finger"


@needs_umockdev
def test_the_agent_captures_from_the_simulated_reader_into_the_folder_of_the_caller(tmp_path: Path, link: Path) -> None:
    program = agent("capture", "uru4000", "usb:05ba:000a", "--out", "x.png")
    done = run(kiosk_sim("uru4000", link, "--person", "7", "--pressed", program=program), tmp_path)
    assert done.returncode == 0, done.stderr
    assert (np.asarray(Image.open(tmp_path / "x.png")) == as_captured(finger(VIEW))).all()
    assert "quality" in done.stdout
    assert "simulated" not in done.stdout
    assert f"kiosk-sim press --link {link}" in done.stderr


@needs_umockdev
def test_the_reader_that_was_described_is_the_one_that_is_plugged_in(tmp_path: Path, link: Path) -> None:
    program = agent("capture", "uru4000", "usb:05ba:0007", "--out", "x.png")
    described = ["--reader", "4000", "--blocks", "2:72,82:60,1:2,2:155", "--asleep", "--person", "7", "--pressed"]
    done = run(kiosk_sim("uru4000", link, *described, program=program), tmp_path)
    assert done.returncode == 0, done.stderr
    image, shown = np.asarray(Image.open(tmp_path / "x.png")), finger(VIEW)
    assert (image[134:288] == shown[134:288]).all()
    assert (image[132] == image[134]).all()  # two rows that are not sent, after the change of the key
    assert (image[:131] == shown[:131]).mean() > 0.99


@needs_umockdev
def test_the_agent_shows_the_simulated_reader_as_free_with_its_firmware(tmp_path: Path, link: Path) -> None:
    done = run(kiosk_sim("uru4000", link, program=agent("sensors")), tmp_path)
    (row,) = [line for line in done.stdout.splitlines() if "usb:05ba:000a?port=1-1" in line]
    assert "uru4000" in row
    assert " free " in row
    assert "firmware 0115.0010" in row


@pytest.fixture
def make(link: Path) -> Make:
    reader = PluggedReader("nb1010", nb1010_rig.KIND, nb1010_rig.VIEW, "usb:298d:1010", TouchSettings())
    return lambda program: LibusbRig(reader, program, link)


@needs_umockdev
def test_a_finger_pressed_from_another_terminal_is_what_the_program_reads(
    make: Make, link: Path, tmp_path: Path
) -> None:
    out, remote = tmp_path / "recording", SensorRemote(link)
    with make(agent("record", "nb1010", "usb:298d:1010", "--out", str(out))) as rig:
        assert wait_until(lambda: remote.status()["checks"] > 2, PROCESS_S)
        remote.press(person=7)
        assert rig.usb_host.wait() == 0
    sensor = Player(out.read_text(encoding="utf-8").splitlines()).sensor()
    sensor.open()
    assert (sensor.capture(PROCESS_S).image == finger(nb1010_rig.VIEW)).all()


@needs_umockdev
def test_the_orders_of_a_technician_reach_the_reader(make: Make, link: Path) -> None:
    remote = SensorRemote(link)
    with make(SLEEPER) as rig:
        assert remote.press(person=7) == {"finger": "person 7, right_index, impression 0"}
        remote.fault("stuck")
        remote.fault("silent", times=2)
        status = remote.status()
        assert (status["sensor"], status["url"]) == (rig.kind.title, "usb:298d:1010")
        assert (status["finger_on"], status["plugged"]) == (True, True)
        assert status["faults"] == {"stuck": 0, "silent": 2}
        assert remote.lift() == {"finger_on": True}
        remote.clear()
        assert (remote.status()["faults"], remote.status()["finger_on"]) == ({}, False)
        pulled = partial(remote.fault, "unplug")
        orders = ((remote.unplug, False), (remote.replug, True), (pulled, False), (remote.replug, True))
        for order, plugged in orders:
            order()
            assert remote.status()["plugged"] is plugged
        with pytest.raises(RemoteError, match="there is no fault 'thirst'"):
            remote.fault("thirst")


@needs_umockdev
def test_the_exit_status_is_that_of_the_program(make: Make, capfd: pytest.CaptureFixture[str]) -> None:
    for program, status in ((["sh", "-c", "exit 7"], 7), (["no such program"], 127), (["sh", "-c", "kill $$"], 143)):
        with make(program) as rig:
            assert rig.usb_host.wait() == status
    assert capfd.readouterr().err == "no such program: No such file or directory\n"


def ctrl_c(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGINT)


def terminate(process: subprocess.Popen[str]) -> None:
    process.terminate()


@needs_umockdev
@pytest.mark.parametrize(("end", "status"), [(ctrl_c, 130), (terminate, 143)])
def test_what_ends_the_simulator_ends_the_program_and_leaves_nothing(
    end: Callable[[subprocess.Popen[str]], None], status: int, tmp_path: Path, link: Path
) -> None:
    command = kiosk_sim("nb1010", link, program=SLEEPER)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert wait_until(lambda: answers(link), PROCESS_S)
        end(process)
        _, said = process.communicate(timeout=PROCESS_S)
    assert process.returncode == status
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def answers(link: Path) -> bool:
    try:
        return bool(SensorRemote(link).status()["plugged"])
    except RemoteError:
        return False


def test_without_umockdev_one_line_says_what_to_install(
    link: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.missing.cache_clear()
    monkeypatch.setattr("simulators.transports.usb.machine.shutil.which", lambda _: None)
    with pytest.raises(typer.Exit):
        touch_cli.uru4000(link=link, via="libusb", program=SLEEPER)
    machine.missing.cache_clear()
    said = capsys.readouterr().err
    assert "apt install umockdev gir1.2-umockdev-1.0 python3-gi" in said
    assert said.count("\n") == 1


WRONG: list[tuple[Callable[[Path], None], str]] = [
    (lambda link: touch_cli.nb1010(link=link, via="libusb"), "--via libusb needs a program"),
    (lambda link: touch_cli.nb1010(link=link, program=SLEEPER), "a program (sleep) runs only with --via libusb"),
    (lambda link: touch_cli.nb1010(link=link, via="pigeon"), "--via must be usbip or libusb, not 'pigeon'"),
    (
        lambda link: touch_cli.uru4000(link=link, via="libusb", port=3240, program=SLEEPER),
        "--port is only for --via",
    ),
]


@pytest.mark.parametrize(("command", "said"), WRONG)
def test_what_does_not_go_together_is_said(
    command: Callable[[Path], None], said: str, link: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit):
        command(link)
    assert said in capsys.readouterr().err
