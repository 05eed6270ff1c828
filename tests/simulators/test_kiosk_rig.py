"""The rig of a complete kiosk: it starts, stops and kills the agent, and says when the agent ends unexpectedly."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.sample import Position
from simulators import kiosk_rig
from simulators.kiosk_rig import KioskRig, Watcher
from simulators.polling import wait_until

SOON_S = 20.0
BOTH = (Position.RIGHT_INDEX, Position.RIGHT_EYE)


@pytest.fixture(scope="module", name="rig")
def _rig() -> Iterator[KioskRig]:
    with KioskRig(positions=BOTH) as rig:
        yield rig


@pytest.fixture(name="running")
def _running(rig: KioskRig) -> KioskRig:
    """The rig with its agent running, whatever the test before did to it."""
    if not rig.running:
        rig.start_agent()
    return rig


def test_a_watcher_sees_an_encounter_of_a_finger_and_an_eye(running: KioskRig) -> None:
    with Watcher(running) as watcher:
        running.press(3, Position.RIGHT_INDEX, 0, None)
        assert watcher.wait_for("started")["direction"] == "entry"
        while watcher.next()["kind"] != "step":
            pass
        running.take_away(Position.RIGHT_INDEX)
        running.look(3, Position.RIGHT_EYE, None)
        assert watcher.wait_for("decided")["outcome"] == "refer"  # there is no list
        running.take_away(Position.RIGHT_EYE)
        watcher.discard_pending()
        with pytest.raises(TimeoutError, match="no announcement from the kiosk"):
            watcher.next(0.05)


def test_a_kiosk_with_lists_fetches_one_that_is_encrypted_for_it() -> None:
    with KioskRig(lists=True) as rig:
        assert rig.lists is not None
        (published,) = rig.lists.publish()
        assert published.readers == 1
        assert rig.client.ask("watchlist-update")["problems"] == {}
        assert [one["name"] for one in rig.client.ask("watchlist-status")["lists"]] == [kiosk_rig.PROVIDER]


def test_a_watcher_goes_on_after_a_restart_of_the_agent(running: KioskRig) -> None:
    received: list[object] = []
    with Watcher(running, received.append):
        running.stop_agent()
        running.start_agent()
        running.press(4, Position.RIGHT_INDEX, 0, None)
        assert wait_until(lambda: len(received) > 0, SOON_S)
        running.lift()


def test_an_agent_that_was_stopped_has_ended_in_time_and_stopping_again_takes_no_time(
    running: KioskRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 0 < running.stop_agent() < kiosk_rig.STOP_S
    assert not running.running
    assert running.stop_agent() == 0.0
    monkeypatch.setattr(kiosk_rig, "READY_S", 0.2)
    with pytest.raises(RuntimeError, match="did not answer the request to watch"), Watcher(running):
        pass  # nobody listens


def test_an_agent_that_ends_unexpectedly_is_an_error(running: KioskRig) -> None:
    assert running.agent is not None
    running.agent.kill()
    running.agent.wait()
    with pytest.raises(RuntimeError, match="ended unexpectedly with status -9"):
        running.stop_agent()


def test_an_agent_that_does_not_end_or_ends_badly_is_an_error(
    running: KioskRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kiosk_rig, "STOP_S", 0.2)
    with pytest.raises(RuntimeError, match=r"did not end within 0 s of SIGSTOP"):
        running.stop_agent(signal.SIGSTOP)
    running.start_agent()
    monkeypatch.setattr(kiosk_rig, "STOP_S", 10.0)
    with pytest.raises(RuntimeError, match="the agent ended with status -10"):
        running.stop_agent(signal.SIGUSR1)


def test_an_agent_that_does_not_start_is_an_error_with_the_end_of_its_log(running: KioskRig, tmp_path: Path) -> None:
    running.stop_agent()
    good, bad = running.config, tmp_path / "bad.toml"
    bad.write_text("[kiosk]\n")
    running.config = bad
    with pytest.raises(RuntimeError, match=r"the agent did not start:\n(.|\n)*missing key plan"):
        running.start_agent()
    running.config = good


def test_a_kiosk_without_eyes_in_its_plan_has_no_camera(rig: KioskRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rig, "camera", None)
    with pytest.raises(RuntimeError, match="this kiosk has no camera"):
        rig.look(3, Position.RIGHT_EYE, None)
