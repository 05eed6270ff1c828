"""The simulated hub believes nothing that it has not checked, keeps each event once, acknowledges what is durable."""

import dataclasses
import json
import os
import queue
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc.jwk import OKPKey
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.events.cloudevents import attributes
from agent.events.event import Enrolment, Event, EventClass, EventKey, KioskState, StoredEvent, Tombstone
from agent.hub.sealing import seal
from agent.keys import KioskKey
from simulators.hub import broker as broker_module
from simulators.hub import hub as hub_module
from simulators.hub.broker import HOST, Broker, answers, free_port
from simulators.hub.hub import HubSimulator
from simulators.hub.keys import HubKeys
from simulators.hub.rules import Invalid, Message, Schemas, Unkeyed, read_content, read_key
from simulators.hub.store import rows
from simulators.polling import wait_until
from tests.rigs.event_path import BROKERS
from tests.rigs.events import encounter, enrolment, event, health, lead, raw

EPOCH = "00112233aabbccdd"
SCHEMAS = Schemas()
HUB_KEY = OKPKey.generate_key("X25519")


def message(
    made: Event, sequence: int = 1, acknowledged: int = 0, tombstone: Tombstone | None = None, epoch: str = EPOCH
) -> Message:
    """As the agent's own code would send it."""
    stored = StoredEvent(EventKey("k1", epoch, made.event_class, sequence), made, tombstone)
    topic = f"bio/v1/s1/k1/evt/{made.event_class}"
    return Message(topic, made.body, dict(attributes(stored, "/s1/k1", acknowledged)), "application/json")


def changed(given: Message, **attributes: str | None) -> Message:
    """With attributes set, or left out where None."""
    merged = {**given.attributes, **attributes}
    return dataclasses.replace(given, attributes={k: v for k, v in merged.items() if v is not None})


# -- rules


@pytest.mark.parametrize("payload", [lead(), encounter(), enrolment(), health()])
def test_what_the_agent_sends_is_believed(payload: Enrolment) -> None:
    given = message(event(payload, "e-1"))
    key = read_key(given)
    assert str(key) == given.attributes["id"]
    assert read_content(given, key, SCHEMAS) == json.loads(given.body)


GOOD = message(event(lead()), 7)
OTHER_ENCODINGS = ("utf-16", "utf-16-le", "utf-32", "utf-8-sig")  # JSON travels in UTF-8 without a mark (RFC 8259, 8.1)


@pytest.mark.parametrize(
    "bad",
    [
        dataclasses.replace(GOOD, topic="bio/v1/s1/k1/state"),
        dataclasses.replace(GOOD, topic="bio/v1/s1/k2/evt/lead"),
        dataclasses.replace(GOOD, topic="bio/v1/s2/k1/evt/lead"),
        dataclasses.replace(GOOD, topic="bio/v1/s1/k1/evt/encounter"),
        dataclasses.replace(GOOD, attributes={}),
        changed(GOOD, id="k1/other/lead/7"),
        changed(GOOD, id=None),
        changed(GOOD, sequence="8"),
        changed(GOOD, sequence="0"),
        changed(GOOD, sequence="07"),
        changed(GOOD, sequence="1" * 30),
        changed(GOOD, epoch="../../../../etc"),
        changed(GOOD, source="/s1/k2"),
        changed(GOOD, **{"class": "health"}),
    ],
)
def test_a_key_that_contradicts_itself_is_nobodys(bad: Message) -> None:
    with pytest.raises(Unkeyed):
        read_key(bad)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (changed(GOOD, specversion="0.3"), "specversion"),
        (changed(GOOD, type="kiosk.lead.v2"), "type"),
        (changed(GOOD, subject=None), "subject is missing"),
        (changed(GOOD, subject="e-2"), "subject is not the encounter"),
        (changed(GOOD, time="yesterday"), "time is missing or malformed"),
        (changed(GOOD, time="2026-01-01T12:00:00"), "no zone"),
        (changed(GOOD, tombstone="expired"), "tombstone"),
        (changed(dataclasses.replace(GOOD, body=b""), tombstone="lost"), "tombstone"),
        (dataclasses.replace(GOOD, content_type="text/plain"), "content type"),
        (dataclasses.replace(GOOD, body=b"\xff{"), "not JSON"),
        (dataclasses.replace(GOOD, body=b"[" * 100_000), "not JSON"),
        *((dataclasses.replace(GOOD, body=GOOD.body.decode().encode(c)), "UTF-8") for c in OTHER_ENCODINGS),
        (dataclasses.replace(GOOD, body=b"[]"), "breaks kiosk.lead.v1"),
        (dataclasses.replace(GOOD, body=b"{}"), "breaks kiosk.lead.v1"),
        (dataclasses.replace(GOOD, body=GOOD.body[:-1] + b',"surname":"Doe"}'), "additionalProperties"),
        (message(raw(EventClass.AUDIT)), "no schema kiosk.audit.v1 is published"),
    ],
)
def test_a_bad_content_is_named_and_not_quoted(bad: Message, says: str) -> None:
    with pytest.raises(Invalid, match=re.escape(says)) as problem:
        read_content(bad, read_key(bad), SCHEMAS)
    assert "Doe" not in str(problem.value)


