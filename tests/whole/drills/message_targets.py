"""The parsers of messages that fuzz.py feeds: control socket, broker and hub, in both directions."""

import copy
import io
import json
import logging
import queue
import shutil
import tempfile
import weakref
from collections import deque
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from paho.mqtt.enums import MQTTErrorCode

from agent.cli import console
from agent.config import HubConfig
from agent.control import protocol
from agent.control.connection import ClientConnection
from agent.errors import ControlError
from agent.events.event import Acknowledgement, EventClass, Held
from agent.hub.link import HubLink, HubSignal
from agent.hub.mqtt_client import PacketRefused
from agent.hub.outbox import Outbox
from agent.requests import checked_request
from simulators.hub.console import StateLines
from simulators.hub.hub import HubSimulator
from simulators.hub.keys import HubKeys
from simulators.hub.rules import Message
from simulators.hub.store import HubStore
from tests.rigs.events import encounter, enrolment, event, health, lead, raw
from tests.rigs.hub_messages import message
from tests.rigs.scripted_broker import CONNACK, SESSION_TAKEN_OVER, packet, publish
from tests.rigs.store_key import TEST_KEY
from tests.whole.drills.parser import Feed, Parser

CLEAR = "DELETE FROM events; DELETE FROM progress; DELETE FROM invalid; DELETE FROM held; DELETE FROM states;"
SPLIT = b"\x1e"  # between topic, attributes and body of a message to the hub

logging.getLogger("agent").addHandler(logging.NullHandler())  # what is refused is also logged, once a minute


class _Peer:
    """A socket whose peer has sent `data`, and then nothing more."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = io.BytesIO(data)

    def recv(self, size: int, _flags: int = 0) -> bytes:
        if not (received := self.data.read(size)):
            raise BlockingIOError
        return received

    def send(self, data: bytes) -> int:
        return len(data)

    def fileno(self) -> int:
        return -1

    def setsockopt(self, *_: object) -> None:
        """Nothing to set."""

    setblocking = shutdown = setsockopt

    def close(self) -> None:
        """Nothing to close."""


def _control_request() -> Feed:
    """A request as the server reads it, up to its handler."""

    def feed(data: bytes) -> None:
        client = ClientConnection(cast("Any", _Peer(data)))
        while client._socket.data.tell() < len(data) and not client.receive():  # type: ignore[attr-defined]
            pass
        _, arguments = checked_request(*client.request())
        assert arguments.model_dump() is not None

    return feed


def _control_answer() -> Feed:
    """An answer as the command line reads it."""

    def feed(data: bytes) -> None:
        for line in protocol._parsed(io.BytesIO(data)):
            if "announce" in line:
                with protocol.understood():
                    console._FORMATS[protocol._announcement(line)["kind"]](protocol._announcement(line))
            else:
                json.dumps(protocol._result(line))

    return feed


class _Link:
    """The hub link of a kiosk, whose broker has sent some bytes."""

    def __init__(self) -> None:
        self.inbox: queue.Queue[HubSignal] = queue.Queue()
        self.link = HubLink(HubConfig(), "s1", "k1", self.inbox, lambda *_: None)
        self.peer = _Peer()
        self.client = self.link._new_client()
        self.client._open_socket = lambda: cast("Any", self.peer)
        self.client.open("hub", 1883, 30)
        self._fresh = copy.deepcopy(self.client._in_packet)

    def _new_connection(self) -> None:
        """As open() does it, but without the CONNECT, which takes longer than the reading."""
        self.client._sock = cast("Any", self.peer)
        self.client._in_packet = copy.deepcopy(self._fresh)

    def feed(self, data: bytes) -> None:
        self.peer = _Peer(data)
        self.link._answered = self.link._ready = False
        self.client._out_packet.clear()
        self.client._out_messages.clear()
        self._new_connection()
        while self.client.loop_read() == MQTTErrorCode.MQTT_ERR_SUCCESS and self.peer.data.tell() < len(data):
            pass
        assert not self.client._in_messages
        assert len(self.client._in_packet["packet"]) <= len(data)
        while not self.inbox.empty():
            assert not isinstance(self.inbox.get(), BaseException)


def _acknowledgements() -> Feed:
    """What the hub sends, up to the outbox: nothing is forgotten that was never put."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    outbox = Outbox(folder / "outbox.db", "k1", key=TEST_KEY)
    for _ in range(3):
        outbox.put(raw(EventClass.LEAD))
    link = _Link()

    def feed(data: bytes) -> None:
        link.link._on_message(None, None, cast("Any", SimpleNamespace(topic="bio/v1/s1/k1/ack", payload=data)))
        while not link.inbox.empty():
            signal = link.inbox.get()
            if isinstance(signal, Acknowledgement):
                outbox.forget(signal.epoch, signal.event_class, signal.upto)
            elif isinstance(signal, Held):
                outbox.hold(signal)
        assert outbox.last()[EventClass.LEAD] == 3

    weakref.finalize(feed, shutil.rmtree, folder)
    weakref.finalize(feed, outbox.close)  # this one is called first
    return feed


