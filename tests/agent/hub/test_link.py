"""The link to the hub with real paho: against real brokers, and a scripted one where a broker must misbehave."""

import contextlib
import datetime as dt
import logging
import math
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc.jwk import OKPKey

from agent.config import HubConfig, TlsConfig
from agent.errors import HubError
from agent.events.event import (
    Acknowledgement,
    Event,
    EventClass,
    EventKey,
    Held,
    HoldReason,
    KioskState,
    StoredEvent,
    Tombstone,
)
from agent.hub import connection as connection_module
from agent.hub.link import (
    FIRST_WAIT_S,
    MAX_IN_FLIGHT,
    MAX_POINTER,
    MAX_QUEUED,
    MAX_SIGNALS,
    Connected,
    Disconnected,
    HubLink,
    HubSignal,
    ListNews,
)
from agent.hub.mqtt_client import MAX_PACKET, RECEIVE_MAXIMUM
from agent.hub.sealing import seal
from agent.keys import KioskKey
from agent.updates.updater import ListUpdater
from simulators.hub.broker import Broker, free_port
from simulators.hub.hub import HubSimulator
from simulators.hub.keys import HubKeys
from simulators.polling import wait_until
from tests.rigs.certificates import Authority
from tests.rigs.event_path import BROKERS, EventPath, LinkRig, ids, needs_mosquitto
from tests.rigs.events import NOON, encounter, enrolment, event, health, lead, raw
from tests.rigs.networks import Resolver, silent_addresses
from tests.rigs.scripted_broker import (
    CONNACK,
    DISCONNECT_TYPE,
    NOT_AUTHORIZED,
    PUBLISH_TYPE,
    SERVER_BUSY,
    SESSION_TAKEN_OVER,
    SUBSCRIBE_TYPE,
    ScriptedBroker,
    packet,
    publish,
)

EPOCH = "0123456789abcdef"
STOP_S = 0.5
ONLINE = KioskState(status="online", since=NOON)


@pytest.fixture(name="broker", params=BROKERS)
def _broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    with Broker(mosquitto=request.param) as broker:
        yield broker


@pytest.fixture(name="hub")
def _hub(broker: Broker) -> Iterator[HubSimulator]:
    with HubSimulator(broker.port) as hub:
        yield hub


def stored(event: Event, sequence: int = 1, tombstone: Tombstone | None = None) -> StoredEvent:
    return StoredEvent(EventKey("k1", EPOCH, event.event_class, sequence), event, tombstone)


# -- one link, real brokers


def test_an_event_arrives_as_a_cloudevent_and_the_hub_acknowledges_it(broker: Broker, hub: HubSimulator) -> None:
    with LinkRig(broker.port) as link:
        link.connected()
        link.link.send(stored(event(lead())), 0)
        assert link.next(Acknowledgement) == Acknowledgement(EPOCH, EventClass.LEAD, 1)
        (row,) = hub.events()
        assert row["source"] == "/s1/k1"
        assert (row["subject"], row["time"]) == ("e-1", "2026-01-01T12:00:00Z")
        assert row["body"].encode() == event(lead()).body
        assert hub.invalid() == []


def test_a_tombstone_arrives_as_a_header(broker: Broker, hub: HubSimulator) -> None:
    with LinkRig(broker.port) as link:
        link.connected()
        link.link.send(stored(raw(EventClass.HEALTH, b""), tombstone=Tombstone.EXPIRED), 0)
        assert link.next(Acknowledgement) == Acknowledgement(EPOCH, EventClass.HEALTH, 1)
        assert [(row["tombstone"], row["body"]) for row in hub.events()] == [("expired", "")]


def test_without_a_connection_sending_is_refused_and_keeps_nothing(hub: HubSimulator, broker: Broker) -> None:
    link = LinkRig(broker.port)
    with pytest.raises(HubError, match="not connected"):
        link.link.send(stored(event(lead())), 0)
    with link:
        link.connected()
        link.link.send(stored(event(lead(2), "e-2")), 0)
        link.next(Acknowledgement)
    assert [row["subject"] for row in hub.events()] == ["e-2"]