# -- a hub behind a broker


class Sender:
    """A plain MQTT client in the place of a kiosk, so that it can send what no kiosk would."""

    def __init__(self, port: int) -> None:
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
    with HubSimulator(port, say=lines.append, keys=HubKeys(HUB_KEY)) as hub:
        yield hub


@pytest.fixture(name="sender")
def _sender(port: int, hub: HubSimulator) -> Iterator[Sender]:
    sender = Sender(port)
    yield sender
    sender.close()


def leads(*sequences: int) -> list[Message]:
    return [message(event(lead(n), f"e-{n}"), n) for n in sequences]


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


def test_a_sealed_payload_is_opened_and_its_signer_checked(hub: HubSimulator, sender: Sender) -> None:
    known, unknown = KioskKey(Ed25519PrivateKey.generate()), KioskKey(Ed25519PrivateKey.generate())
    assert hub.keys is not None
    hub.keys.trust(known.public())
    public = OKPKey.import_key(HUB_KEY.as_dict(private=False))
    for number, kiosk in enumerate((known, unknown), 1):
        sender.send(message(event(enrolment(seal(b"templates", kiosk, public)), "r-9"), number))
    assert sender.answered(2)
    assert sequences(hub) == [1]
    assert "no kiosk that we know" in hub.invalid()[0]["reason"]


def test_states_are_checked_and_kept(hub: HubSimulator, sender: Sender) -> None:
    sender.client.publish("bio/v1/s1/k1/state", b'{"status":"happy"}', qos=1)
    sender.client.publish("bio/v1/s1/k1/state", KioskState(status="degraded").model_dump_json(), qos=1)
    assert hub.wait_for_state("degraded", 5)
    assert len(hub.states()) == 1
    assert "kiosk.state.v1" in hub.invalid()[0]["reason"]


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
    hub.leave()
    sender.send(*leads(1))
    assert wait_until(lambda: hub.thrown_away == 1, 5)
    hub.come_back()
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


# -- brokers and commands


@pytest.mark.parametrize(
    ("port", "said"),
    [(99_999, "error: --port is 1 to 65535, not 99999\n"), (0, "error: --port is 1 to 65535, not 0\n")],
)
def test_a_port_that_cannot_be_is_refused_in_one_line(port: int, said: str) -> None:
    command = [sys.executable, "-m", "simulators", "broker", "--port", str(port)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (1, said)


def test_a_broker_that_does_not_start_says_why_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("simulators.hub.broker.signal.signal", lambda *_: None)
    monkeypatch.setattr(broker_module, "RUMQTTD", "this is\nno configuration")
    with pytest.raises(typer.Exit) as ended:
        broker_module.command(port=free_port(), rumqttd=True)
    assert ended.value.exit_code == 1
    said = capsys.readouterr().err
    assert re.fullmatch(r"error: rumqttd \(iotcore\) did not start on port \d+: .+\n", said)


@pytest.mark.parametrize("mosquitto", BROKERS)
def test_a_broker_stops_dies_and_starts_again_on_its_port(mosquitto: object) -> None:
    with Broker(mosquitto=bool(mosquitto)) as broker:
        for end in (broker.stop, broker.kill):
            assert answers(broker.port)
            end()
            assert not answers(broker.port)
            assert not broker.running
            broker.start()
    assert not answers(broker.port)


@pytest.mark.parametrize("mosquitto", BROKERS)
def test_a_broker_ends_with_its_parent(mosquitto: object) -> None:
    script = "import os, sys; from simulators.hub.broker import Broker; b = Broker(mosquitto=sys.argv[1] == 'True')\n"
    script += "b.start(); print(b.port, flush=True); os.kill(os.getpid(), 9)"
    died = subprocess.run(
        [sys.executable, "-c", script, str(mosquitto)], capture_output=True, text=True, check=False, timeout=30
    )
    assert died.returncode == -signal.SIGKILL
    assert wait_until(lambda: not answers(int(died.stdout)), 5)


def test_a_broker_that_cannot_start_says_why() -> None:
    with Broker(mosquitto=False) as first:
        second = Broker(first.port, mosquitto=False)
        with pytest.raises(RuntimeError, match="in use"):
            second.start()
        second.close()


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
