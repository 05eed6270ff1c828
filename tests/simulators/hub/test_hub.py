"""The simulated hub keeps each event once, in order, and acknowledges what is durable."""

import dataclasses
import json
import os
import queue
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc.jwk import OKPKey
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.events.event import AcknowledgementMessage, EventClass, Health, KioskState, Tombstone
from agent.hub.sealing import seal
from agent.keys import KioskKey
from simulators.hub import hub as hub_module
from simulators.hub.broker import HOST, Broker, free_port
from simulators.hub.hub import HubSimulator
from simulators.hub.keys import HubKeys
from simulators.hub.rules import Message
from simulators.hub.store import rows
from simulators.polling import wait_until
from tests.rigs.event_path import needs_mosquitto
from tests.rigs.events import encounter, enrolment, event, health, lead, raw
from tests.rigs.hub_messages import EPOCH, changed, leads, message

HUB_KEY = OKPKey.generate_key("X25519")


class Sender:
    """A plain MQTT client in the place of a kiosk, so that it can send what no kiosk would."""

    def __init__(self, port: int) -> None:
        self.held: list[object] = []
        self.answers: queue.SimpleQueue[tuple[str, str, int]] = queue.SimpleQueue()
        self.subscribed: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="sender", protocol=mqtt.MQTTv5)
        self.client.on_connect = lambda client, *_: client.subscribe("bio/v1/s1/k1/ack", qos=1)
        self.client.on_subscribe = lambda *_: self.subscribed.put(True)
        self.client.on_message = self.on_message
        self.client.connect(HOST, port)
        self.client.loop_start()
        assert self.subscribed.get(timeout=5)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def on_message(self, _: object, __: object, arrived: mqtt.MQTTMessage) -> None:
        content = json.loads(arrived.payload)
        AcknowledgementMessage.model_validate(content)
        self.held.append(content.get("held"))
        self.answers.put((content["epoch"], content["class"], content["sequence"]))

    def send(self, *messages: Message) -> None:
        for given in messages:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.UserProperty = list(given.attributes.items())
            if given.content_type:
                properties.ContentType = given.content_type
            self.client.publish(given.topic, given.body, qos=1, properties=properties)

    def answer(self) -> tuple[str, str, int]:
        return self.answers.get(timeout=5)

    def answered(self, sequence: int) -> bool:
        """Wait until the answer says so much; earlier answers may say less."""
        while (answer := self.answer())[2] < sequence:
            pass
        return answer[2] == sequence


@pytest.fixture(name="port", scope="module")
def _port() -> Iterator[int]:
    with Broker(mosquitto=False) as broker:
        yield broker.port


@pytest.fixture(name="lines")
def _lines() -> list[str]:
    return []


@pytest.fixture(name="hub")
def _hub(port: int, lines: list[str]) -> Iterator[HubSimulator]:
    with HubSimulator(port, print_line=lines.append, keys=HubKeys(HUB_KEY)) as hub:
        yield hub


@pytest.fixture(name="sender")
def _sender(port: int, hub: HubSimulator) -> Iterator[Sender]:
    sender = Sender(port)
    yield sender
    sender.close()


def sequences(hub: HubSimulator) -> list[int]:
    return [row["sequence"] for row in hub.events()]


def test_duplicates_are_counted_answered_and_kept_once(hub: HubSimulator, sender: Sender) -> None:
    sender.send(*leads(1, 2, 2, 1, 3))
    assert sender.answered(3)
    sender.send(*leads(2))
    assert sender.answer() == (EPOCH, "lead", 3)
    assert sequences(hub) == [1, 2, 3]
    assert hub.progress()[0].duplicates == 3


def test_what_comes_early_waits_to_be_sent_again(hub: HubSimulator, sender: Sender) -> None:
    sender.send(*leads(1, 3))
    assert sender.answered(1)
    sender.send(*leads(2, 3))
    assert sender.answered(3)
    assert sequences(hub) == [1, 2, 3]
    assert hub.progress()[0].early == 1


def test_an_invalid_event_is_kept_apart_and_does_not_hold_up_the_next(hub: HubSimulator, sender: Sender) -> None:
    first, second, third = leads(1, 2, 3)
    sender.send(first, changed(second, time="yesterday"), third)
    assert sender.answered(3)
    assert sequences(hub) == [1, 3]
    assert [row["reason"] for row in hub.invalid()] == ["time is missing or malformed"]


