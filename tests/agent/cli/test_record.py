"""Recording a sensor for a technician: the file, what is said of it, and what is in it when it ends early."""

import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import drivers
from agent.__main__ import app
from agent.cli.record import SEED_OPTION, WARNING, RecordingRequest, RecordingResult, record, with_seed
from agent.errors import AgentError, ConfigError
from drivers.errors import CaptureRetry, LinkLost
from drivers.options import Options
from drivers.recordings.playback import Player
from drivers.recordings.recording import RecordedTransport
from drivers.sample import Sample
from simulators.polling import wait_until
from tests.rigs.sensor_rigs import RIGS
from tests.rigs.simulated_rig import Rig

DRIVERS = ("ef01", "nb1010", "sfm", "uru4000")
PERSON_S = 10.0
PROCESS_S = 30.0


def silently(_line: str) -> None:
    """Nobody listens."""


def wish_of(driver: str, rig: Rig, samples: int = 1, timeout: float = PERSON_S) -> RecordingRequest:
    options = {key: str(value) for key, value in rig.options.items()}
    return RecordingRequest(driver, rig.url, options, samples, timeout)


def played(out: Path) -> Player:
    return Player(out.read_text(encoding="utf-8").splitlines())


def sample_of(player: Player) -> Sample:
    """The first sample of a recording."""
    sensor = player.sensor()
    sensor.open()
    sample = sensor.capture(PERSON_S)
    sensor.close()
    return sample


@pytest.fixture(name="widest_umask")
def _widest_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.usefixtures("widest_umask")
def test_a_recording_plays_back_to_the_picture_that_was_taken(driver: str, tmp_path: Path) -> None:
    out, said = tmp_path / "recording", list[str]()
    with RIGS[driver](tmp_path, False) as rig:
        shown = rig.present(1)
        recorded = record(wish_of(driver, rig), out, said.append)
        assert (recorded.samples, recorded.ended_by) == (1, "")
        np.testing.assert_array_equal(sample_of(played(out)).image, shown)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert WARNING in said[0]
    height, width = shown.shape
    assert said[-1] == f"1 of 1: a sample of {width}x{height}"


def test_several_presentations_are_recorded_one_after_the_other(tmp_path: Path) -> None:
    out = tmp_path / "recording"
    with RIGS["nb1010"](tmp_path, False) as rig:
        rig.present(0)

        def next_finger(line: str) -> None:
            if line.startswith("1 of 2: a sample"):
                rig.remove()
                # Not before the driver has seen the lift: it looks for a finger again then.
                checks = rig.device.commands[0x38]  # type: ignore[attr-defined]
                threading.Thread(target=follow, args=(checks,)).start()

        def follow(checks: int) -> None:
            assert wait_until(lambda: rig.device.commands[0x38] > checks + 1, PERSON_S)  # type: ignore[attr-defined]
            rig.present(1)

        recorded = record(wish_of("nb1010", rig, samples=2), out, next_finger)
    assert (recorded.samples, recorded.ended_by) == (2, "")
    sensor = played(out).sensor()
    sensor.open()
    first, second = (sensor.capture(PERSON_S).image for _ in range(2))
    sensor.close()
    assert (first != second).any()


def test_a_file_that_is_there_is_left_alone_and_nobody_is_asked_to_touch_anything(tmp_path: Path) -> None:
    out, said = tmp_path / "recording", list[str]()
    out.write_text("something else")
    with RIGS["nb1010"](tmp_path, False) as rig, pytest.raises(AgentError, match="already exists: delete it"):
        record(wish_of("nb1010", rig), out, said.append)
    assert (out.read_text(), said) == ("something else", [])


def test_a_device_that_is_not_there_leaves_no_file(tmp_path: Path) -> None:
    out = tmp_path / "recording"
    with pytest.raises(AgentError, match="not plugged in"):
        record(RecordingRequest("nb1010", "usb:298d:1010?port=99-1", {}, 1, 1.0), out, silently)
    assert not out.exists()


def test_a_person_who_does_not_come_leaves_a_recording_of_the_wait(driver: str, tmp_path: Path) -> None:
    out = tmp_path / "recording"
    with RIGS[driver](tmp_path, False) as rig:
        recorded = record(wish_of(driver, rig, timeout=0.5), out, silently)
    assert (recorded.samples, recorded.interrupted) == (0, False)
    assert recorded.ended_by.startswith("no sample: nothing_presented")
    sensor = played(out).sensor()
    sensor.open()
    with pytest.raises(CaptureRetry):
        sensor.capture(0.1)  # well within what was recorded
    sensor.close()


def once_listening(action: Callable[[], None]) -> Callable[[str], None]:
    """Do something as soon as the person is asked for, from another thread."""

    def hear(line: str) -> None:
        if "present a finger" in line:
            threading.Timer(0.1, action).start()

    return hear


