"""The parts of one kiosk: what a check refuses, who owns the stores, and how the parts are made and stopped."""

import json
import shutil
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from joserfc.jwk import OKPKey

from agent.clock import SystemClock
from agent.config import Config
from agent.encounter.announcements import Announcement
from agent.encounter.best_frame import BestFrameSensor
from agent.errors import AgentError, ConfigError, StoreError
from agent.events.event import EventClass
from agent.keys import STORE_DEVELOPMENT_FILE, KeyMissing, load_kiosk_key
from agent.kiosk import (
    Kiosk,
    check_files,
    check_parts,
    find_store_key,
    load_encoders,
    load_sealer,
    make_sensor,
    make_station,
    open_outbox,
    open_watchlist,
    presence_checks,
)
from agent.storage.database import StoreDamaged, open_store
from agent.storage.encryption import is_plain
from drivers.sample import Modality, Position
from models.encoder import Flaw
from models.manifest import ModelError
from simulators.hub.keys import HubKeys
from tests.conftest import finger_encoder, impression_of
from tests.rigs.certificates import Authority
from tests.rigs.earlier_store import leave, make_outbox
from tests.rigs.scripted_sensor import sample_of
from tests.rigs.simulated_kiosk import config_of
from tests.rigs.store_key import OTHER_KEY


def ignore(*_: object) -> None:
    """Nobody wants to know."""


def hub_key(folder: Path) -> tuple[Path, OKPKey]:
    key = OKPKey.generate_key("X25519")
    path = folder / "hub.jwk"
    path.write_text(json.dumps(key.as_dict(private=False)))
    return path, key


def tls_and_key(folder: Path) -> str:
    authority = Authority(folder, "ca")
    certificate, key = authority.issue("kiosk")
    tls = f'[hub.tls]\nca = "{authority.path}"\ncertificate = "{certificate}"\nkey = "{key}"'
    return f'[hub]\nencryption_key = "{hub_key(folder)[0]}"\n{tls}'


def test_a_check_passes_without_touching_device_store_or_network(tmp_path: Path) -> None:
    config = config_of(tmp_path, more=tls_and_key(tmp_path))
    check_files(config)
    check_parts(config)
    assert not (tmp_path / "state").exists()


WRONG: dict[str, tuple[dict[str, str], str]] = {
    "driver": ({"driver": "ef99"}, "sensors.finger: there is no driver 'ef99'"),
    "option": ({"options": "colour = 3"}, "sensors.finger: .*colour"),
    "group": ({"kiosk": 'control_group = "no-such-group"'}, "there is no group 'no-such-group'"),
    "hub key": ({"more": '[hub]\nencryption_key = "/nowhere.jwk"'}, "/nowhere.jwk: cannot be read"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_check_refuses_what_a_start_would_refuse(tmp_path: Path, case: str) -> None:
    changed, reason = WRONG[case]
    config = config_of(tmp_path, **changed)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=reason):
        _check(config)


def _check(config: Config) -> None:
    check_files(config)
    check_parts(config)


def test_a_model_that_cannot_be_used_is_a_configuration_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ModelError("leader.onnx: is not the file of the manifest")

    monkeypatch.setattr("agent.kiosk.load_encoder", refuse)
    with pytest.raises(ConfigError, match=r"leader\.onnx"):
        load_encoders(config_of(tmp_path))


def test_each_modality_of_the_plan_has_an_encoder(tmp_path: Path) -> None:
    assert list(load_encoders(config_of(tmp_path))) == [Modality.FINGER]


def test_a_camera_is_read_through_a_best_frame_sensor_whose_hints_are_announced(tmp_path: Path) -> None:
    announced: list[Announcement] = []
    config = config_of(tmp_path, "usb:1209:0001", driver="uvc", position="right_eye")
    assert make_sensor(config, "finger").streams
    station = make_station(config, "finger", announced.append, ignore, ignore)
    assert isinstance(station._sensor, BestFrameSensor)
    station._sensor._guide(Flaw.BLURRED, Position.RIGHT_EYE)
    assert [a.kind for a in announced] == ["told"]


def test_biometric_payloads_are_sealed_for_the_configured_hub_key(tmp_path: Path) -> None:
    assert load_sealer(config_of(tmp_path)) is None
    path, key = hub_key(tmp_path)
    config = config_of(tmp_path, more=f'[hub]\nencryption_key = "{path}"')
    seal = load_sealer(config)
    assert seal is not None
    kiosk = load_kiosk_key(config.kiosk.state_dir, {})
    assert HubKeys(key, [kiosk.public()]).unseal(seal(b"templates")) == b"templates"


@pytest.fixture(name="config")
def _config(tmp_path: Path) -> Config:
    return config_of(tmp_path)


def test_it_owns_its_stores_until_it_is_stopped(config: Config) -> None:
    kiosk = Kiosk(config, ignore, ignore, ignore)
    with pytest.raises(StoreError, match="another agent owns this kiosk's stores"):
        Kiosk(config, ignore, ignore, ignore)
    assert [worker.name for worker in kiosk.workers] == ["watchlist", "station finger", "lane"]
    kiosk.start()
    kiosk._on_usb_change()  # a station that is waiting for its device tries again
    assert all(worker.alive for worker in kiosk.workers)
    assert kiosk.stop(10)
    with (
        closing(open_watchlist(config, SystemClock(), kiosk.store_key)) as watchlist,
        open_outbox(config, kiosk.store_key) as outbox,
    ):
        assert watchlist.references() == ()
        assert sum(outbox.counts().values()) == 0


def test_stores_that_cannot_be_opened_are_an_error_before_anything_starts(config: Config) -> None:
    config.kiosk.state_dir.mkdir(parents=True)
    (config.kiosk.state_dir / "watchlist.db").write_text("not a database" * 100)
    for _ in range(2):  # the lock was released
        with pytest.raises(AgentError, match=r"watchlist\.db"):
            Kiosk(config, ignore, ignore, ignore)


def start(config: Config, *, create: bool = True) -> None:
    assert Kiosk(config, ignore, ignore, ignore, create=create).stop(10)


def test_without_its_store_key_a_kiosk_does_not_start_and_overwrites_nothing(config: Config, tmp_path: Path) -> None:
    start(config)
    key = config.kiosk.state_dir / STORE_DEVELOPMENT_FILE
    kept = key.rename(tmp_path / "kept")
    before = contents(config)
    with pytest.raises(KeyMissing, match=r"watchlist\.db, .*outbox\.db: encrypted, .* no store key: give the unit the"):
        start(config)
    with pytest.raises(KeyMissing, match="only the daemon has it: start the daemon"):
        start(config, create=False)
    check_files(config)  # which is not the daemon, and so has no key
    assert contents(config) == before
    kept.rename(key)
    start(config)


def test_with_another_store_key_a_kiosk_does_not_start_and_overwrites_nothing(config: Config) -> None:
    start(config)
    key = config.kiosk.state_dir / STORE_DEVELOPMENT_FILE
    right = key.read_text()
    key.write_text(OTHER_KEY.secret.hex())
    before = contents(config)
    for attempt in (start, check_files):
        with pytest.raises(ConfigError, match=r"outbox\.db: encrypted with another store key than the one given: give"):
            attempt(config)
    assert contents(config) == before
    key.write_text(right)
    start(config)


def contents(config: Config) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in config.kiosk.state_dir.iterdir()}