def test_a_message_without_a_key_is_recorded_and_not_answered(hub: HubSimulator, sender: Sender) -> None:
    (good,) = leads(1)
    sender.send(changed(good, id="nonsense"), good)
    assert sender.answer() == (EPOCH, "lead", 1)
    assert len(hub.invalid()) == 1
    assert len(hub.events()) == 1


def test_epochs_and_classes_are_counted_apart(hub: HubSimulator, sender: Sender) -> None:
    other = "f" * 16
    sender.send(*leads(1), message(event(lead()), 1, epoch=other), message(event(health()), 1))
    assert {sender.answer() for _ in range(3)} == {(EPOCH, "lead", 1), (other, "lead", 1), (EPOCH, "health", 1)}
    assert len(hub.events()) == 3


@pytest.mark.parametrize(("claim", "lost"), [("4", 4), ("9" * 18, 4), ("9" * 100, 0), ("-1", 0), ("x", 0), (None, 0)])
def test_a_kiosk_may_say_what_was_acknowledged_but_not_more_than_that(
    hub: HubSimulator, sender: Sender, claim: str | None, lost: int
) -> None:
    sender.send(changed(leads(5)[0], acknowledged=claim))
    assert sender.answer() == (EPOCH, "lead", 5 if lost else 0)
    assert hub.progress()[0].lost == lost


def test_a_tombstone_takes_its_place(hub: HubSimulator, sender: Sender) -> None:
    gone = message(raw(EventClass.HEALTH, b"", "h-1"), 1, tombstone=Tombstone.SHED)
    sender.send(dataclasses.replace(gone, content_type=None), message(event(health()), 2))
    assert sender.answered(2)
    assert [row["tombstone"] for row in hub.events()] == ["shed", None]


def sealed_enrolment(kiosk: KioskKey, sequence: int) -> Message:
    public = OKPKey.import_key(HUB_KEY.as_dict(private=False))
    return message(event(enrolment(seal(b"templates", kiosk, public)), f"r-{sequence}"), sequence)


def test_an_event_that_cannot_be_verified_is_not_acknowledged_until_its_kiosk_is_known(
    hub: HubSimulator, sender: Sender, lines: list[str]
) -> None:
    known, unknown = KioskKey(Ed25519PrivateKey.generate()), KioskKey(Ed25519PrivateKey.generate())
    assert hub.keys is not None
    hub.keys.trust(known.public())
    sender.send(sealed_enrolment(known, 1), sealed_enrolment(unknown, 2), sealed_enrolment(known, 3))
    assert hub.wait(lambda h: bool(h.progress()) and h.progress()[0].early == 1, 5)
    assert sender.answered(1)
    assert sequences(hub) == [1]
    assert hub.invalid() == []
    assert [(row["sequence"], row["reason"]) for row in hub.held()] == [(2, "unknown_kiosk_key")]
    assert "HELD: is not signed by a known kiosk" in "".join(lines)
    hub.keys.trust(unknown.public())
    sender.send(sealed_enrolment(unknown, 2), sealed_enrolment(known, 3))
    assert sender.answered(3)
    assert sequences(hub) == [1, 2, 3]
    assert sender.held[-1] is None


def test_the_acknowledgement_says_which_event_is_held_and_why(hub: HubSimulator, sender: Sender) -> None:
    sender.send(sealed_enrolment(KioskKey(Ed25519PrivateKey.generate()), 1), message(event(health()), 1))
    assert {sender.answer() for _ in range(2)} == {(EPOCH, "enrolment", 0), (EPOCH, "health", 1)}
    assert sorted(sender.held, key=str) == [None, {"sequence": 1, "reason": "unknown_kiosk_key"}]


def test_states_are_checked_and_kept(hub: HubSimulator, sender: Sender) -> None:
    sender.client.publish("bio/v1/s1/k1/state", b'{"status":"happy"}', qos=1)
    sender.client.publish("bio/v1/s1/k1/state", KioskState(status="degraded").model_dump_json(), qos=1)
    assert hub.wait_for_state("degraded", 5)
    assert len(hub.states()) == 1
    assert "kiosk.state.v1" in hub.invalid()[0]["reason"]


@pytest.mark.parametrize("body", [b'{"status":"offline"}', b'{"status":"online","sensors":{}}'])
def test_a_state_without_what_may_be_missing_is_kept(hub: HubSimulator, sender: Sender, body: bytes) -> None:
    sender.client.publish("bio/v1/s1/k1/state", body, qos=1)
    assert hub.wait(lambda h: len(h.states()) == 1, 5)