class _AckClient:
    """In the place of the hub's connection: its acknowledgements must be publishable."""

    def is_connected(self) -> bool:
        return True

    def publish(self, topic: str, body: str, qos: int) -> None:
        assert qos == 1
        assert not set("+#\0") & set(topic)
        json.loads(body)


def _hub_message() -> Feed:
    """A message to the simulated hub: topic, attributes as lines of name=value, and body."""
    lines = deque[str](maxlen=1)
    hub = HubSimulator(1, print_line=lines.append, keys=HubKeys.make())
    hub._client = cast("Any", _AckClient())
    hub._scratch.cleanup()  # its store is in memory
    store = HubStore(Path(":memory:"))
    count = 0

    def feed(data: bytes) -> None:
        nonlocal count
        topic, attributes, body = (data + SPLIT + SPLIT).split(SPLIT, 2)
        pairs = [line.partition("=") for line in attributes.decode("utf-8", "replace").split("\n")]
        arrived = {name: value for name, _, value in pairs}
        content_type = arrived.pop("content-type", None)
        hub._take(store, [Message(topic.decode("utf-8", "replace"), body[:-2], arrived, content_type)])
        assert all(line.isprintable() for line in lines)
        count += 1
        if count % 100 == 0:  # a real one has a disk
            store._connection.executescript(CLEAR)
            hub._state_lines = StateLines()

    return feed


def _line(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"


def _requests() -> tuple[bytes, ...]:
    return (
        _line({"do": "status"}),
        _line(
            {
                "do": "enrol",
                "with": {"positions": ["right_index"], "samples": 3, "agreement": "a", "reference_id": "r-1"},
            }
        ),
        _line({"do": "outbox", "with": {"limit": 20}}),
        _line({"do": "watchlist-remove", "with": {"reference_id": "r-1"}}),
    )


def _answers() -> tuple[bytes, ...]:
    step = {
        "kind": "step",
        "position": "right_index",
        "attempt": 1,
        "usable": True,
        "quality": 7,
        "reason": "",
        "timings_ms": {"a": 1.5},
    }
    return (
        _line({"ok": True, "result": {"a": [1, 2.5, None]}}),
        _line({"ok": False, "error": "what is wrong"}),
        _line({"announce": step})
        + _line({"announce": {"kind": "told", "text": "Please wait"}})
        + _line({"ok": True, "result": {}}),
    )


def _acks(epoch: str = "0123456789abcdef") -> tuple[bytes, ...]:
    return (
        _line({"epoch": epoch, "class": "lead", "sequence": 3}),
        _line({"epoch": epoch, "class": "health", "sequence": 0, "held": {"sequence": 1, "reason": "cannot_decrypt"}}),
    )


def _packets() -> tuple[bytes, ...]:
    suback = bytes([0x90, 4, 0, 1, 0, 1])
    ack = _acks()[0]
    return (
        CONNACK + suback + publish(ack) + publish(ack, qos=1) + packet(0xD0, b""),
        bytes([0x20, 11, 0, 0, 8, 0x21, 0, 20, 0x27, 0, 1, 0, 0]) + suback + packet(0x40, b"\0\1\0\0"),
        CONNACK + packet(0x32, b"\0\1a\0\7\x0b\x26\0\1k\0\1v\x01\1\x02\0\0\0\1body"),
        CONNACK + SESSION_TAKEN_OVER,
        CONNACK + suback + publish(ack, qos=2) + packet(0x62, b"\0\7"),
    )


def _hub_messages() -> tuple[bytes, ...]:
    payloads = (lead(), encounter(), health(), enrolment("a.b.c.d.e"))
    frames = [_frame(message(event(payload), 1)) for payload in payloads]
    state = SPLIT.join((b"bio/v1/s1/k1/state", b"", b'{"status":"offline"}'))
    sensors = b'{"status":"online","sensors":{"finger":{"state":"ready","driver":"d","since":"2026-01-01T00:00:00Z"}}}'
    return (*frames, state, SPLIT.join((b"bio/v1/s1/k1/state", b"", sensors)))


def _frame(given: Message) -> bytes:
    attributes = given.attributes | {"content-type": "application/json"}
    lines = "\n".join(f"{name}={value}" for name, value in attributes.items())
    return SPLIT.join((given.topic.encode(), lines.encode(), given.body))


def _packet_feed() -> Feed:
    return _Link().feed


MESSAGE_PARSERS: dict[str, Parser] = {
    "control-request": Parser(_requests(), _control_request, (ControlError,)),
    "control-answer": Parser(_answers(), _control_answer, (ControlError,)),
    "hub-packet": Parser(_packets(), _packet_feed, (PacketRefused,)),
    "hub-acknowledgement": Parser(_acks(), _acknowledgements),
    "simulated-hub": Parser(_hub_messages(), _hub_message),
}
