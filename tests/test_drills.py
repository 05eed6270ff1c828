"""A short seed of each drill; `make drill-…` runs them long."""

from tests.drills import lost, memory, stop, unplug


def test_nothing_is_lost_when_the_agent_is_killed_the_broker_stopped_and_the_hub_away() -> None:
    result = lost.run(encounters=8, seed=3, away_s=2.0)
    assert result.problems == []
    assert len(result.answered) + result.unanswered == 8
    assert result.events >= len(result.answered)
    assert result.mishaps


def test_a_sensor_unplugged_in_the_middle_of_an_image_comes_back() -> None:
    back, seen = unplug.run(times=3, seed=2)
    assert len(back) == 3
    assert seen["outcome"] == "lead"
    assert seen["lost_events"] == 3


def test_it_stops_while_a_traveller_is_asked_again_and_with_the_sensor_gone() -> None:
    for state in ("waiting for another try", "sensor unplugged"):
        assert stop.once(state) < 5.0  # a hang; `make drill-stop` measures


def test_threads_and_files_do_not_grow() -> None:
    seen = memory.run(encounters=12, every=4)
    assert {at["threads"] for _, at in seen[1:]} == {seen[1][1]["threads"]}
    assert seen[-1][1]["files"] <= seen[1][1]["files"]
