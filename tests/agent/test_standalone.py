"""Without a daemon the command line serves its own requests, on the stores and the sensor of the kiosk."""

import json
from pathlib import Path

import pytest
from joserfc.jwk import OKPKey

from agent.config import Config
from agent.encounter.announcements import Announcement
from agent.errors import ControlError, StoreError
from agent.standalone import StandaloneKiosk
from agent.storage.database import StoreMissing
from simulators.sensors.ef01.device import Ef01Settings
from simulators.sensors.ef01.rig import Ef01Rig
from tests.conftest import impression_of
from tests.rigs.scripted_sensor import ScriptedSensor
from tests.rigs.simulated_kiosk import config_of, make_stores


@pytest.fixture(name="config")
def _config(tmp_path: Path) -> Config:
    config = config_of(tmp_path, timeout=0.2)
    make_stores(config)
    return config


def ignore(_: Announcement) -> None:
    """The command prints nothing."""


def test_one_request_runs_on_the_sensor_and_its_announcements_are_given(tmp_path: Path) -> None:
    announced: list[Announcement] = []
    with Ef01Rig(Ef01Settings(), tmp_path / "sensor") as rig:
        rig.show(impression_of(1, 0))
        config = config_of(tmp_path, rig.url, options='model = "R307", poll_s = 0.01')
        make_stores(config)
        with StandaloneKiosk(config, announced.append) as kiosk:
            answer = kiosk.ask("identify", {})
    assert (answer["outcome"], answer["reason"]["code"]) == ("refer", "list_unavailable")
    assert [a.kind for a in announced if a.kind in ("started", "decided")] == ["started", "decided"]


def test_a_command_makes_neither_stores_nor_a_key(tmp_path: Path) -> None:
    for known in (False, True):  # neither is the directory there, nor anything in it
        with pytest.raises(StoreMissing, match=f"{tmp_path}/state: holds no stores yet; the daemon makes them"):
            StandaloneKiosk(config_of(tmp_path), ignore)
        assert list((tmp_path / "state").iterdir() if known else tmp_path.iterdir()) == []
        (tmp_path / "state").mkdir(exist_ok=True)


def test_a_store_that_is_gone_is_not_made_again_by_a_command(config: Config) -> None:
    (config.kiosk.state_dir / "outbox.db").unlink()
    with pytest.raises(StoreMissing, match=r"outbox\.db: does not exist; the daemon makes it when it starts"):
        StandaloneKiosk(config, ignore)
    assert not (config.kiosk.state_dir / "outbox.db").exists()


def test_an_outbox_that_the_agent_wrote_again_when_it_ended_is_no_missing_store(config: Config) -> None:
    (config.kiosk.state_dir / "agent.lock").unlink()
    with StandaloneKiosk(config, ignore):
        assert (config.kiosk.state_dir / "agent.lock").is_file()
    (config.kiosk.state_dir / "agent.lock").unlink()
    (config.kiosk.state_dir / "watchlist.db").unlink()
    with pytest.raises(StoreMissing, match=r"watchlist\.db: does not exist; the daemon makes it when it starts"):
        StandaloneKiosk(config, ignore)


def test_a_command_without_the_kiosk_key_serves_all_that_needs_none(tmp_path: Path) -> None:
    """Systemd gives the key to the daemon only."""
    path = tmp_path / "hub.jwk"
    path.write_text(json.dumps(OKPKey.generate_key("X25519").as_dict(private=False)))
    make_stores(config_of(tmp_path))
    config = config_of(tmp_path, more=f'[hub]\nencryption_key = "{path}"')
    with StandaloneKiosk(config, ignore) as kiosk:
        assert kiosk.ask("outbox", {})["events"] == []
    assert not list(config.kiosk.state_dir.glob("*.pem"))


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
