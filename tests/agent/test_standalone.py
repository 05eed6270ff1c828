"""Without a daemon the command line serves its own requests, on the stores and the sensor of the kiosk."""

from pathlib import Path

import pytest

from agent.config import Config
from agent.encounter.announcements import Announcement
from agent.errors import ControlError, StoreError
from agent.standalone import StandaloneKiosk
from simulators.sensors.ef01.device import Ef01Settings
from simulators.sensors.ef01.rig import Ef01Rig
from tests.conftest import impression_of
from tests.rigs.scripted_sensor import ScriptedSensor
from tests.rigs.simulated_kiosk import config_of


@pytest.fixture(name="config")
def _config(tmp_path: Path) -> Config:
    return config_of(tmp_path, timeout=0.2)


def ignore(_: Announcement) -> None:
    """The command prints nothing."""


def test_one_request_runs_on_the_sensor_and_its_announcements_are_given(tmp_path: Path) -> None:
    announced: list[Announcement] = []
    with Ef01Rig(Ef01Settings(), tmp_path / "sensor") as rig:
        rig.show(impression_of(1, 0))
        config = config_of(tmp_path, rig.url, options='model = "R307", poll_s = 0.01')
        with StandaloneKiosk(config, announced.append) as kiosk:
            answer = kiosk.ask("identify", {})
    assert (answer["outcome"], answer["reason"]["code"]) == ("refer", "list_unavailable")
    assert [a.kind for a in announced if a.kind in ("started", "decided")] == ["started", "decided"]


def test_there_is_no_status_without_a_daemon(config: Config) -> None:
    with StandaloneKiosk(config, ignore) as kiosk, pytest.raises(ControlError, match="no daemon runs on this kiosk"):
        kiosk.ask("status", {})


def test_a_second_owner_of_the_stores_is_refused_until_the_first_has_ended(config: Config) -> None:
    with StandaloneKiosk(config, ignore), pytest.raises(StoreError, match="another agent owns"):
        StandaloneKiosk(config, ignore)
    with StandaloneKiosk(config, ignore) as kiosk:
        assert kiosk.ask("outbox", {})["events"] == []


def test_a_worker_that_crashes_ends_the_request_with_its_reason(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.kiosk.make_sensor", lambda *_: ScriptedSensor([ValueError("a bug")]))
    crash = pytest.raises(ControlError, match="station finger crashed: ValueError: a bug")
    with StandaloneKiosk(config, ignore) as kiosk, crash:
        kiosk.ask("identify", {})