def test_the_latest_state_wins_and_is_retained(broker: Broker) -> None:
    with LinkRig(broker.port) as link:
        for number in range(50):
            link.link.set_state(ONLINE.model_copy(update={"version": str(number)}))
        link.connected()
        with HubSimulator(broker.port) as late:
            assert late.wait(lambda hub: any('"version":"49"' in row["body"] for row in hub.states()), 5)
            assert len(late.states()) < 50


def test_stopping_says_offline(broker: Broker, hub: HubSimulator) -> None:
    with LinkRig(broker.port) as link:
        link.link.set_state(ONLINE)
        link.connected()
        assert hub.wait_for_state("online", 5)
    assert hub.wait_for_state("offline", 5)


def test_the_last_will_speaks_for_a_killed_kiosk(broker: Broker, hub: HubSimulator) -> None:
    script = (
        "import queue, sys\n"
        "from tests.rigs.event_path import LinkRig\n"
        "from tests.agent.hub.test_link import ONLINE\n"
        "with LinkRig(int(sys.argv[1])) as link:\n"
        "    link.link.set_state(ONLINE)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(broker.port)], stdin=subprocess.PIPE) as kiosk:
        assert hub.wait_for_state("online", 10)
        kiosk.kill()
    assert hub.wait_for_state("offline", 5)


def test_after_a_broker_restart_the_link_comes_back_and_says_its_state_again(broker: Broker) -> None:
    with LinkRig(broker.port) as link:
        link.link.set_state(ONLINE)
        link.connected()
        broker.kill()
        assert isinstance(link.next(Disconnected), Disconnected)
        assert not link.link.connected
        broker.start()
        link.connected()
        with HubSimulator(broker.port) as hub:
            assert hub.wait_for_state("online", 5)


def test_failures_are_reported_once_and_recovery_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "agent.hub.link")
    broker = Broker(free_port(), mosquitto=False)
    link = LinkRig(broker.port)
    tries = link.record_waits(0.01)
    with link:
        for _ in range(3):
            tries.get(timeout=5)
        with broker:
            link.connected()
            levels = [record.levelno for record in caplog.records if record.name == "agent.hub.link"]
    assert levels[:3] == [logging.WARNING, logging.DEBUG, logging.DEBUG]
    assert levels.count(logging.WARNING) == 1
    assert levels.count(logging.INFO) == 1


def test_waits_double_up_to_the_longest() -> None:
    link = LinkRig(free_port(), reconnect_max_s=3.0)
    waits = link.record_waits(0.001)
    with link:
        assert [waits.get(timeout=5) for _ in range(5)] == [FIRST_WAIT_S, 1.0, 2.0, 3.0, 3.0]


@needs_mosquitto
def test_a_broker_that_takes_few_at_a_time_gets_few_at_a_time(tmp_path: Path) -> None:
    with (
        Broker(mosquitto=True, extra="max_inflight_messages 3\n") as broker,
        HubSimulator(broker.port) as hub,
        EventPath(broker.port, tmp_path / "outbox.db") as path,
    ):
        path.put_all(lambda n: event(encounter(n), f"e-{n}"), range(60))
        assert hub.wait_for(60, 10)
        assert path.link._in_flight == 3


# -- the whole path