def test_what_a_kiosk_sends_moves_no_cursor_and_forges_no_line(
    hub: HubSimulator, sender: Sender, lines: list[str]
) -> None:
    hostile = Health(component="sensor \x1b[2J\n12:00:00 forged", state="lost")
    sender.send(message(event(hostile), 1), message(raw(EventClass.HEALTH, HOSTILE_TEXT), 2))
    assert sender.answered(2)
    assert wait_until(lambda: len(lines) == 2, 5)
    assert all(line.isprintable() for line in lines)
    assert len(sequences(hub)) == 2


HOSTILE_TEXT = b'{"component":"\\ud800","state":"lost","detail":""}'  # half a surrogate pair: it cannot be encoded


def test_json_in_another_encoding_is_recorded_and_does_not_end_the_hub(hub: HubSimulator, sender: Sender) -> None:
    state = KioskState(status="degraded").model_dump_json()
    first, second = leads(1, 2)
    sender.client.publish("bio/v1/s1/k1/state", state.encode("utf-16"), qos=1)
    sender.send(dataclasses.replace(first, body=first.body.decode().encode("utf-16")), second)
    assert sender.answered(2)
    assert sequences(hub) == [2]
    assert hub.states() == []
    assert [row["reason"] for row in hub.invalid()] == ["body is not JSON in UTF-8"] * 2


def test_away_it_neither_stores_nor_answers(hub: HubSimulator, sender: Sender) -> None:
    hub.pause()
    sender.send(*leads(1))
    assert wait_until(lambda: hub.discarded == 1, 5)
    hub.resume()
    sender.send(*leads(1))
    assert sender.answered(1)
    assert sender.answers.empty()


def test_each_arrival_is_one_line_without_scores_or_references(
    hub: HubSimulator, sender: Sender, lines: list[str]
) -> None:
    sender.send(*leads(1, 1), message(event(encounter()), 1))
    assert hub.wait(lambda h: len(h.progress()) == 2 and h.progress()[0].duplicates == 1, 5)
    assert wait_until(lambda: len(lines) == 3, 5)
    first, second, third = lines
    assert re.search(r"lead +k1 #1 +lead: candidate_above_threshold, 1 candidate +\d+ B  stored$", first)
    assert second.endswith("duplicate")
    assert "clear: no_candidate" in third
    assert "r-1" not in "".join(lines)


def test_a_state_is_one_line_when_it_is_another_than_before(
    hub: HubSimulator, sender: Sender, lines: list[str]
) -> None:
    for status in ("degraded", "degraded", "online", "degraded"):
        sender.client.publish("bio/v1/s1/k1/state", KioskState(status=status).model_dump_json(), qos=1)
    assert hub.wait(lambda h: len(h.states()) == 4, 5)
    assert [line.split()[-1] for line in lines] == ["degraded", "online", "degraded"]


def test_a_store_is_taken_up_again(port: int, tmp_path: Path) -> None:
    for expected in (["1"], ["1", "2"]):
        with HubSimulator(port, db=tmp_path / "hub.db") as hub:
            sender = Sender(port)
            sender.send(*leads(1, 2)[: len(expected)])
            assert sender.answered(len(expected))
            sender.close()
            assert hub.wait_for(len(expected), 5)
    assert [row["sequence"] for row in rows(tmp_path / "hub.db", "events")] == [1, 2]


def test_without_a_broker_it_says_so() -> None:
    hub = HubSimulator(free_port())
    with pytest.raises(TimeoutError, match="no broker"):
        hub.start(timeout=0.2)
    hub.stop()


def test_the_command_without_a_broker_says_how_to_start_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    start = HubSimulator.start
    monkeypatch.setattr("simulators.hub.hub.signal.signal", lambda *_: None)
    monkeypatch.setattr(HubSimulator, "start", lambda hub: start(hub, timeout=0.1))
    with pytest.raises(typer.Exit) as ended:
        hub_module.command(port=(port := free_port()))
    assert ended.value.exit_code == 1
    assert capsys.readouterr().err.endswith(f"no broker at {HOST}:{port}; start one: kiosk-sim broker --port {port}\n")


