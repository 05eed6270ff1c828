"""Short runs of the drills. `make drill-NAME` runs the long ones."""

import random
import sys
from pathlib import Path

import pytest

from simulators.kiosk_rig import KioskRig, Watcher
from tests.rigs.umockdev import needs_umockdev
from tests.whole.drills import camera, conformance, lost, memory, stop, unplug, watchlist


def test_no_event_is_lost_when_agent_broker_or_hub_stop() -> None:
    result = lost.run(encounters=8, seed=3, away_s=2.0)
    assert result.problems == []
    assert len(result.answered) > 0
    assert len(result.answered) + result.unanswered == 8
    assert result.events >= len(result.answered)
    assert result.disturbances


def test_an_agent_that_ends_unexpectedly_is_a_problem_and_not_a_quick_stop() -> None:
    with KioskRig() as rig:
        drill = lost.Drill(rig, Watcher(rig), random.Random(1), away_s=0.0)
        for _ in range(2):
            assert rig.agent is not None
            rig.agent.kill()
            rig.agent.wait()
            if not drill.result.problems:
                drill._restart()
        assert drill.result.problems == ["the agent ended unexpectedly with status -9"]
        with pytest.raises(RuntimeError, match="ended unexpectedly with status -9"):
            rig.stop_agent()
        assert rig.stop_agent() == 0.0


def test_a_sensor_that_was_unplugged_during_an_image_is_opened_again() -> None:
    times = 3
    back, seen = unplug.run(times=times, seed=2)
    assert len(back) == times
    assert seen["outcome"] == "lead"
    assert seen["lost_events"] == times


@pytest.mark.parametrize(
    "state", ["waiting for another try", "sensor unplugged", "an enrolment waits", "two clients watch"]
)
def test_the_agent_stops_in_every_state(state: str) -> None:
    assert stop.stop_in(state) < 5.0  # finds a hang; `make drill-stop` measures the time


def test_the_numbers_of_threads_and_files_do_not_grow() -> None:
    readings = memory.run(encounters=12, every=4)
    assert {at["threads"] for _, at in readings[1:]} == {readings[1][1]["threads"]}
    assert readings[-1][1]["files"] <= readings[1][1]["files"]


# A loaded computer may read frames late and miss one; `make drill-camera` measures that. No frame may be wrong.
@pytest.mark.parametrize("via", ["usbip", pytest.param("libusb", marks=needs_umockdev)])
def test_a_camera_streams_correct_frames_and_recovers_after_each_unplugging(via: str) -> None:
    measured = camera.BINDINGS[via](seconds=1.0, unplugs=3, seed=2)
    assert (measured.wrong, len(measured.recovered), measured.threads_left) == (0, 3, 0)
    assert measured.streamed > 10


def test_an_update_that_ends_anywhere_leaves_the_old_or_the_new_lists() -> None:
    result = watchlist.run(ends=8, seed=4, size=30)
    assert result.problems == []
    assert result.ends.total() == 8


# A suite of the same layout; the public one is not here. One test drives our client, the others must count as problems.
SUITE = """
import subprocess
import pytest

def test_client(pytestconfig, tmp_path):
    (tmp_path / "root").write_bytes(b"{}")
    command = [pytestconfig.getoption("--entrypoint"), "--metadata-dir", tmp_path, "init", tmp_path / "root"]
    assert subprocess.run(command).returncode == 0

@pytest.mark.xfail
def test_known():
    raise ValueError

def test_bad():
    raise ValueError
"""


def test_every_test_of_the_conformance_suite_must_pass(tmp_path: Path) -> None:
    tests = tmp_path / "tuf_conformance"
    tests.mkdir()
    (tests / "conftest.py").write_text("def pytest_addoption(parser): parser.addoption('--entrypoint')")
    (tests / "test_one.py").write_text(SUITE)
    problems = conformance.run_suite(tmp_path, Path(sys.executable), tmp_path, fewest=4)
    assert problems == ["test_known: skipped", "test_bad: failure", "only 3 tests ran; the suite has at least 4"]
    assert not list(tmp_path.glob("*.xfails"))


def test_a_conformance_suite_that_does_not_run_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert conformance.run_suite(tmp_path, Path("/bin/false"), tmp_path, fewest=1) == [
        "the suite ended with status 1 and without a report"
    ]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert conformance.main(["--suite", str(tmp_path)]) == 1
