"""kiosk-sim: every row of its table is a command, and a command at the wrong place is answered with the right one."""

import sys

import pytest

from simulators.__main__ import COMMANDS, SENSOR_COMMANDS, SENSORS, correct_command, main


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> object:
    """The exit status, or the message, of kiosk-sim."""
    monkeypatch.setattr(sys, "argv", ["kiosk-sim", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_without_a_command_all_of_them_are_listed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    run(monkeypatch, *arguments)
    text = capsys.readouterr().out
    assert all(name in text for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_shows_its_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert run(monkeypatch, name, "--help") == 0
    assert f"kiosk-sim {name}" in capsys.readouterr().out


def test_an_unknown_command_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "dance") == 2
    assert "dance" in capsys.readouterr().err


def test_a_command_behind_the_name_of_a_sensor_is_answered_with_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    for sensor in SENSORS:
        message = str(run(monkeypatch, sensor, "press", "--person", "7"))
        assert "press is a separate command, for a running sensor:  kiosk-sim press --person 7" in message
        assert f"kiosk-sim {sensor}   (" in message


def test_every_sensor_and_order_of_that_message_is_a_command() -> None:
    assert {*SENSORS, *SENSOR_COMMANDS} <= set(COMMANDS)
    assert correct_command(["uru4000", "--person", "7"]) == correct_command(["demo", "press"]) == ""
