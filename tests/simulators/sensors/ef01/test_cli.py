"""kiosk-sim ef01 as a technician uses it: in a process of its own, and its error messages."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import serial
import typer

from drivers.sample import Position
from simulators.people.person import Person
from simulators.sensors.common import touch_options
from simulators.sensors.ef01 import cli as ef01_cli
from simulators.sensors.ef01.commands import pack
from simulators.sensors.ef01.device import Ef01Module
from simulators.transports.serial.pseudo_terminal import PtyServer
from simulators.transports.serial.uart import Burst
from tests.rigs.ef01_wire import GET_IMAGE, UP_IMAGE, acknowledge, frame, image_packets

DEADLINE_S = 20.0


def wait_for_line(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdout is not None
    assert any(text in line for line in iter(process.stdout.readline, ""))


def wake(port: serial.Serial) -> None:
    """Ask until the module has booted: before that it hears nothing."""
    port.timeout = 0.2
    ask = frame(0x01, b"\x53")
    assert any(port.write(ask) and port.read(12) == acknowledge(0x55) for _ in range(100))
    port.timeout = DEADLINE_S


@contextmanager
def sensor(link: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """kiosk-sim ef01 in a process of its own, ready; it is killed if the test did not end it."""
    command = [sys.executable, "-m", "simulators", "ef01", "--link", str(link), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        try:
            wait_for_line(process, "Ctrl-C ends")
            yield process
        finally:
            process.kill()


def test_a_person_who_is_pressed_from_the_start_is_what_the_host_reads(link: Path, tmp_path: Path) -> None:
    image = Person(7).finger(Position.RIGHT_INDEX).impression(0)
    expected = acknowledge(0) + acknowledge(0) + b"".join(image_packets(pack(image)))
    with sensor(link, "--person", "7", "--pressed", "--via", "pty") as process:
        wait_for_line(process, "finger on the sensor")
        with serial.Serial(str(link), 57600) as port:
            wake(port)
            port.write(frame(0x01, bytes([GET_IMAGE])) + frame(0x01, bytes([UP_IMAGE])))
            assert port.read(len(expected)) == expected
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 0
    assert said.endswith("sensor stopped\n")
    assert list(tmp_path.iterdir()) == []


WRONG: list[tuple[list[str], str]] = [
    (["--size", "large"], "--size must be WIDTHxHEIGHT, such as 256x288, not 'large'"),
    (["--baud", "57601"], "baud must be 9600 times 1 to 12"),
    (["--person", "1", "--image", "x.png"], "give one of the two"),
    (["--size", "100000x100000"], "at most 1024 pixels a side, not 100000x100000"),
    (["--finger", "thumb"], "there is no finger 'thumb'; choose one of right_thumb"),
    (["--link", "simulators"], "simulators exists and is no link to a simulated port: choose another --link"),
    (["--link", "x" * 120], "is too long: the path of a socket has at most 107 bytes"),
]


@pytest.mark.parametrize(("options", "said"), WRONG)
def test_a_sensor_that_cannot_be_says_why_in_one_line(link: Path, options: list[str], said: str) -> None:
    command = [sys.executable, "-m", "simulators", "ef01", "--link", str(link), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not link.is_symlink()


def test_a_sensor_whose_port_dies_ends_with_the_reason(
    link: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`kiosk-sim ef01` in this process; the signals of the test run stay as they were."""
    never = threading.Event()
    monkeypatch.setattr(touch_options, "stop_signal", lambda: never)
    monkeypatch.setattr(Ef01Module, "power_on", lambda *_: [Burst(0.0, b"x", 57600)])
    monkeypatch.setattr(PtyServer, "_as_received", lambda *_: 1 / 0)
    too_late = threading.Timer(DEADLINE_S, never.set)
    too_late.start()
    with pytest.raises(typer.Exit) as ended:
        ef01_cli.ef01(link=link)
    too_late.cancel()
    too_late.join()
    assert ended.value.exit_code == 1
    assert capsys.readouterr().err == f"error: the port at {link} died: division by zero\n"


@pytest.fixture
def link(tmp_path: Path) -> Path:
    return tmp_path / "finger"
