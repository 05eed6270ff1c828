"""Messages on the screen, and running until a signal."""

import re
import signal
import threading
from pathlib import Path

import pytest
import typer

from simulators.sensors.common import command_line
from simulators.sensors.common.command_line import (
    errors_as_messages,
    parse_size,
    print_changes,
    print_event,
    stop_signal,
)
from simulators.sensors.ef01.rig import Ef01Rig
from simulators.transports.remote import RemoteError
from tests.rigs.ef01_module import SMALL


def test_an_event_is_printed_with_its_time(capsys: pytest.CaptureFixture[str]) -> None:
    print_event("finger lifted")
    assert re.fullmatch(r"\d\d:\d\d:\d\d  finger lifted\n", capsys.readouterr().out)


@pytest.mark.parametrize("error", [RemoteError("no sensor"), ValueError("no sensor"), OSError("no sensor")])
def test_an_error_that_a_technician_can_correct_is_one_line_and_status_1(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended, errors_as_messages():
        raise error
    assert ended.value.exit_code == 1
    assert capsys.readouterr().err == "error: no sensor\n"


def test_a_bug_is_not_turned_into_a_message() -> None:
    with pytest.raises(ZeroDivisionError), errors_as_messages():
        _ = 1 / 0


def test_a_size_is_two_numbers() -> None:
    assert parse_size("256X288", "1x1") == (256, 288)
    for wrong in ("large", "1x2x3", "12"):
        with pytest.raises(ValueError, match=f"--size must be WIDTHxHEIGHT, such as 256x288, not '{wrong}'"):
            parse_size(wrong, "256x288")


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_set_the_event(number: signal.Signals) -> None:
    stop = stop_signal()
    assert not stop.is_set()
    signal.raise_signal(number)
    assert stop.is_set()


def test_only_changes_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command_line, "WATCH_S", 0.0)
    stop = threading.Event()
    rates = iter([9600, 9600, 57600, 57600])

    def rate() -> int:
        value = next(rates)
        if value == 57600:
            stop.set()
        return value

    print_changes(Ef01Rig(SMALL, tmp_path / "finger"), {"rate": rate}, stop)
    assert [line[10:] for line in capsys.readouterr().out.splitlines()] == ["rate: 57600"]
