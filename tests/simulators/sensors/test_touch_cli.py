"""kiosk-sim sfm, nb1010 and uru4000."""

from pathlib import Path

import pytest
import typer

from simulators.sensors import touch_cli
from simulators.sensors.ef01 import cli as ef01_cli
from simulators.sensors.uru4000 import rig as uru4000_rig
from simulators.sensors.uru4000.choice import Choice
from simulators.sensors.uru4000.device import Uru4000Settings


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
