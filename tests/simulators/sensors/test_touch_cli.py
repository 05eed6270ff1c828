"""kiosk-sim sfm, nb1010 and uru4000."""

from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from simulators.sensors import touch_cli
from simulators.sensors.ef01 import cli as ef01_cli
from simulators.sensors.uru4000 import rig as uru4000_rig
from simulators.sensors.uru4000.choice import Choice
from simulators.sensors.uru4000.device import Uru4000Settings
from tests.rigs.umockdev import needs_umockdev


def test_a_serial_sensor_has_the_one_wire_and_says_so(link: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (ef01_cli.ef01, touch_cli.sfm):
        for via in ("usbip", "libusb"):
            with pytest.raises(typer.Exit):
                command(link=link, via=via)
            assert f"--via must be pty, not {via!r}: this sensor is on a serial line" in capsys.readouterr().err


@pytest.fixture
def link(tmp_path: Path) -> Path:
    return tmp_path / "finger"


def test_the_command_makes_the_reader_that_was_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = list[Uru4000Settings]()
    monkeypatch.setattr(uru4000_rig, "Uru4000Rig", lambda settings, *_, **__: made.append(settings))
    monkeypatch.setattr(touch_cli, "_serve", lambda *_, **__: None)
    touch_cli.uru4000(link=tmp_path / "finger", reader="4000", blocks="2:100", clear=True, asleep=True, hung=True)
    assert made == [Choice("4000", "2:100", clear=True, asleep=True, hung=True).settings()]


def test_the_command_says_in_one_line_what_no_reader_is_like(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit):
        touch_cli.uru4000(blocks="2-72")
    assert capsys.readouterr().err.startswith("error: block '2-72' must be flags")


RUNS: list[tuple[Callable[[Path], None], str, str]] = [
    (lambda link: touch_cli.sfm(link=link, terminal=7), "Suprema SFM, 272x320 at 500 ppi", " --option terminal=7"),
    (lambda link: touch_cli.nb1010(link=link), "NEXT Biometrics NB-1010-U, 256x180 at 385 ppi", "usbip://"),
    (lambda link: touch_cli.uru4000(link=link), "U.are.U 4500 Fingerprint Reader", "usbip://"),
]


@pytest.mark.usefixtures("stopped")
@pytest.mark.parametrize(("command", "title", "capture"), RUNS, ids=["sfm", "nb1010", "uru4000"])
def test_a_sensor_says_what_it_is_and_how_to_take_a_sample(
    command: Callable[[Path], None], title: str, capture: str, link: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command(link)
    lines = [line[10:] for line in capsys.readouterr().out.splitlines()]
    assert lines[0].startswith("simulated ")
    assert title in lines[0]
    assert lines[1].startswith("a driver finds it at: ")
    assert lines[2].startswith("take a sample of it:  kiosk-agent capture ")
    assert capture in lines[2]
    assert lines[-2:] == ["Ctrl-C ends", "sensor stopped"]


@needs_umockdev
@pytest.mark.parametrize("command", [touch_cli.nb1010, touch_cli.uru4000])
def test_behind_libusb_the_exit_status_is_that_of_the_program(
    command: Callable[..., None], link: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended:
        command(link=link, person=7, pressed=True, via="libusb", program=["sh", "-c", "exit 7"])
    assert ended.value.exit_code == 7
    introduction, order = capsys.readouterr().err.splitlines()
    assert introduction.startswith("kiosk-sim: simulated ")
    assert introduction.endswith(" for sh")
    assert order == f"kiosk-sim: press a finger from another terminal:  kiosk-sim press --link {link} --person 7"


@needs_umockdev
def test_a_finger_must_be_named_to_be_pressed_from_the_start(link: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit):
        touch_cli.nb1010(link=link, pressed=True, via="libusb", program=["true"])
    assert capsys.readouterr().err == "error: --pressed needs a finger: give --person SEED or --image FILE\n"
