"""kiosk-sim uvc, look and away as a technician uses them."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer
from PIL import Image

from drivers.uvc.driver import Uvc
from simulators.sensors.uvc import cli as uvc_cli
from simulators.sensors.uvc.descriptors import UvcSettings
from simulators.sensors.uvc.rig import UvcRig
from tests.rigs.umockdev import needs_umockdev
from tests.rigs.uvc_rig import noise


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[UvcRig]:
    with UvcRig(UvcSettings(sizes=((64, 48),), rates=(100.0,)), tmp_path / "eye") as rig:
        yield rig


BAD_COMMANDS: list[tuple[Callable[[], None], str]] = [
    (lambda: uvc_cli.uvc(size="large"), "--size must be WIDTHxHEIGHT, such as 640x480"),
    (lambda: uvc_cli.uvc(kind="h264"), "no camera has formats = ('h264',)"),
    (lambda: uvc_cli.uvc(sends="h264 64x48"), "no camera has sends = ('h264', 64, 48)"),
    (lambda: uvc_cli.uvc(sends="y800"), "must be WIDTHxHEIGHT"),
    (lambda: uvc_cli.uvc(damage="all"), "no camera has damage = all"),
    (lambda: uvc_cli.uvc(version="2.0"), "--uvc is one of 1.0, 1.1, 1.5"),
    (lambda: uvc_cli.uvc(via="libusb"), "needs a program behind --"),
    (lambda: uvc_cli.uvc(port=99_999), "--port must be 0 to 65535, not 99999"),
    (lambda: uvc_cli.uvc(port=-1), "--port must be 0 to 65535, not -1"),
    (lambda: uvc_cli.uvc(condition="closed"), "give --person SEED too"),
    (lambda: uvc_cli.look(link=Path("nowhere")), "nobody is named: give --person SEED"),
    (lambda: uvc_cli.away(link=Path("nowhere")), "no simulated sensor answers"),
    (lambda: uvc_cli.away(link=Path("nowhere")), "Start one in another terminal:  kiosk-sim uvc --link nowhere\n"),
    (lambda: uvc_cli.look(link=Path("nowhere"), person=7), "kiosk-sim uvc --link nowhere\n"),
    (
        lambda: uvc_cli.uvc(via="pty"),
        "--via must be usbip or libusb, not 'pty': this sensor is on USB; ef01 and sfm are",
    ),
    (lambda: uvc_cli.uvc(program=["look"]), "a program (look) runs only with --via libusb"),
]


@pytest.mark.parametrize(("command", "said"), BAD_COMMANDS)
def test_a_command_that_cannot_be_says_why(
    command: Callable[[], None], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit):
        command()
    assert said in capsys.readouterr().err


def test_look_and_away_as_commands(rig: UvcRig, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(noise(9)).save(tmp_path / "eye.png")
    uvc_cli.look(link=rig.link, image=tmp_path / "eye.png")
    uvc_cli.away(link=rig.link)
    assert capsys.readouterr().out.splitlines() == [
        f"in front of the camera: {tmp_path / 'eye.png'}",
        f"go away with:  kiosk-sim away --link {rig.link}",
        "in front of the camera: nobody",
    ]


def test_a_camera_runs_until_it_is_told_to_stop(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "simulators", "uvc", "--size", "64x48", "--link", str(tmp_path / "eye")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = ""
        while "Ctrl-C ends" not in said:
            line = process.stdout.readline()
            assert line
            said += line
        sensor = Uvc(said.partition("finds it at: ")[2].split()[0], {})
        sensor.open()
        assert sensor.capture(1.0).image.shape == (48, 64)
        sensor.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0
    assert list(tmp_path.iterdir()) == []


DEADLINE_S = 20.0


@pytest.mark.usefixtures("stopped")
def test_a_camera_says_what_it_is_and_who_looks_into_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(noise(9)).save(tmp_path / "eye.png")
    link = tmp_path / "eye"
    uvc_cli.uvc(link=link, image=tmp_path / "eye.png", size="64x48", fps=15)
    lines = [line[10:] for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "nobody in front of the camera"
    assert lines[1] == f"in front of the camera: {tmp_path / 'eye.png'}"
    assert lines[2] == "simulated UVC camera, y800 64x48, 15 frames a second"
    assert lines[5] == f"look into it from another terminal:  kiosk-sim look --link {link} --person 7 --eye left"
    assert lines[6:] == ["Ctrl-C ends", "sensor stopped"]


@needs_umockdev
def test_behind_libusb_the_exit_status_is_that_of_the_program(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended:
        uvc_cli.uvc(link=tmp_path / "eye", size="64x48", via="libusb", program=["sh", "-c", "exit 7"])
    assert ended.value.exit_code == 7
    assert capsys.readouterr().err.startswith("kiosk-sim: simulated UVC camera, at usb:1209:0001 for sh\n")


def test_the_options_of_a_synthetic_eye_are_passed_on(rig: UvcRig, capsys: pytest.CaptureFixture[str]) -> None:
    uvc_cli.look(link=rig.link, person=7, eye="right", condition="closed")
    assert capsys.readouterr().out.startswith("in front of the camera: person 7, right eye, closed\n")
