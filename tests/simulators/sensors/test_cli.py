"""What a technician types and reads: kiosk-sim ef01 as a process, and press, lift, status and fault beside it."""

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import typer

from drivers.sample import Position
from simulators.__main__ import COMMANDS, SENSOR_COMMANDS, SENSORS, correct_command, main
from simulators.people.person import Condition, Pattern, Person
from simulators.sensors import cli as sensor_cli
from simulators.sensors.ef01 import cli as ef01_cli
from simulators.sensors.ef01.commands import Ef01Settings, pack
from simulators.sensors.ef01.device import EF01_FAULTS
from simulators.sensors.ef01.rig import Ef01Rig
from simulators.sensors.fault_sets import FAULT_SETS
from simulators.transports.faults import FAULTS
from simulators.transports.remote import RemoteControl, RemoteError, SensorRemote
from tests.rigs.ef01_wire import GET_IMAGE, frame

DEADLINE_S = 20.0
SMALL = Ef01Settings(width=64, height=64, boot_s=0.0)


@pytest.fixture
def link(tmp_path: Path) -> Path:
    return tmp_path / "finger"


@pytest.fixture
def rig(link: Path) -> Iterator[Ef01Rig]:
    with Ef01Rig(SMALL, link) as rig:
        yield rig


@pytest.mark.parametrize("option", ["--person", "--impression", "--hold"])
def test_a_number_below_zero_is_refused_by_name(option: str, link: Path) -> None:
    command = [sys.executable, "-m", "simulators", "press", "--link", str(link), option, "-1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 2
    assert option in done.stderr


def test_a_fault_that_does_not_exist_is_refused_before_a_sensor_is_looked_for(
    link: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit):
        sensor_cli.fault("drp", link=link)
    assert "there is no fault 'drp'; there are: checksum, drop" in capsys.readouterr().err


def test_press_says_what_is_on_the_sensor_and_how_to_lift_it(
    rig: Ef01Rig, link: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sensor_cli.press(link=link, person=3, finger="left_thumb", impression=2, condition="wet")
    said = capsys.readouterr().out
    assert (
        said == f"on the sensor: person 3, left_thumb, impression 2, wet\nlift it with:  kiosk-sim lift --link {link}\n"
    )
    assert rig.module.finger_on
    sensor_cli.lift(link=link)
    assert capsys.readouterr().out == "lifted\n"
    assert not rig.module.finger_on


def test_the_skin_asked_for_is_the_skin_that_is_pressed(rig: Ef01Rig, link: Path) -> None:
    finger = Person(3).finger(Position.RIGHT_INDEX)
    for condition in (Condition.DRY, Condition.UNREADABLE):
        sensor_cli.press(link=link, person=3, condition=condition)
        rig.module.receive(frame(0x01, bytes([GET_IMAGE])))
        assert rig.module.image_buffer == pack(finger.impression(0, 64, 64, 500, condition))


README = (Path(__file__).parents[3] / "simulators" / "README.md").read_text(encoding="utf-8")


def test_the_readme_names_every_condition_and_every_pattern() -> None:
    for words in (Condition, Pattern):
        assert f"{', '.join(words)}" in README


def test_the_program_in_the_readme_runs(link: Path) -> None:
    program = README.partition("```python\n")[2].partition("```")[0]
    names: dict[str, object] = {}
    exec(program.replace("/tmp/finger", str(link)), names)  # noqa: S102, S108 - our own document
    assert isinstance(names["rig"], Ef01Rig)
    assert names["rig"].module.faults.pending() == {"drop": 1}
    assert not link.is_symlink()


def test_every_option_that_the_readme_shows_is_there() -> None:
    """What `kiosk-sim COMMAND --option` the document shows, the command's own parameters have."""
    shown = re.findall(r"kiosk-sim (ef01|press|lift|fault|status)\b([^`|#\n]*)", README)
    used = {(command, option) for command, rest in shown for option in re.findall(r"--([a-z-]+)", rest)}
    assert ("press", "condition") in used
    for command, option in used:
        assert (
            option.replace("-", "_")
            in inspect.signature(getattr(ef01_cli if command == "ef01" else sensor_cli, command)).parameters
        )


def test_status_shows_the_sensor_its_faults_and_its_counters(
    rig: Ef01Rig, link: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rig.module.press(np.zeros((64, 64), np.uint8))
    rig.module.receive(frame(0x01, bytes([GET_IMAGE])))
    rig.fault("drop", times=2)
    sensor_cli.status(link=link)
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["size"] == "64x64"
    assert lines["finger_on"] == "True"
    assert lines["finger"] == "-"
    assert lines["faults"] == "drop 2"
    assert lines["commands"] == "GetImage 1"


def test_a_fault_waits_and_clear_ends_it(rig: Ef01Rig, link: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sensor_cli.fault("drop", param=["bytes=3", "at=answer"], times=2, link=link)
    assert "drop: occurs at the next opportunity" in capsys.readouterr().out
    assert rig.module.faults.pending() == {"drop": 2}
    sensor_cli.fault("clear", link=link)
    assert capsys.readouterr().out == "clear: done\n"
    assert rig.module.faults.pending() == {}


def test_a_fault_that_the_sensor_does_not_have_is_refused_with_those_that_it_has(
    rig: Ef01Rig, link: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit):
        sensor_cli.fault("hung", link=link)
    said = capsys.readouterr().err
    assert said.startswith("error: this sensor has no fault 'hung'; it has: ")
    assert "messy" in said
    assert rig.module.faults.pending() == {}


@pytest.mark.usefixtures("rig")
def test_the_list_of_a_running_sensor_has_only_its_own_faults(link: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sensor_cli.fault("list", link=link)
    listed = {line.split()[0] for line in capsys.readouterr().out.splitlines()}
    assert listed == {*EF01_FAULTS, "unplug", "clear", "replug"}


def test_the_cable_is_pulled_and_put_back(rig: Ef01Rig, link: Path) -> None:
    sensor_cli.fault("unplug", link=link)
    assert rig.server.unplugged.wait(DEADLINE_S)
    sensor_cli.fault("replug", link=link)
    assert not rig.server.unplugged.is_set()


REFUSED: list[tuple[dict[str, object], str]] = [
    ({}, "no finger is loaded: give --image FILE or --person SEED"),
    ({"person": 1, "finger": "thumb"}, "there is no finger 'thumb'"),
    ({"finger": "thumb"}, "there is no finger 'thumb'; choose one of right_thumb"),
    ({"person": 1, "condition": "soapy"}, "there is no condition 'soapy'; choose one of normal, dry"),
    ({"condition": "wet"}, "--condition is only for a synthetic finger: give --person SEED too"),
    ({"image": Path("/nowhere/x.png")}, "there is no file /nowhere/x.png"),
]


@pytest.mark.parametrize(("options", "said"), REFUSED)
@pytest.mark.usefixtures("rig")
def test_a_finger_that_cannot_be_pressed_says_why(
    link: Path, options: dict[str, object], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended:
        sensor_cli.press(link=link, **options)  # type: ignore[arg-type]
    assert ended.value.exit_code == 1
    assert capsys.readouterr().err.startswith(f"error: {said}")


@pytest.mark.usefixtures("rig")
def test_a_parameter_without_a_value_says_what_one_is_like(link: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit):
        sensor_cli.fault("drop", param=["bytes"], link=link)
    assert "--param must be NAME=VALUE, such as bytes=2, not 'bytes'" in capsys.readouterr().err


@pytest.mark.parametrize("command", [sensor_cli.press, sensor_cli.lift, sensor_cli.status])
def test_without_a_sensor_a_command_says_how_to_start_one(
    command: object, link: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(command)
    with pytest.raises(typer.Exit):
        command(link=link)
    assert f"Start one in another terminal:  kiosk-sim ef01 --link {link}" in capsys.readouterr().err


ORDER = "press is a separate command, for a running sensor:  kiosk-sim press --person 7"


def test_an_order_behind_the_name_of_a_sensor_is_answered_with_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    for sensor in FAULT_SETS:
        monkeypatch.setattr(sys, "argv", ["kiosk-sim", sensor, "press", "--person", "7"])
        with pytest.raises(SystemExit, match=ORDER) as ended:
            main()
        assert f"kiosk-sim {sensor}   (" in str(ended.value.code)


def test_every_sensor_and_order_of_the_hint_is_a_command() -> None:
    assert set(SENSORS) == set(FAULT_SETS)
    assert set(SENSOR_COMMANDS) <= set(COMMANDS)
    assert correct_command(["uru4000", "--person", "7"]) == correct_command(["demo", "press"]) == ""


def test_whatever_goes_wrong_in_an_order_the_next_one_is_served(link: Path) -> None:
    def stumble() -> None:
        raise ZeroDivisionError

    control = link.with_name("odd.control")
    with RemoteControl(control, {"stumble": stumble, "ping": lambda: {"pong": 1}}):
        with pytest.raises(RemoteError, match="ZeroDivisionError"):
            SensorRemote(control=control).ask("stumble")
        assert SensorRemote(control=control).ask("ping") == {"pong": 1}


def test_a_path_that_is_too_long_for_a_socket_is_named_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match=r"x\.control cannot be used \(.*too long\)"):
        SensorRemote(tmp_path / ("x" * 120)).lift()


def test_a_finger_that_is_held_is_lifted_at_the_end(
    rig: Ef01Rig, link: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sensor_cli.press(link=link, person=3, hold=0.0)
    assert capsys.readouterr().out.splitlines()[-1] == "lifted"
    assert not rig.module.finger_on


def test_a_finger_that_is_stuck_is_said_to_stay(rig: Ef01Rig, link: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rig.press(person=3)
    rig.fault("stuck")
    sensor_cli.lift(link=link)
    assert capsys.readouterr().out == "lifted, but the sensor still detects it (fault stuck): kiosk-sim fault clear\n"


def test_the_list_without_a_sensor_names_the_sensors_of_each_fault(capsys: pytest.CaptureFixture[str]) -> None:
    sensor_cli.fault("list")
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert set(rows) == {*FAULTS, "clear", "replug"}
    assert rows["messy"].split()[1:3] == ["ef01", "sfm"]
    assert rows["wrong_address"].endswith("[1x] at=data packet=-1 address=0x12345678")
    assert "[until cleared]" in rows["silent"]
