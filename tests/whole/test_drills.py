"""A short seed of each drill; `make drill-…` runs them long."""

import random

import pytest

from simulators.kiosk_rig import KioskRig, Watcher
from tests.rigs.umockdev import needs_umockdev
from tests.whole.drills import camera, lost, memory, stop, unplug


def test_nothing_is_lost_when_the_agent_is_killed_the_broker_stopped_and_the_hub_away() -> None:
    result = lost.run(encounters=8, seed=3, away_s=2.0)
    assert result.problems == []
    assert len(result.answered) > 0
    assert len(result.answered) + result.unanswered == 8
    assert result.events >= len(result.answered)
    assert result.mishaps


def test_an_agent_that_ended_by_itself_is_a_problem_of_the_drill_and_no_quick_stop() -> None:
    with KioskRig() as rig:
        drill = lost.Drill(rig, Watcher(rig), random.Random(1), away_s=0.0)
        for _ in range(2):
            assert rig.agent is not None
            rig.agent.kill()
            rig.agent.wait()
            if not drill.result.problems:
                drill._mend()
        assert drill.result.problems == ["the agent ended unexpectedly with status -9"]
        with pytest.raises(RuntimeError, match="ended unexpectedly with status -9"):
            rig.stop_agent()
        assert rig.stop_agent() == 0.0


def test_a_sensor_unplugged_in_the_middle_of_an_image_comes_back() -> None:
    times = 3
    back, seen = unplug.run(times=times, seed=2)
    assert len(back) == times
    assert seen["outcome"] == "lead"
    assert seen["lost_events"] == times


@pytest.mark.parametrize(
    "state", ["waiting for another try", "sensor unplugged", "an enrolment waits", "two clients watch"]
)
def test_it_stops_in_whatever_state_it_is(state: str) -> None:
    assert stop.once(state) < 5.0  # a hang; `make drill-stop` measures


def test_threads_and_files_do_not_grow() -> None:
    seen = memory.run(encounters=12, every=4)
    assert {at["threads"] for _, at in seen[1:]} == {seen[1][1]["threads"]}
    assert seen[-1][1]["files"] <= seen[1][1]["files"]


# A machine under load may read frames late and miss one; `make drill-camera` measures that. None may be wrong.
@pytest.mark.parametrize("via", ["usbip", pytest.param("libusb", marks=needs_umockdev)])
def test_a_camera_streams_byte_for_byte_and_comes_back_whenever_its_cable_is_pulled(via: str) -> None:
    seen = camera.BINDINGS[via](seconds=1.0, unplugs=3, seed=2)
    assert (seen.wrong, len(seen.recovered), seen.threads_left) == (0, 3, 0)
    assert seen.streamed > 10