def test_a_cable_that_is_pulled_leaves_a_recording_that_ends_so(driver: str, tmp_path: Path) -> None:
    out = tmp_path / "recording"
    with RIGS[driver](tmp_path, False) as rig:
        recorded = record(wish_of(driver, rig), out, once_listening(rig.unplug))
    assert (recorded.samples, recorded.interrupted) == (0, False)
    assert recorded.ended_by
    sensor = played(out).sensor()
    sensor.open()
    with pytest.raises(LinkLost):
        sensor.capture(PERSON_S)
    sensor.close()


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_leaves_a_recording_that_plays_back_until_then(driver: str, tmp_path: Path) -> None:
    out, before = tmp_path / "recording", signal.getsignal(signal.SIGINT)
    with RIGS[driver](tmp_path, False) as rig:
        recorded = record(wish_of(driver, rig), out, once_listening(interrupt))
    assert recorded == RecordingResult(0, recorded.lines, "interrupted", interrupted=True)
    assert signal.getsignal(signal.SIGINT) is before
    player = played(out)
    player.sensor().open()
    assert player.remaining > 0


def test_a_seed_is_drawn_where_the_driver_has_one_and_none_was_given() -> None:
    url = "usb:05ba:000a"
    drawn = {with_seed(RecordingRequest("uru4000", url, {}, 1, 1.0))[SEED_OPTION] for _ in range(3)}
    assert len(drawn) == 3
    assert with_seed(RecordingRequest("uru4000", url, {"seed": "0x1"}, 1, 1.0)) == {"seed": "0x1"}
    assert with_seed(RecordingRequest("nb1010", "usb:298d:1010", {"ppi": "400"}, 1, 1.0)) == {"ppi": "400"}


WRONG = [
    ("v4l2", "v4l2:/dev/video0", {}, "driver 'v4l2' takes no `connect`"),
    ("uru4000", "usb:05ba:000a", {"sed": "1"}, "unknown option 'sed'"),
    ("ef99", "usb:05ba:000a", {}, "there is no driver 'ef99'"),
]


@pytest.mark.parametrize(("driver", "url", "options", "said"), WRONG)
def test_what_cannot_be_recorded_is_said_and_leaves_no_file(
    driver: str, url: str, options: dict[str, str], said: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=f"cannot be recorded: .*{said}"):
        record(RecordingRequest(driver, url, options, 1, 1.0), tmp_path / "recording", silently)
    assert list(tmp_path.iterdir()) == []


class Foreign:
    """The driver of another package, from before there were recordings."""

    def __init__(self, url: str, options: Options) -> None:
        """As the contract said."""


def test_a_driver_of_another_package_that_has_no_connect_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(drivers.SENSORS, "foreign", f"{__name__}:Foreign")
    with pytest.raises(ConfigError, match="driver 'foreign' takes no `connect`"):
        record(RecordingRequest("foreign", "usb:1209:0001", {}, 1, 1.0), tmp_path / "recording", silently)


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RecordedTransport, "write", full)
    with RIGS["ef01"](tmp_path, False) as rig, pytest.raises(AgentError, match="No space left on device"):
        record(wish_of("ef01", rig), tmp_path / "recording", silently)


def test_the_command_says_how_to_play_it_back_and_how_to_delete_it(tmp_path: Path) -> None:
    out = tmp_path / "my finger"
    with RIGS["uru4000"](tmp_path, False) as rig:
        rig.present(1)
        done = CliRunner().invoke(app, ["record", "uru4000", rig.url, "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert f"rm '{out}'" in done.output
    assert "Player(" in done.output
    assert "do not commit it" in done.output


@contextmanager
def recording(driver: str, rig: Rig, out: Path) -> Iterator[subprocess.Popen[str]]:
    """The command as a process of its own, waiting for a finger."""
    options = [part for key, value in rig.options.items() for part in ("--option", f"{key}={value}")]
    command = [sys.executable, "-m", "agent", "record", driver, rig.url, "--out", str(out), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_recording_that_is_interrupted_or_killed_is_whole_until_then(tmp_path: Path) -> None:
    for number, (kill, status) in enumerate([(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)]):
        out = tmp_path / f"recording {number}"
        with RIGS["nb1010"](tmp_path, False) as rig, recording("nb1010", rig, out) as process:
            assert wait_until(lambda out=out: out.exists() and out.read_text().count(" read 83") > 3, PROCESS_S)  # type: ignore[misc]
            process.send_signal(kill)
            said, _ = process.communicate(timeout=PROCESS_S)
            assert process.returncode == status
        assert out.read_text().endswith("\n")
        played(out).sensor().open()
        assert ("interrupted" in said) == (kill == signal.SIGINT)