def test_an_outbox_of_another_kiosk_is_named_and_stays(config: Config, tmp_path: Path) -> None:
    start(config)
    path = config.kiosk.state_dir / "outbox.db"
    before = path.read_bytes()
    open_store(tmp_path / "theirs.db", "outbox", (), key=OTHER_KEY).close()
    shutil.copy(tmp_path / "theirs.db", path)
    with pytest.raises(StoreDamaged, match=r"outbox\.db: is encrypted with another key, or damaged or changed"):
        start(config)
    path.write_bytes(before)
    theirs = config.model_copy(update={"kiosk": config.kiosk.model_copy(update={"name": "k2"})})
    with pytest.raises(StoreError, match="of the kiosk s1/k1, not of s1/k2"):
        start(theirs)
    start(config)


def test_a_watchlist_of_another_kiosk_is_set_aside_and_the_kiosk_works_on(
    config: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its lists come again from their providers; only they say who is searched."""
    start(config)
    path = config.kiosk.state_dir / "watchlist.db"
    open_store(tmp_path / "theirs.db", "watchlist", (), key=OTHER_KEY).close()
    shutil.copy(tmp_path / "theirs.db", path)
    start(config)
    assert "encrypted with another key, or damaged or changed" in caplog.text
    assert list(path.parent.glob("watchlist.db.damaged-*"))
    start(config)


def test_the_stores_of_an_earlier_release_are_encrypted_by_the_daemon_only(config: Config, tmp_path: Path) -> None:
    made, path = tmp_path / "outbox.db", config.kiosk.state_dir / "outbox.db"
    leave(make_outbox(made, [b"a lead"]), made, path, killed=False)
    (config.kiosk.state_dir / "agent.lock").touch()
    check_files(config)
    with pytest.raises(
        StoreError, match=r"outbox\.db: is of an earlier release and not encrypted yet: start the daemon"
    ):
        start(config, create=False)
    assert is_plain(path)
    start(config)
    assert not is_plain(path)
    with open_outbox(config, find_store_key(config)) as outbox:
        assert [stored.event.body for stored in outbox.pending(EventClass.LEAD, 10)] == [b"a lead"]


def test_a_store_that_cannot_be_read_is_named(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    start(config)

    def unreadable(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("agent.kiosk.is_plain", unreadable)
    with pytest.raises(ConfigError, match=r"watchlist\.db: cannot be read: Permission denied"):
        find_store_key(config)


def test_a_state_directory_that_cannot_be_made_is_named(config: Config) -> None:
    config.kiosk.state_dir.write_text("a file")
    with pytest.raises(ConfigError, match="state: cannot be read: Not a directory"):
        Kiosk(config, ignore, ignore, ignore)


def test_a_fingerprint_sensor_is_judged_by_its_images_and_a_sensor_without_a_step_is_not_missed(tmp_path: Path) -> None:
    spare = '[sensors.spare]\ndriver = "ef01"\nurl = "serial:/dev/null"\n'
    camera = '[sensors.camera]\ndriver = "uvc"\nurl = "usb:04b4:00f9"\n'
    config = config_of(tmp_path, more=f"{spare}{camera}[presence]\nunused_after_s = 1e-9")
    checks = presence_checks(config, {Modality.FINGER: finger_encoder()}, ignore)
    blank, finger = np.full((288, 256), 240, np.uint8), impression_of(1, 1)
    for name in ("finger", "spare"):
        seen = [checks[name].shows_somebody(sample_of(image)) for image in (blank, finger)]
        assert seen == [False, True]
    assert checks["camera"].shows_somebody(sample_of(blank))  # the BestFrameSensor has judged already
    suspicion = checks["finger"].monitor.suspicion()
    assert suspicion is not None
    assert suspicion.state == "never_present"
    assert checks["spare"].monitor.suspicion() is None