def test_every_event_arrives_once_and_in_order_though_the_broker_dies_again_and_again(
    broker: Broker, tmp_path: Path
) -> None:
    with HubSimulator(broker.port) as hub, EventPath(broker.port, tmp_path / "outbox.db") as path:
        wanted: list[str] = []
        leads: list[str] = []
        for beginning in range(0, 120, 40):
            wanted += path.put_all(lambda n: event(encounter(n), f"e-{n}"), range(beginning, beginning + 40))
            assert hub.wait_for(beginning + 10, 10)
            broker.kill()
            leads += path.put_all(lambda n: event(lead(n), f"e-{n}"), range(2))
            broker.start()
        assert hub.wait_for(126, 20)
        assert ids(hub.events(), "encounter") == wanted
        assert ids(hub.events(), "lead") == leads
        assert hub.invalid() == []
        assert eventually(lambda: sum(path.outbox.counts().values()) == 0)


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether something that nobody announces came true in time."""
    return wait_until(condition, 5)


def test_a_hub_that_is_away_gets_everything_when_it_is_back(broker: Broker, tmp_path: Path) -> None:
    with HubSimulator(broker.port) as hub, EventPath(broker.port, tmp_path / "outbox.db") as path:
        path.put(event(lead(1)))
        assert hub.wait_for(1, 5)
        hub.pause()
        wanted = path.put_all(lambda n: event(lead(n), f"e-{n}"), range(2, 30))
        assert eventually(lambda: hub.discarded >= 16 + 1)  # the window, and a probe
        hub.resume()
        assert hub.wait_for(29, 10)
        assert ids(hub.events(), "lead")[1:] == wanted


def test_a_hub_that_lost_its_store_goes_on_and_knows_what_it_lost(broker: Broker, tmp_path: Path) -> None:
    with EventPath(broker.port, tmp_path / "outbox.db") as path:
        with HubSimulator(broker.port) as hub:
            path.put_all(lambda n: event(lead(n), f"e-{n}"), range(5))
            assert hub.wait_for(5, 5)
            assert eventually(lambda: path.outbox.counts()[EventClass.LEAD] == 0)
        with HubSimulator(broker.port) as new:
            path.put(event(lead(6), "e-6"))
            assert new.wait_for(1, 5)
            (progress,) = new.progress()
            assert (progress.upto, progress.lost) == (6, 5)


def test_two_kiosks_do_not_disturb_each_other(broker: Broker, hub: HubSimulator, tmp_path: Path) -> None:
    with (
        EventPath(broker.port, tmp_path / "a.db", "a") as first,
        EventPath(broker.port, tmp_path / "b.db", "b") as second,
    ):
        wanted = [
            path.put_all(lambda n: event(health(), "s", NOON + dt.timedelta(n)), range(20)) for path in (first, second)
        ]
        assert hub.wait_for(40, 10)
        rows = hub.events()
        for number, kiosk in enumerate("ab"):
            assert ids([row for row in rows if row["kiosk"] == kiosk], "health") == wanted[number]


# -- stopping


def seconds_to_stop(link: HubLink) -> float:
    began = time.monotonic()
    assert link.stop()
    assert not link.alive
    return time.monotonic() - began


def test_stops_at_once_while_it_waits_to_try_again() -> None:
    link = LinkRig(free_port(), reconnect_max_s=60.0)
    waits = link.record_waits(60.0)
    with link:
        waits.get(timeout=5)
        assert seconds_to_stop(link.link) < STOP_S


def test_stops_in_time_though_the_broker_hangs(broker: Broker) -> None:
    with LinkRig(broker.port) as link:
        link.link.set_state(ONLINE)
        link.connected()
        with frozen(broker):
            assert seconds_to_stop(link.link) < STOP_S


class frozen:  # noqa: N801 - reads as a word
    """A broker that neither answers nor hangs up."""

    def __init__(self, broker: Broker) -> None:
        assert broker._process is not None
        child = broker._process.pid
        children = Path(f"/proc/{child}/task/{child}/children").read_text().split()
        self.pids = [child, *(int(pid) for pid in children)]

    def __enter__(self) -> None:
        for pid in self.pids:
            os.kill(pid, signal.SIGSTOP)

    def __exit__(self, *_: object) -> None:
        for pid in self.pids:
            os.kill(pid, signal.SIGCONT)


# -- a scripted broker


@pytest.fixture(name="scripted")
def _scripted() -> Iterator[ScriptedBroker]:
    with ScriptedBroker() as scripted:
        yield scripted


def test_nothing_is_sent_before_acknowledgements_are_subscribed(scripted: ScriptedBroker) -> None:
    with LinkRig(scripted.port) as link:
        link.link.set_state(ONLINE)
        scripted.accept_and_answer(CONNACK)
        assert not link.link.connected
        with pytest.raises(HubError):
            link.link.send(stored(event(lead())), 0)
        scripted.suback(1)
        link.connected()
        link.link.send(stored(event(lead())), 0)
        kinds = [scripted.read() for _ in range(2)]
        assert [kind for kind, _ in kinds] == [PUBLISH_TYPE, PUBLISH_TYPE]
        assert [b"/state" in kinds[0][1], b"/evt/lead" in kinds[1][1]] == [True, True]


@pytest.mark.parametrize(("answer", "refused"), [(NOT_AUTHORIZED, True), (SERVER_BUSY, False)])
def test_a_refusal_goes_straight_to_the_longest_wait(scripted: ScriptedBroker, answer: bytes, refused: object) -> None:
    link = LinkRig(scripted.port, reconnect_max_s=40.0)
    waits = link.record_waits()
    with link:
        scripted.accept_and_answer(answer)
        assert waits.get(timeout=5) == (40.0 if refused else FIRST_WAIT_S)


def test_a_refused_subscription_is_a_refusal(scripted: ScriptedBroker) -> None:
    link = LinkRig(scripted.port, reconnect_max_s=40.0)
    waits = link.record_waits()
    with link:
        scripted.accept_and_answer(CONNACK)
        scripted.suback(0x87)
        assert waits.get(timeout=5) == 40.0
        assert link.inbox.empty()


def test_an_answer_to_the_subscription_without_a_reason_is_a_refusal(scripted: ScriptedBroker) -> None:
    link = LinkRig(scripted.port, reconnect_max_s=40.0)
    waits = link.record_waits()
    with link:
        scripted.accept_and_answer(CONNACK)
        kind, content = scripted.read()
        assert kind == SUBSCRIBE_TYPE
        scripted.write(bytes([0x90, 3, *content[:2], 0]))
        assert waits.get(timeout=5) == 40.0
        assert link.inbox.empty()


def test_a_second_kiosk_of_the_same_name_does_not_start_a_fight(scripted: ScriptedBroker) -> None:
    link = LinkRig(scripted.port, reconnect_max_s=40.0)
    waits = link.record_waits()
    with link:
        scripted.accept_and_answer(CONNACK)
        scripted.suback(1)
        link.connected()
        scripted.write(SESSION_TAKEN_OVER)
        signal_ = link.next(Disconnected)
        assert isinstance(signal_, Disconnected)
        assert "taken over" in signal_.reason
        assert waits.get(timeout=5) == 40.0


@pytest.mark.parametrize("garbage", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff" * 64, b"\x20\x7f" + b"\0" * 10])
def test_a_server_that_speaks_no_mqtt_is_only_a_failure(scripted: ScriptedBroker, garbage: bytes) -> None:
    link = LinkRig(scripted.port)
    waits = link.record_waits()
    with link:
        scripted.accept_and_answer(garbage)
        scripted.disconnect()
        waits.get(timeout=5)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"epoch":"e","class":"lead","sequence":-1}', b"\xff"])
def test_an_unreadable_acknowledgement_is_not_believed(scripted: ScriptedBroker, body: bytes) -> None:
    with LinkRig(scripted.port) as link:
        scripted.accept_and_answer(CONNACK)
        scripted.suback(1)
        link.connected()
        scripted.write(publish(body) + publish(b'{"epoch":"e","class":"lead","sequence":7}'))
        assert link.inbox.get(timeout=5) == Acknowledgement("e", EventClass.LEAD, 7)


# -- a hostile broker


def connect_kiosk(link: LinkRig, scripted: ScriptedBroker) -> bytes:
    content = scripted.connect_kiosk()
    link.connected()
    return content


def test_the_longest_packet_and_the_number_of_messages_are_announced(scripted: ScriptedBroker) -> None:
    with LinkRig(scripted.port) as link:
        content = connect_kiosk(link, scripted)
    assert bytes([0x27, *MAX_PACKET.to_bytes(4, "big")]) in content  # MQTT 5, 3.1.2.11.4
    assert bytes([0x21, *RECEIVE_MAXIMUM.to_bytes(2, "big")]) in content  # 3.1.2.11.3


HOSTILE = {
    "QoS 2": (publish(b"{}", qos=2), "QoS 2", 0x82),
    "QoS 3": (publish(b"{}", qos=3), "QoS 2", 0x82),
    "a header of 256 MiB": (b"\x30\xff\xff\xff\x7f", "a packet of 268435455 bytes", 0x95),
    "one byte too long": (packet(0x30, bytes(MAX_PACKET + 1)), "a packet of 65537 bytes", 0x95),
    "an unreadable property": (packet(0x30, b"\0\1a\x05\x26\xff\xff\xff\xff"), "an unreadable packet", 0x82),
    "no content": (packet(0x40, b""), "an unreadable packet", 0x82),
    "a second CONNACK": (CONNACK, "answered CONNECT twice", 0x82),
    "a second SUBACK": (bytes([0x90, 4, 0, 1, 0, 1]), "answered SUBSCRIBE twice", 0x82),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_packet_that_no_broker_may_send_ends_the_connection_and_not_the_kiosk(
    scripted: ScriptedBroker, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    sent, says, reason = HOSTILE[name]
    with LinkRig(scripted.port) as link:
        connect_kiosk(link, scripted)
        scripted.write(sent)
        assert scripted.read_until(DISCONNECT_TYPE)[0] == reason
        link.next(Disconnected)
        connect_kiosk(link, scripted)
        assert link.link.refused == {"packets": 1}
    assert says in caplog.text


def test_a_flood_of_large_messages_takes_no_memory(scripted: ScriptedBroker) -> None:
    large = publish(bytes(50 * 1024 * 1024), qos=2)
    with LinkRig(scripted.port) as link:
        for _ in range(5):
            connect_kiosk(link, scripted)
            before = resident()
            with contextlib.suppress(OSError):  # the kiosk closes the connection before it has read it all
                scripted.write(large)
            link.next(Disconnected)
            assert resident() - before < 8 * 1024 * 1024
        assert link.link.refused == {"packets": 5}


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_a_flood_of_bad_acknowledgements_is_counted_and_few_lines_and_the_good_one_behind_it_counts(
    scripted: ScriptedBroker, caplog: pytest.LogCaptureFixture
) -> None:
    with LinkRig(scripted.port) as link:
        connect_kiosk(link, scripted)
        scripted.write(b"".join([publish(b"{}"), publish(bytes(2000)), publish(b"{}", b"elsewhere")]) * 1000)
        scripted.publish(b'{"epoch":"e","class":"lead","sequence":7}')
        assert link.next(Acknowledgement, 20) == Acknowledgement("e", EventClass.LEAD, 7)
        assert link.link.refused == {"unreadable acknowledgements": 2000, "messages of other topics": 1000}
    assert len([r for r in caplog.records if "refused" in r.getMessage()]) == 2


def test_a_flood_of_good_acknowledgements_fills_no_memory(scripted: ScriptedBroker) -> None:
    with LinkRig(scripted.port) as link:
        connect_kiosk(link, scripted)
        scripted.write(publish(b'{"epoch":"e","class":"lead","sequence":7}') * (MAX_SIGNALS + 50))
        assert eventually(lambda: link.link.refused == {"too many acknowledgements": 50})
        assert link.inbox.qsize() == MAX_SIGNALS


@pytest.mark.parametrize(
    "body",
    [f'{{"epoch":"e","class":"lead","sequence":{"9" * 30}}}', f'{{"epoch":"{"e" * 100}","class":"lead","sequence":1}}'],
)
def test_an_acknowledgement_of_absurd_size_is_not_believed(scripted: ScriptedBroker, body: str) -> None:
    with LinkRig(scripted.port) as link:
        connect_kiosk(link, scripted)
        scripted.publish(body.encode())
        assert eventually(lambda: link.link.refused == {"unreadable acknowledgements": 1})


def test_a_held_event_comes_with_its_acknowledgement(scripted: ScriptedBroker) -> None:
    with LinkRig(scripted.port) as link:
        connect_kiosk(link, scripted)
        held = b'{"sequence":3,"reason":"unknown_kiosk_key"}'
        scripted.publish(b'{"epoch":"e","class":"lead","sequence":2,"held":%s}' % held)
        assert link.inbox.get(timeout=5) == Acknowledgement("e", EventClass.LEAD, 2)
        assert link.inbox.get(timeout=5) == Held("e", EventClass.LEAD, 3, HoldReason.UNKNOWN_KIOSK_KEY)


# -- the message that says that there is a new list


NEWS_TOPIC = b"bio/v1/watchlist/main"


def connect_with_lists(link: LinkRig, scripted: ScriptedBroker, answer: int = 1) -> None:
    connect_kiosk(link, scripted)
    content = scripted.read_until(SUBSCRIBE_TYPE)  # the second one: the acknowledgements came first
    assert NEWS_TOPIC in content
    scripted.write(bytes([0x90, 4, *content[:2], 0, answer]))


def test_a_retained_message_of_new_lists_is_heard_at_every_connection(broker: Broker, hub: HubSimulator) -> None:
    heard: queue.SimpleQueue[bool] = queue.SimpleQueue()
    with LinkRig(broker.port, lists=ListNews("main", lambda: heard.put(True))) as link:
        link.connected()
        hub._client.publish(NEWS_TOPIC.decode(), b'{"revision":7}', qos=1, retain=True)
        assert heard.get(timeout=5)
    with LinkRig(broker.port, lists=ListNews("main", lambda: heard.put(True))):
        assert heard.get(timeout=5)
    with LinkRig(broker.port, lists=ListNews("others", lambda: heard.put(True))) as link:
        link.connected()
        link.link.send(stored(event(lead())), 0)
        link.next(Acknowledgement)
    assert heard.empty()


def test_a_broker_that_refuses_the_topic_of_new_lists_serves_everything_else(
    scripted: ScriptedBroker, caplog: pytest.LogCaptureFixture
) -> None:
    with LinkRig(scripted.port, lists=ListNews("main", lambda: None)) as link:
        connect_with_lists(link, scripted, answer=0x87)
        scripted.publish(b'{"epoch":"e","class":"lead","sequence":7}')
        assert link.inbox.get(timeout=5) == Acknowledgement("e", EventClass.LEAD, 7)
        assert link.link.connected
    assert "the broker refuses the topic of new lists: they are noticed at the next check" in caplog.text


def test_a_flood_of_messages_of_new_lists_asks_once(scripted: ScriptedBroker) -> None:
    asked: list[bool] = []
    updater = ListUpdater(lambda _: contextlib.nullcontext(), lambda *_: None)  # type: ignore[arg-type,return-value]

    def ask() -> None:
        asked.append(True)
        updater.ask()

    with LinkRig(scripted.port, lists=ListNews("main", ask)) as link:
        connect_with_lists(link, scripted)
        scripted.write(publish(b"new", NEWS_TOPIC) * 3000)
        assert wait_until(lambda: len(asked) == 3000, 20)
        assert link.inbox.empty()
        assert link.link.refused == {}
    assert updater._inbox.qsize() == 1


def test_a_message_of_new_lists_that_is_too_long_is_refused(scripted: ScriptedBroker) -> None:
    heard: queue.SimpleQueue[bool] = queue.SimpleQueue()
    with LinkRig(scripted.port, lists=ListNews("main", lambda: heard.put(True))) as link:
        connect_with_lists(link, scripted)
        scripted.publish(bytes(MAX_POINTER + 1), NEWS_TOPIC)
        scripted.publish(bytes(MAX_POINTER), NEWS_TOPIC)
        assert heard.get(timeout=5)
        assert heard.empty()
        assert link.link.refused == {"messages of new lists": 1}


def test_a_kiosk_without_lists_subscribes_to_none(scripted: ScriptedBroker) -> None:
    with LinkRig(scripted.port) as link:
        connect_kiosk(link, scripted)
        scripted.publish(b"new", NEWS_TOPIC)
        assert eventually(lambda: link.link.refused == {"messages of other topics": 1})
        kind, content = scripted.read()
        assert (kind, b"/state" in content) == (PUBLISH_TYPE, True)


def test_an_enrolment_waits_until_the_hub_knows_the_key_of_its_kiosk(broker: Broker, tmp_path: Path) -> None:
    hub_key, kiosk = OKPKey.generate_key("X25519"), KioskKey(Ed25519PrivateKey.generate())
    sealed = seal(b"templates", kiosk, OKPKey.import_key(hub_key.as_dict(private=False)))
    keys = HubKeys(hub_key)
    with (
        HubSimulator(broker.port, keys=keys) as hub,
        EventPath(broker.port, tmp_path / "outbox.db") as path,
    ):
        path.put(event(enrolment(sealed)))
        assert eventually(lambda: bool(path.outbox.held()))
        assert path.outbox.counts()[EventClass.ENROLMENT] == 1
        keys.trust(kiosk.public())
        assert hub.wait_for(1, 10)
        assert eventually(lambda: path.outbox.counts()[EventClass.ENROLMENT] == 0)
        assert path.outbox.held() == {}


def test_a_broker_that_sends_and_does_not_read_is_left(scripted: ScriptedBroker) -> None:
    scripted.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    with LinkRig(scripted.port) as link:
        connect_kiosk(link, scripted)
        connection = link.link._connection
        assert connection is not None
        assert connection._socket is not None
        connection._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        with contextlib.suppress(OSError):
            for _ in range(400):
                scripted.write(publish(b"{}", qos=1) * 1000)  # each is answered with a PUBACK
        link.next(Disconnected, 30)


# -- a network that does not work


def test_silent_name_servers_hold_neither_the_watchdog_nor_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = Resolver(monkeypatch)
    monkeypatch.setattr(connection_module, "OPEN_S", 0.5)
    with LinkRig(1883, host="hub.example.org", insecure=True) as link:
        longest = 0.0
        until = time.monotonic() + 3
        while time.monotonic() < until:
            longest = max(longest, link.link.silent_for)
            time.sleep(0.01)
        assert longest < 1.5  # it beats while it looks up and between two attempts
        assert seconds_to_stop(link.link) < STOP_S
    assert resolver.calls == 1
    resolver.release.set()


def test_addresses_that_do_not_answer_hold_neither_the_watchdog_nor_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    with silent_addresses(16) as places:
        Resolver(monkeypatch, places)
        with LinkRig(places[0][1], host="hub.example.org", insecure=True) as link:
            assert eventually(lambda: connecting(link.link))
            time.sleep(1)
            assert link.link.silent_for < 0.5
            assert seconds_to_stop(link.link) < STOP_S


def test_nothing_of_the_link_counts_for_the_watchdog() -> None:
    assert LinkRig(1883).link.patience_s == math.inf


def test_after_a_failure_another_address_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that accepts and never answers must not hide the others for ever."""
    monkeypatch.setattr("agent.hub.link.ANSWER_S", 0.2)
    monkeypatch.setattr("agent.hub.link.LOOP_S", 0.05)
    with ScriptedBroker() as scripted, socket.create_server(("127.0.0.2", scripted.port)):
        Resolver(monkeypatch, [("127.0.0.2", scripted.port), ("127.0.0.1", scripted.port)])
        with LinkRig(scripted.port, host="localhost") as link:
            connect_kiosk(link, scripted)