@needs_mosquitto
def test_a_broker_that_refuses_the_hub_is_a_line(lines: list[str]) -> None:
    with Broker(mosquitto=True, extra="allow_anonymous false\n") as broker:
        hub = HubSimulator(broker.port, print_line=lines.append)
        with pytest.raises(TimeoutError, match="no broker"):
            hub.start(timeout=0.5)
        hub.stop()
    assert "problem    broker: refused: Not authorized" in lines[0]


def test_an_error_of_the_worker_is_raised_when_the_hub_stops(port: int) -> None:
    hub = HubSimulator(port)
    hub.start()
    with closing(sqlite3.connect(hub.path)) as connection:
        connection.execute("DROP TABLE states")
    sender = Sender(port)
    sender.client.publish("bio/v1/s1/k1/state", KioskState(status="degraded").model_dump_json(), qos=1)
    assert not hub.wait(lambda _: False, 5)
    sender.close()
    with pytest.raises(sqlite3.OperationalError, match="no such table: states"):
        hub.stop()


@pytest.mark.parametrize("later", [[], ["60:1"]])
def test_the_command_goes_away_comes_back_and_ends_on_a_signal(
    port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], later: list[str]
) -> None:
    handlers: dict[int, Callable[..., None]] = {}
    monkeypatch.setattr(signal, "signal", handlers.__setitem__)
    resumed, resume = [], HubSimulator.resume

    def resume_and_end(hub: HubSimulator) -> None:
        resume(hub)
        resumed.append(hub)
        if len(resumed) == 2:
            handlers[signal.SIGTERM]()

    monkeypatch.setattr(HubSimulator, "resume", resume_and_end)
    public = tmp_path / "kiosk.pub.json"
    public.write_text(json.dumps(KioskKey(Ed25519PrivateKey.generate()).public()), encoding="utf-8")
    away = ["0:0.01", "0.01:0.01", *later]
    hub_module.command(port=port, away=away, key=tmp_path / "hub.json", kiosk_key=[public])
    first, *rest = capsys.readouterr().out.splitlines()
    assert first.startswith(f"hub listens at {HOST}:{port}")
    assert rest == ["-- the hub is away", "-- the hub is back"] * 2
    assert (tmp_path / "hub.pub.json").exists()


def test_an_outage_that_is_no_time_is_refused(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(typer.BadParameter, match="--away soon: give START:LENGTH in seconds, as in 30:60"):
        hub_module.command(port=port, away=["soon"])


@pytest.mark.parametrize("content", [None, "nothing", "[]", "{}"], ids=["missing", "no JSON", "a list", "no key"])
@pytest.mark.parametrize("option", ["key", "db", "kiosk-key"])
def test_a_file_that_cannot_be_used_is_named(
    port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, content: str | None
) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    path = tmp_path / "folder" / "file.json"
    if content is not None:
        path.parent.mkdir()
        path.write_text(content * 100 if option == "db" else content)
    given: dict[str, Any] = {option.replace("-", "_"): [path] if option == "kiosk-key" else path}
    with pytest.raises(typer.BadParameter, match=rf"--{option} .*file\.json: "):
        hub_module.command(port=port, **given)


def test_the_commands_run_print_and_end_on_a_signal(tmp_path: Path) -> None:
    port = str(free_port())
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "simulators", "broker", "--port", port, "--rumqttd"],
        stdout=subprocess.PIPE, text=True, env=environment,
    ) as broker:  # fmt: skip
        assert broker.stdout is not None
        assert f"listens on {HOST}:{port}" in broker.stdout.readline()
        with subprocess.Popen(
            [sys.executable, "-m", "simulators", "hub", "--port", port, "--db", tmp_path / "hub.db", "--away", "60:1"],
            stdout=subprocess.PIPE, text=True, env=environment,
        ) as hub:  # fmt: skip
            assert hub.stdout is not None
            assert "hub listens" in hub.stdout.readline()
            sender = Sender(int(port))
            sender.send(*leads(1))
            assert "stored" in hub.stdout.readline()
            sender.close()
            hub.terminate()
            assert hub.wait(5) == 0
        broker.terminate()
        assert broker.wait(5) == 0
    assert len(rows(tmp_path / "hub.db", "events")) == 1


def test_a_topic_that_is_no_text_is_a_line(lines: list[str]) -> None:
    hub = HubSimulator(1, print_line=lines.append)
    hub._on_message(None, None, mqtt.MQTTMessage(topic=b"bio/v1/\xff/k1/state"))
    assert "a topic is not UTF-8" in lines[0]
    hub._scratch.cleanup()
