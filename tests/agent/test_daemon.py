"""The daemon as its own process, with a real broker, the simulated hub and a simulated sensor."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from agent import daemon as daemon_module
from agent.config import parse
from agent.control.protocol import ControlClient
from agent.daemon import Daemon
from agent.errors import ControlError
from agent.events.event import SensorState
from agent.hub.link import HubLink
from simulators.hub.hub import HubSimulator
from simulators.kiosk_rig import KioskRig, Watcher
from simulators.polling import wait_until
from simulators.sensors.ef01.device import Ef01Settings
from simulators.sensors.ef01.rig import Ef01Rig
from tests.conftest import impression_of
from tests.rigs.networks import Resolver
from tests.rigs.scripted_sensor import ScriptedSensor
from tests.rigs.simulated_kiosk import config_of
from tests.whole.drills.fingers import LISTED, enrol, run_encounter
from tests.whole.drills.stop import children

SOON = 20.0


@pytest.fixture(scope="module", name="rig")
def _rig() -> Iterator[KioskRig]:
    with KioskRig() as rig:
        with Watcher(rig) as watcher:
            enrol(rig, watcher)
        yield rig


@pytest.fixture(name="running")
def _running(rig: KioskRig) -> KioskRig:
    """The rig with its daemon up, whatever the test before did to it."""
    if not rig.running:
        rig.start_agent()
    return rig


def leads(hub: HubSimulator) -> int:
    return sum(event["class"] == "lead" for event in hub.events())


def kiosk_agent(rig: KioskRig, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "agent", *arguments]
    env = os.environ | {"KIOSK_AGENT_CONFIG": str(rig.config), "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=env, check=False)


def test_a_listed_traveller_becomes_a_lead_at_the_hub(running: KioskRig) -> None:
    with Watcher(running) as watcher:
        decided = run_encounter(running, watcher, LISTED, 1)
    assert decided["outcome"] == "lead"
    assert running.hub.wait(lambda hub: leads(hub) > 0, SOON)
    lead = [json.loads(e["body"]) for e in running.hub.events() if e["class"] == "lead"][-1]
    assert lead["candidates"][0]["reference_id"] == f"person-{LISTED}"
    assert running.hub.invalid() == []


def test_the_enrolment_reached_the_hub_sealed_and_signed(running: KioskRig) -> None:
    assert running.hub.wait(lambda hub: any(e["class"] == "enrolment" for e in hub.events()), SOON)
    made = next(json.loads(e["body"]) for e in running.hub.events() if e["class"] == "enrolment")
    templates = json.loads(running._keys.unseal(made["sealed"]))["templates"]
    assert [t["position"] for t in templates] == ["right_index"]


COMMANDS: dict[tuple[str, ...], str] = {
    ("status",): "kiosk demo-port/kiosk-1 online",
    ("status", "--json"): '"kiosk": "kiosk-1"',
    ("sensors",): "ready",
    ("check-config",): "good",
    ("watchlist", "list"): "person-0",
    ("outbox",): "events wait for the hub",
}


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_the_command_line_reaches_the_daemon(running: KioskRig, arguments: tuple[str, ...]) -> None:
    done = kiosk_agent(running, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert COMMANDS[arguments] in done.stdout


def test_removing_a_reference_takes_it_from_the_list(running: KioskRig) -> None:
    with Watcher(running) as watcher:
        enrol(running, watcher, 2)
        done = kiosk_agent(running, "watchlist", "remove", "person-2")
        assert "removed" in done.stdout
        assert run_encounter(running, watcher, 2, 3)["outcome"] == "clear"
    again = kiosk_agent(running, "watchlist", "remove", "person-2")
    assert again.returncode == 1
    assert "no reference person-2" in again.stderr


def test_capture_says_that_the_daemon_holds_the_device(running: KioskRig) -> None:
    done = kiosk_agent(running, "capture", "ef01", running.sensor.url)
    assert done.returncode == 1
    assert "stop the daemon first" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_second_daemon_is_refused(running: KioskRig) -> None:
    done = kiosk_agent(running, "run")
    assert done.returncode == 1
    assert "another agent owns this kiosk's stores" in done.stderr
    assert running.client.ask("status")["kiosk"] == "kiosk-1"


def test_after_kill_9_the_hub_hears_of_it_and_the_next_start_goes_on(running: KioskRig) -> None:
    running.kill_agent()
    assert running.hub.wait_for_state("offline", SOON)
    running.start_agent()
    assert running.hub.wait_for_state("online", SOON)
    with Watcher(running) as watcher:
        assert run_encounter(running, watcher, LISTED, 2)["outcome"] == "lead"


def test_sigterm_ends_it_in_order_and_leaves_nothing(running: KioskRig) -> None:
    assert running.agent is not None
    assert children(running.agent.pid) == []
    running.stop_agent()  # raises unless it ended with status 0
    assert not (running.folder / "control.sock").exists()
    assert running.hub.wait_for_state("offline", SOON)


def test_without_a_daemon_the_command_line_opens_the_stores_itself(running: KioskRig) -> None:
    assert wait_until(lambda: not any(running.client.ask("status")["outbox_pending"].values()), SOON)
    running.stop_agent()
    listed = kiosk_agent(running, "watchlist", "list")
    assert listed.returncode == 0, listed.stderr
    assert f"person-{LISTED}" in listed.stdout
    running.sensor.show(impression_of(LISTED, 4))
    found = kiosk_agent(running, "identify")
    running.lift()
    assert found.returncode == 0, found.stderr
    assert f"reference person-{LISTED}" in found.stdout
    assert "1 lead" in kiosk_agent(running, "outbox").stdout
    assert kiosk_agent(running, "status").returncode == 1
    before = leads(running.hub)
    running.start_agent()
    assert running.hub.wait(lambda hub: leads(hub) == before + 1, SOON)


def test_a_sample_is_taken_without_a_daemon(running: KioskRig, tmp_path: Path) -> None:
    running.stop_agent()
    running.sensor.show(impression_of(1, 1))
    path = tmp_path / "x.png"
    done = kiosk_agent(running, "capture", "ef01", running.sensor.url, "--out", str(path))
    running.lift()
    assert done.returncode == 0, done.stderr
    assert "256x288 at 500 ppi, 4 bit" in done.stdout
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_worker_that_crashes_ends_the_process_with_its_reason(
    running: KioskRig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before = threading.enumerate()
    text = running.config.read_text(encoding="utf-8").replace(str(running.folder), str(tmp_path))
    text = text.replace(f'encryption_key = "{tmp_path}/hub.pub.json"', "")
    monkeypatch.setattr("agent.kiosk.make_sensor", lambda *_: ScriptedSensor([ValueError("a bug")]))
    assert Daemon(parse(text, "test")).run() == 1
    assert "ending because worker station finger crashed: ValueError: a bug" in caplog.text
    assert [t.name for t in threading.enumerate() if t not in before] == []


def test_it_serves_requests_and_puts_a_health_event_for_a_lost_sensor_until_sigterm(tmp_path: Path) -> None:
    """In this process: the others run it as a process of its own."""
    failures: list[Exception] = []

    def use(sensor: Ef01Rig, client: ControlClient) -> None:
        try:
            assert wait_until(lambda: answers(client), SOON)
            status = client.ask("status")
            assert (status["kiosk"], status["status"]) == ("k1", "online")
            announced: list[dict[str, Any]] = []
            assert client.ask("identify", {}, announced.append)["outcome"] == "refer"
            assert announced[-1]["kind"] == "decided"
            sensor.server.unplug()
            assert wait_until(lambda: client.ask("status")["outbox_pending"]["health"] > 0, SOON)
            assert client.ask("status")["sensors"]["finger"]["state"] == "fault"
        except Exception as error:  # noqa: BLE001 - reported by the test
            failures.append(error)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    with Ef01Rig(Ef01Settings(), tmp_path / "port") as sensor:
        config = config_of(tmp_path, sensor.url, options='model = "R307", poll_s = 0.01', timeout=0.2)
        user = threading.Thread(target=use, args=(sensor, ControlClient(config.kiosk.control_socket)))
        daemon = Daemon(config)
        user.start()
        assert daemon.run() == 0
        user.join(SOON)
    assert failures == []


def test_silent_name_servers_disturb_nobody_and_clear_text_is_loud(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    resolver = Resolver(monkeypatch)
    hub: dict[str, Any] = {}

    def use(client: ControlClient) -> None:
        try:
            assert wait_until(lambda: resolver.calls > 0 and answers(client, "degraded"), SOON)
            hub.update(client.ask("status")["hub"])
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    config = config_of(tmp_path, more='[hub]\nhost = "hub.example.org"\ninsecure = true\n')
    user = threading.Thread(target=use, args=(ControlClient(config.kiosk.control_socket),))
    daemon = Daemon(config)
    user.start()
    assert daemon.run() == 0
    user.join(SOON)
    resolver.release.set()
    assert (hub["connected"], hub["clear_text"], hub["refused"]) == (False, True, {})
    assert hub["silent_s"] < 5
    assert "CLEAR TEXT: events cross the network without TLS" in caplog.text


def answers(client: ControlClient, status: str = "online") -> bool:
    try:
        return bool(client.ask("status")["status"] == status)
    except ControlError:
        return False


def test_a_wrong_configuration_is_told_apart_by_its_status(rig: KioskRig, tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text(rig.config.read_text(encoding="utf-8") + "\n[polices]\n", encoding="utf-8")
    done = kiosk_agent(rig, "run", "--config", str(bad))
    assert done.returncode == 78
    assert "unknown key polices" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_driver_that_is_not_there_is_named(rig: KioskRig, tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text(rig.config.read_text(encoding="utf-8").replace('"ef01"', '"ef02"'), encoding="utf-8")
    done = kiosk_agent(rig, "check-config", "--config", str(bad))
    assert done.returncode == 78
    assert "sensors.finger" in done.stderr
    assert "ef01" in done.stderr


def test_systemd_hears_ready_status_watchdog_and_stopping(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(SOON)
        heard: list[str] = []
        told = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "300000"}
        with KioskRig(environment=told) as rig:
            while not {"READY=1", "WATCHDOG=1"} <= set(heard):
                heard += manager.recv(1000).decode().splitlines()
            rig.stop_agent()
        while "STOPPING=1" not in heard:
            heard += manager.recv(1000).decode().splitlines()
    assert any(line.startswith("STATUS=") for line in heard)


def test_a_stuck_worker_starves_the_watchdog() -> None:
    fed: list[Any] = []

    class Stuck:
        name, silent_for, patience_s = "lane", 11.0, 10.0

    class Well:
        name, silent_for, patience_s = "hub", 1.0, 10.0

    class Notifier:
        def watchdog(self) -> None:
            fed.append("watchdog")

        def status(self, _: str) -> None:
            fed.append("status")

    class Hub:
        name, silent_for, patience_s = "hub", 1e9, HubLink.patience_s

    for workers, expected in (([Well(), Hub()], ["watchdog", "status"]), ([Well(), Stuck()], [])):
        fed.clear()
        fake = type("Fake", (), {"workers": workers, "_notifier": Notifier(), "_summary": lambda *_: ""})()
        Daemon._feed_watchdog(fake, None)  # type: ignore[arg-type]
        assert fed == expected


def test_sigint_ends_it_too(running: KioskRig) -> None:
    running.stop_agent(signal.SIGINT)  # raises unless it ended with status 0


def test_no_biometric_byte_reaches_the_log(running: KioskRig) -> None:
    assert wait_until(lambda: running.running, SOON)
    log = running.log.read_bytes()
    assert b"ready" in log
    assert b"person-" not in log
    assert max(len(line) for line in log.splitlines()) < 1000


def test_every_state_of_a_sensor_has_its_health() -> None:
    states = get_args(SensorState.model_fields["state"].annotation)
    assert set(daemon_module._HEALTH) == set(states)


def test_stores_that_are_deleted_below_it_are_noticed_and_the_events_that_wait_are_kept(running: KioskRig) -> None:
    epoch = running.client.ask("outbox")["epoch"]
    shutil.rmtree(running.folder / "state")
    assert "outbox_pending" in running.client.ask("status")  # answered, and no new empty outbox is made for it
    assert wait_until(lambda: not running.running, SOON)
    assert running.ended_with == 1  # systemd starts it again
    running.agent = None
    log = running.log.read_text()
    assert "deleted or replaced while the agent runs: the agent ends, and systemd starts it again" in log
    assert "outbox.db was written again" in log
    running.start_agent()
    assert running.client.ask("outbox")["epoch"] == epoch