def test_stops_at_once_while_a_server_accepts_and_says_nothing(scripted: ScriptedBroker) -> None:
    with LinkRig(scripted.port) as link:
        scripted.accept()
        scripted.read()
        assert seconds_to_stop(link.link) < STOP_S


def test_stops_at_once_while_connecting_to_a_host_that_drops_packets(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:  # a full queue: the next SYN is dropped
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        with LinkRig(port) as link:
            assert eventually(lambda: connecting(link.link))
            assert seconds_to_stop(link.link) < STOP_S
        for filler in fillers:
            filler.close()


def connecting(link: HubLink) -> bool:
    return link._connection is not None and link._connection._socket is not None


def test_a_server_that_never_answers_is_given_up(
    scripted: ScriptedBroker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("agent.hub.link.ANSWER_S", 0.1)
    monkeypatch.setattr("agent.hub.link.LOOP_S", 0.05)
    link = LinkRig(scripted.port)
    waits = link.record_waits()
    with link:
        scripted.accept()
        assert waits.get(timeout=5) == FIRST_WAIT_S
    assert "no answer within" in caplog.text


def test_a_link_that_holds_enough_unacknowledged_events_refuses_more(scripted: ScriptedBroker) -> None:
    with LinkRig(scripted.port) as link:
        scripted.accept_and_answer(CONNACK)
        scripted.suback(1)
        link.connected()
        with pytest.raises(HubError, match="queue"):
            send_all(link.link, MAX_QUEUED + MAX_IN_FLIGHT + 1)


def send_all(link: HubLink, count: int) -> None:
    for sequence in range(1, count + 1):
        link.send(stored(event(lead()), sequence), 0)


def test_stops_in_time_though_the_broker_disconnects_before_it_has_the_last_state(scripted: ScriptedBroker) -> None:
    with LinkRig(scripted.port) as link:
        scripted.accept_and_answer(CONNACK)
        scripted.suback(1)
        link.connected()
        assert b"/state" in scripted.read()[1]
        stopping = threading.Thread(target=link.link.stop)
        stopping.start()
        assert b"offline" in scripted.read()[1]
        scripted.disconnect()
        stopping.join(STOP_S)
        assert not link.link.alive


# -- mutual TLS


class TlsBroker:
    """Mosquitto with a plain listener for the hub, and one for kiosks that asks for their certificate."""

    def __init__(self, folder: Path) -> None:
        self.authority, self.stranger = Authority(folder, "ca"), Authority(folder, "stranger")
        certificate, key = self.authority.issue("broker")
        self.port = free_port()
        listener = (
            f"listener {self.port} 127.0.0.1\ncafile {self.authority.path}\ncertfile {certificate}\nkeyfile {key}\n"
            "require_certificate true\n"
        )
        self.broker = Broker(mosquitto=True, extra=listener)

    def link(self, member: Authority, trusted: Authority) -> LinkRig:
        certificate, key = member.issue("kiosk")
        tls = TlsConfig(ca=trusted.path, certificate=certificate, key=key)
        return LinkRig(self.port, host="localhost", tls=tls.model_dump(), reconnect_max_s=40.0)


@pytest.fixture(name="tls")
def _tls(tmp_path: Path) -> Iterator[TlsBroker]:
    tls = TlsBroker(tmp_path)
    with tls.broker:
        yield tls


@needs_mosquitto
def test_mutual_tls_carries_events(tls: TlsBroker) -> None:
    with HubSimulator(tls.broker.port) as hub, tls.link(tls.authority, tls.authority) as link:
        link.connected()
        link.link.send(stored(event(lead())), 0)
        assert link.next(Acknowledgement) == Acknowledgement(EPOCH, EventClass.LEAD, 1)
        assert len(hub.events()) == 1


@needs_mosquitto
@pytest.mark.parametrize("wrong", ["ours", "theirs"])
def test_a_certificate_that_one_side_does_not_trust_goes_straight_to_the_longest_wait(
    tls: TlsBroker, wrong: str
) -> None:
    ours, theirs = (tls.stranger, tls.authority) if wrong == "ours" else (tls.authority, tls.stranger)
    link = tls.link(ours, theirs)
    waits = link.record_waits()
    with link:
        assert waits.get(timeout=5) == 40.0
        assert link.inbox.empty()


def test_stops_at_once_in_a_tls_handshake_that_never_ends(scripted: ScriptedBroker, tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ca")
    certificate, key = authority.issue("kiosk")
    tls = TlsConfig(ca=authority.path, certificate=certificate, key=key)
    with LinkRig(scripted.port, tls=tls.model_dump()) as link:
        scripted.accept()
        scripted.take(5)  # the beginning of its ClientHello
        assert seconds_to_stop(link.link) < STOP_S


def test_missing_tls_files_are_reported_and_do_not_end_the_process(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    missing = tmp_path / "missing.pem"
    link = LinkRig(1, tls={"ca": missing, "certificate": missing, "key": missing}, reconnect_max_s=40.0)
    waits = link.record_waits()
    with link:
        assert waits.get(timeout=5) == 40.0
    assert "missing.pem: cannot be read" in caplog.text


# -- threads


def test_a_crash_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    crashed: queue.SimpleQueue[tuple[str, BaseException]] = queue.SimpleQueue()
    inbox: queue.Queue[HubSignal] = queue.Queue()
    link = HubLink(HubConfig(), "s1", "k1", inbox, lambda name, error: crashed.put((name, error)))
    monkeypatch.setattr(link, "_run_connection", lambda: 1 / 0)
    link.start()
    name, error = crashed.get(timeout=5)
    assert (name, type(error)) == ("hub", ZeroDivisionError)
    assert link.stop()


def test_connected_is_said_once_for_each_connection(broker: Broker) -> None:
    with LinkRig(broker.port) as link:
        assert link.inbox.get(timeout=5) == Connected()
        broker.kill()
        assert isinstance(link.inbox.get(timeout=5), Disconnected)
        broker.start()
        assert link.inbox.get(timeout=5) == Connected()
    assert isinstance(link.inbox.get_nowait(), Disconnected)
    assert link.inbox.empty()
