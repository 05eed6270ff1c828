"""The link to the hub with real paho: against real brokers, and a scripted one where a broker must misbehave."""

import datetime as dt
import logging
import os
import queue
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from agent.config import HubConfig, TlsConfig
from agent.errors import HubError
from agent.events.event import (
    Acknowledgement,
    Event,
    EventClass,
    EventKey,
    KioskState,
    StoredEvent,
    Tombstone,
)
from agent.hub.connection import TcpConnection
from agent.hub.link import FIRST_WAIT_S, Connected, Disconnected, HubLink, HubSignal
from simulators.hub.broker import Broker, free_port
from simulators.hub.hub import HubSimulator
from simulators.polling import wait_until
from tests.rigs.event_path import BROKERS, Link, Road, ids, needs_mosquitto
from tests.rigs.events import NOON, encounter, event, health, lead, raw

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
    with Link(broker.port) as link:
        link.connected()
        link.link.send(stored(event(lead())), 0)
        assert link.next(Acknowledgement) == Acknowledgement(EPOCH, EventClass.LEAD, 1)
        (row,) = hub.events()
        assert row["source"] == "/s1/k1"
        assert (row["subject"], row["time"]) == ("e-1", "2026-01-01T12:00:00Z")
        assert row["body"].encode() == event(lead()).body
        assert hub.invalid() == []


def test_a_tombstone_arrives_as_a_header(broker: Broker, hub: HubSimulator) -> None:
    with Link(broker.port) as link:
        link.connected()
        link.link.send(stored(raw(EventClass.HEALTH, b""), tombstone=Tombstone.EXPIRED), 0)
        assert link.next(Acknowledgement) == Acknowledgement(EPOCH, EventClass.HEALTH, 1)
        assert [(row["tombstone"], row["body"]) for row in hub.events()] == [("expired", "")]


def test_without_a_connection_sending_is_refused_and_keeps_nothing(hub: HubSimulator, broker: Broker) -> None:
    link = Link(broker.port)
    with pytest.raises(HubError, match="not connected"):
        link.link.send(stored(event(lead())), 0)
    with link:
        link.connected()
        link.link.send(stored(event(lead(2), "e-2")), 0)
        link.next(Acknowledgement)
    assert [row["subject"] for row in hub.events()] == ["e-2"]


def test_the_latest_state_wins_and_is_retained(broker: Broker) -> None:
    with Link(broker.port) as link:
        for number in range(50):
            link.link.set_state(ONLINE.model_copy(update={"version": str(number)}))
        link.connected()
        with HubSimulator(broker.port) as late:
            assert late.wait(lambda hub: any('"version":"49"' in row["body"] for row in hub.states()), 5)
            assert len(late.states()) < 50


def test_stopping_says_offline(broker: Broker, hub: HubSimulator) -> None:
    with Link(broker.port) as link:
        link.link.set_state(ONLINE)
        link.connected()
        assert hub.wait_for_state("online", 5)
    assert hub.wait_for_state("offline", 5)


def test_the_last_will_speaks_for_a_killed_kiosk(broker: Broker, hub: HubSimulator) -> None:
    script = (
        "import queue, sys\n"
        "from tests.rigs.event_path import Link\n"
        "from tests.agent.hub.test_link import ONLINE\n"
        "with Link(int(sys.argv[1])) as link:\n"
        "    link.link.set_state(ONLINE)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(broker.port)], stdin=subprocess.PIPE) as kiosk:
        assert hub.wait_for_state("online", 10)
        kiosk.kill()
    assert hub.wait_for_state("offline", 5)


def test_after_a_broker_restart_the_link_comes_back_and_says_its_state_again(broker: Broker) -> None:
    with Link(broker.port) as link:
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
    tries: queue.SimpleQueue[float] = queue.SimpleQueue()
    broker = Broker(free_port(), mosquitto=False)
    link = Link(broker.port)
    note_waits(link, tries, 0.01)
    with link:
        for _ in range(3):
            tries.get(timeout=5)
        with broker:
            link.connected()
            levels = [record.levelno for record in caplog.records if record.name == "agent.hub.link"]
    assert levels[:3] == [logging.WARNING, logging.DEBUG, logging.DEBUG]
    assert levels.count(logging.WARNING) == 1
    assert levels.count(logging.INFO) == 1


def note_waits(link: Link, waits: "queue.SimpleQueue[float]", instead: float | None = None) -> None:
    """Record how long the link wants to wait between two connections; wait another time where that is given."""
    pause = link.link._pause

    def noted(seconds: float) -> None:
        waits.put(seconds)
        pause(seconds if instead is None else instead)

    link.link._pause = noted  # type: ignore[method-assign]


def test_waits_double_up_to_the_longest() -> None:
    waits: queue.SimpleQueue[float] = queue.SimpleQueue()
    link = Link(free_port(), reconnect_max_s=3.0)
    note_waits(link, waits, 0.001)
    with link:
        assert [waits.get(timeout=5) for _ in range(5)] == [FIRST_WAIT_S, 1.0, 2.0, 3.0, 3.0]


@needs_mosquitto
def test_a_broker_that_takes_few_at_a_time_gets_few_at_a_time(tmp_path: Path) -> None:
    with (
        Broker(mosquitto=True, extra="max_inflight_messages 3\n") as broker,
        HubSimulator(broker.port) as hub,
        Road(broker.port, tmp_path / "outbox.db") as road,
    ):
        road.put_all(lambda n: event(encounter(n), f"e-{n}"), range(60))
        assert hub.wait_for(60, 10)
        assert road.link._in_flight == 3


# -- the whole road


def test_every_event_arrives_once_and_in_order_though_the_broker_dies_again_and_again(
    broker: Broker, tmp_path: Path
) -> None:
    with HubSimulator(broker.port) as hub, Road(broker.port, tmp_path / "outbox.db") as road:
        wanted: list[str] = []
        leads: list[str] = []
        for beginning in range(0, 120, 40):
            wanted += road.put_all(lambda n: event(encounter(n), f"e-{n}"), range(beginning, beginning + 40))
            assert hub.wait_for(beginning + 10, 10)
            broker.kill()
            leads += road.put_all(lambda n: event(lead(n), f"e-{n}"), range(2))
            broker.start()
        assert hub.wait_for(126, 20)
        assert ids(hub.events(), "encounter") == wanted
        assert ids(hub.events(), "lead") == leads
        assert hub.invalid() == []
        assert eventually(lambda: sum(road.outbox.counts().values()) == 0)


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether something that nobody announces came true in time."""
    return wait_until(condition, 5)


def test_a_hub_that_is_away_gets_everything_when_it_is_back(broker: Broker, tmp_path: Path) -> None:
    with HubSimulator(broker.port) as hub, Road(broker.port, tmp_path / "outbox.db") as road:
        road.put(event(lead(1)))
        assert hub.wait_for(1, 5)
        hub.leave()
        wanted = road.put_all(lambda n: event(lead(n), f"e-{n}"), range(2, 30))
        assert eventually(lambda: hub.thrown_away >= 16 + 1)  # the window, and a probe
        hub.come_back()
        assert hub.wait_for(29, 10)
        assert ids(hub.events(), "lead")[1:] == wanted


def test_a_hub_that_lost_its_store_goes_on_and_knows_what_it_lost(broker: Broker, tmp_path: Path) -> None:
    with Road(broker.port, tmp_path / "outbox.db") as road:
        with HubSimulator(broker.port) as hub:
            road.put_all(lambda n: event(lead(n), f"e-{n}"), range(5))
            assert hub.wait_for(5, 5)
            assert eventually(lambda: road.outbox.counts()[EventClass.LEAD] == 0)
        with HubSimulator(broker.port) as new:
            road.put(event(lead(6), "e-6"))
            assert new.wait_for(1, 5)
            (progress,) = new.progress()
            assert (progress.upto, progress.lost) == (6, 5)


def test_two_kiosks_do_not_disturb_each_other(broker: Broker, hub: HubSimulator, tmp_path: Path) -> None:
    with (
        Road(broker.port, tmp_path / "a.db", "a") as first,
        Road(broker.port, tmp_path / "b.db", "b") as second,
    ):
        wanted = [
            road.put_all(lambda n: event(health(), "s", NOON + dt.timedelta(n)), range(20)) for road in (first, second)
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
    waits: queue.SimpleQueue[float] = queue.SimpleQueue()
    link = Link(free_port(), reconnect_max_s=60.0)
    note_waits(link, waits, 60.0)
    with link:
        waits.get(timeout=5)
        assert seconds_to_stop(link.link) < STOP_S


def test_stops_in_time_though_the_broker_hangs(broker: Broker) -> None:
    with Link(broker.port) as link:
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


# -- a scripted broker, byte by byte (MQTT 5: CONNACK 3.2, SUBACK 3.9, DISCONNECT 3.14)

CONNACK = bytes([0x20, 3, 0, 0x00, 0])
NOT_AUTHORIZED = bytes([0x20, 3, 0, 0x87, 0])
SERVER_BUSY = bytes([0x20, 3, 0, 0x89, 0])
SESSION_TAKEN_OVER = bytes([0xE0, 2, 0x8E, 0])
CONNECT_TYPE, SUBSCRIBE_TYPE, PUBLISH_TYPE = 1, 8, 3


class ScriptedBroker:
    """Accepts one connection after the other; a test reads and writes its packets."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(5)
        self.port = self.listener.getsockname()[1]
        self.connection: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()
        self.listener.close()

    def accept(self) -> None:
        self.hang_up()
        self.connection, _ = self.listener.accept()
        self.connection.settimeout(5)

    def hang_up(self) -> None:
        if self.connection is not None:
            self.connection.close()

    def write(self, packet: bytes) -> None:
        assert self.connection is not None
        self.connection.sendall(packet)

    def read(self) -> tuple[int, bytes]:
        """Type and content of the next packet."""
        kind = self.take(1)[0] >> 4
        length, shift = 0, 0
        while (byte := self.take(1)[0]) & 0x80:
            length, shift = length | (byte & 0x7F) << shift, shift + 7
        return kind, self.take(length | byte << shift)

    def take(self, count: int) -> bytes:
        assert self.connection is not None
        data = b""
        while len(data) < count:
            more = self.connection.recv(count - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def accept_and_answer(self, answer: bytes) -> None:
        self.accept()
        assert self.read()[0] == CONNECT_TYPE
        self.write(answer)

    def suback(self, reason: int) -> None:
        kind, content = self.read()
        assert kind == SUBSCRIBE_TYPE
        assert b"bio/v1/s1/k1/ack" in content
        self.write(bytes([0x90, 4, *content[:2], 0, reason]))


@pytest.fixture(name="scripted")
def _scripted() -> Iterator[ScriptedBroker]:
    with ScriptedBroker() as scripted:
        yield scripted


def test_nothing_is_sent_before_acknowledgements_are_subscribed(scripted: ScriptedBroker) -> None:
    with Link(scripted.port) as link:
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
    waits: queue.SimpleQueue[float] = queue.SimpleQueue()
    link = Link(scripted.port, reconnect_max_s=40.0)
    note_waits(link, waits)
    with link:
        scripted.accept_and_answer(answer)
        assert waits.get(timeout=5) == (40.0 if refused else FIRST_WAIT_S)


def test_a_refused_subscription_is_a_refusal(scripted: ScriptedBroker) -> None:
    waits: queue.SimpleQueue[float] = queue.SimpleQueue()
    link = Link(scripted.port, reconnect_max_s=40.0)
    note_waits(link, waits)
    with link:
        scripted.accept_and_answer(CONNACK)
        scripted.suback(0x87)
        assert waits.get(timeout=5) == 40.0
        assert link.inbox.empty()


def test_an_answer_to_the_subscription_without_a_reason_is_a_refusal(scripted: ScriptedBroker) -> None:
    waits: queue.SimpleQueue[float] = queue.SimpleQueue()
    link = Link(scripted.port, reconnect_max_s=40.0)
    note_waits(link, waits)
    with link:
        scripted.accept_and_answer(CONNACK)
        kind, content = scripted.read()
        assert kind == SUBSCRIBE_TYPE
        scripted.write(bytes([0x90, 3, *content[:2], 0]))
        assert waits.get(timeout=5) == 40.0
        assert link.inbox.empty()


def test_a_host_name_that_cannot_be_one_is_only_a_failure_to_connect() -> None:
    for name in ("a..b", "x" * 64, ".a"):
        with pytest.raises(OSError, match="is not a host name"):
            TcpConnection(name, 1883, None).open()


def test_a_second_kiosk_of_the_same_name_does_not_start_a_fight(scripted: ScriptedBroker) -> None:
    waits: queue.SimpleQueue[float] = queue.SimpleQueue()
    link = Link(scripted.port, reconnect_max_s=40.0)
    note_waits(link, waits)
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
    waits: queue.SimpleQueue[float] = queue.SimpleQueue()
    link = Link(scripted.port)
    note_waits(link, waits)
    with link:
        scripted.accept_and_answer(garbage)
        scripted.hang_up()
        waits.get(timeout=5)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"epoch":"e","class":"lead","sequence":-1}', b"\xff"])
def test_an_unreadable_acknowledgement_is_not_believed(scripted: ScriptedBroker, body: bytes) -> None:
    with Link(scripted.port) as link:
        scripted.accept_and_answer(CONNACK)
        scripted.suback(1)
        link.connected()
        scripted.write(publish(body) + publish(b'{"epoch":"e","class":"lead","sequence":7}'))
        assert link.inbox.get(timeout=5) == Acknowledgement("e", EventClass.LEAD, 7)


def publish(body: bytes) -> bytes:
    """A QoS 0 PUBLISH on the acknowledgement topic."""
    topic = b"bio/v1/s1/k1/ack"
    content = len(topic).to_bytes(2, "big") + topic + b"\0" + body
    return bytes([0x30, len(content)]) + content


def test_stops_at_once_while_a_server_accepts_and_says_nothing(scripted: ScriptedBroker) -> None:
    with Link(scripted.port) as link:
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
        with Link(port) as link:
            assert eventually(lambda: connecting(link.link))
            assert seconds_to_stop(link.link) < STOP_S
        for filler in fillers:
            filler.close()


def connecting(link: HubLink) -> bool:
    return link._connection is not None and link._connection._socket is not None


# -- mutual TLS


class Authority:
    """A certificate authority made for one test."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self.builder(subject, subject, self.key.public_key())
        usage = x509.KeyUsage(
            digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
            data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(usage, critical=True)
        identifier = x509.SubjectKeyIdentifier.from_public_key(self.key.public_key())
        self.certificate = builder.add_extension(identifier, critical=False).sign(self.key, hashes.SHA256())
        self.path = folder / f"{name}.pem"
        self.path.write_bytes(self.certificate.public_bytes(Encoding.PEM))

    def builder(self, subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return x509.CertificateBuilder(
            issuer, subject, key, x509.random_serial_number(), now - dt.timedelta(days=1), now + dt.timedelta(days=1)
        )

    def issue(self, name: str) -> tuple[Path, Path]:
        """Certificate and key of a member."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self.builder(subject, self.certificate.subject, key.public_key())
        names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = builder.add_extension(names, critical=False).add_extension(issuer, critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        paths = self.folder / f"{self.name}-{name}.pem", self.folder / f"{self.name}-{name}.key"
        paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
        paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return paths


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

    def link(self, member: Authority, trusted: Authority) -> Link:
        certificate, key = member.issue("kiosk")
        tls = TlsConfig(ca=trusted.path, certificate=certificate, key=key)
        return Link(self.port, host="localhost", tls=tls.model_dump(), reconnect_max_s=40.0)


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
    waits: queue.SimpleQueue[float] = queue.SimpleQueue()
    ours, theirs = (tls.stranger, tls.authority) if wrong == "ours" else (tls.authority, tls.stranger)
    link = tls.link(ours, theirs)
    note_waits(link, waits)
    with link:
        assert waits.get(timeout=5) == 40.0
        assert link.inbox.empty()


def test_stops_at_once_in_a_tls_handshake_that_never_ends(scripted: ScriptedBroker, tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ca")
    certificate, key = authority.issue("kiosk")
    tls = TlsConfig(ca=authority.path, certificate=certificate, key=key)
    with Link(scripted.port, tls=tls.model_dump()) as link:
        scripted.accept()
        scripted.take(5)  # the beginning of its ClientHello
        assert seconds_to_stop(link.link) < STOP_S


def test_missing_tls_files_are_reported_and_do_not_end_the_process(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    waits: queue.SimpleQueue[float] = queue.SimpleQueue()
    missing = tmp_path / "missing.pem"
    link = Link(1, tls={"ca": missing, "certificate": missing, "key": missing}, reconnect_max_s=40.0)
    note_waits(link, waits)
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
    with Link(broker.port) as link:
        assert link.inbox.get(timeout=5) == Connected()
        broker.kill()
        assert isinstance(link.inbox.get(timeout=5), Disconnected)
        broker.start()
        assert link.inbox.get(timeout=5) == Connected()
    assert isinstance(link.inbox.get_nowait(), Disconnected)
    assert link.inbox.empty()
