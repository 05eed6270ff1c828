"""The link to the hub over MQTT 5; the only file that imports paho.

paho keeps messages published offline in RAM, repeats them by itself after a reconnect and has a thread of its own. The
outbox does the first two better, so each connection gets a fresh client, driven by this worker's thread: what is lost
with a connection is sent again by the publisher. Callbacks run in this thread and only put on the inbox.
"""

import logging
import queue
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from socket import socket
from typing import NamedTuple

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from pydantic import ValidationError

from agent.config import LARGEST_WINDOW, HubConfig
from agent.errors import ConfigError, HubError
from agent.events.cloudevents import CONTENT_TYPE, Topics, attributes
from agent.events.event import Acknowledgement, AcknowledgementMessage, EventClass, KioskState, StoredEvent
from agent.hub.connection import Dial, refuses
from agent.keys import tls_context
from agent.worker import OnCrash, Worker

log = logging.getLogger(__name__)

FIRST_WAIT_S = 0.5  # after a failure; doubles up to the configured longest wait
STEADY_S = 5.0  # a connection that lasted as long starts again at FIRST_WAIT_S
ANSWER_S = 10.0  # for CONNACK and SUBACK
FAREWELL_S = 0.3  # for the broker to take the last state: a stop is over within 0.5 s
LOOP_S = 1.0
IN_FLIGHT = 20  # QoS 1 messages on their way to the broker, unless it allows fewer; Mosquitto's default
QUEUED = 2 * LARGEST_WINDOW * len(EventClass)  # messages that paho may hold in RAM; the publisher's windows stay below

OFFLINE = KioskState(status="offline")  # said by the kiosk when it stops, and by the broker as its last will
STARTING = KioskState(status="degraded")  # until the daemon has said more

# CONNACK and DISCONNECT reasons that trying again soon cannot mend (MQTT 5, 3.2.2.2 and 3.14.2.1).
REFUSALS = frozenset({0x84, 0x85, 0x86, 0x87, 0x8A, 0x8C, 0x8E})


class Connected(NamedTuple):
    """The hub can be reached, and acknowledgements will be heard."""


class Disconnected(NamedTuple):
    """The link is gone; everything not acknowledged has to be sent again."""

    reason: str


class Wake(NamedTuple):
    """There is something new in the outbox."""


HubSignal = Connected | Disconnected | Acknowledgement | Wake


@dataclass(frozen=True)
class _Problem:
    reason: str
    refused: bool = False


class _Client(mqtt.Client):
    """A client on a socket that we open, so that it can be cut short."""

    def __init__(self, name: str, open_socket: Callable[[], socket]) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, client_id=name, protocol=mqtt.MQTTv5, reconnect_on_failure=False)
        self._open_socket = open_socket
        # Tells paho that somebody else writes: otherwise publish() would write from its caller's thread as well.
        self.on_socket_register_write = lambda *_: None

    def _create_socket(self) -> socket:
        return self._open_socket()


class HubLink(Worker):
    """Connects in the background and keeps connected. Signals go to the inbox; `send` and `set_state` never wait."""

    def __init__(
        self, config: HubConfig, site: str, kiosk: str, inbox: "queue.Queue[HubSignal]", on_crash: OnCrash
    ) -> None:
        super().__init__("hub", on_crash)
        self._config = config
        self._topics = Topics(site, kiosk)
        self._name = f"kiosk:{site}:{kiosk}"
        self._inbox = inbox
        self._lock = threading.Lock()  # over what other threads touch: _ready, _client, _state, _state_sent
        self._ready = False
        self._client: _Client | None = None
        self._dial: Dial | None = None
        self._state = STARTING
        self._state_sent: tuple[KioskState, mqtt.MQTTMessageInfo] | None = None
        self._problem: _Problem | None = None
        self._reported = False
        self._in_flight = IN_FLIGHT

    @property
    def connected(self) -> bool:
        """Whether events can be sent now."""
        return self._ready

    def send(self, stored: StoredEvent, acknowledged: int) -> None:
        """Hand one event to the broker without waiting. HubError unless connected."""
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.UserProperty = attributes(stored, self._topics.source, acknowledged)
        if stored.tombstone is None:
            properties.ContentType = CONTENT_TYPE
        with self._lock:
            if not self._ready or self._client is None:
                raise HubError(f"not connected to {self._where}")
            topic = self._topics.event(stored.key.event_class)
            info = self._client.publish(topic, stored.event.body, qos=1, properties=properties)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise HubError(f"{self._where}: {mqtt.error_string(info.rc)}")

    def set_state(self, state: KioskState) -> None:
        """The retained state from now on. The latest wins; it is published again after each reconnect."""
        with self._lock:
            if self._state is not OFFLINE or not self.stopping.is_set():
                self._state = state
                self._publish_state()

    def run(self) -> None:
        """Connect, serve, wait, again."""
        wait = FIRST_WAIT_S
        while not self.stopping.is_set():
            began = time.monotonic()
            problem = self._serve()
            if self.stopping.is_set():
                return
            self._report(problem)
            steady = time.monotonic() - began > STEADY_S and not problem.refused
            wait = FIRST_WAIT_S if steady else min(wait, self._config.reconnect_max_s)
            self._pause(self._config.reconnect_max_s if problem.refused else wait)
            wait *= 2

    def interrupt(self) -> None:
        """Wake the thread: say farewell on a living connection, cut one that is still being made."""
        with self._lock:
            if self._ready:
                self._say_offline()
            elif self._dial is not None:
                self._dial.cut()

    def _pause(self, seconds: float) -> None:
        """With jitter, so that a thousand kiosks do not come back in the same second."""
        until = time.monotonic() + seconds * random.uniform(0.75, 1.0)  # noqa: S311 - spreading, no secret
        while (left := until - time.monotonic()) > 0 and not self.stopping.wait(min(left, LOOP_S)):
            self.beat()

    def _serve(self) -> _Problem:
        """One connection from its first byte to its last; returns why it ended."""
        try:
            client = self._connect()
            self._drive(client)
        except (OSError, ConfigError) as error:
            return _Problem(str(error) or type(error).__name__, refuses(error) or isinstance(error, ConfigError))
        finally:
            self._hang_up()
        return self._why()

    def _connect(self) -> _Client:
        tls = tls_context(self._config.tls) if self._config.tls else None
        dial = Dial(self._config.host, self._config.port, tls)
        client = _Client(self._name, dial.open)
        client.will_set(self._topics.state, _json(OFFLINE), qos=1, retain=True)
        client.max_inflight_messages_set(self._in_flight)
        client.max_queued_messages_set(QUEUED)
        client.on_connect, client.on_subscribe = self._on_connect, self._on_subscribe
        client.on_message, client.on_disconnect = self._on_message, self._on_disconnect
        with self._lock:
            self._problem, self._state_sent = None, None
            self._client, self._dial = client, dial
        if self.stopping.is_set():  # interrupt() may have come before there was anything to cut
            dial.cut()
        client.connect(self._config.host, self._config.port, self._config.keepalive_s, clean_start=True)
        return client

    def _drive(self, client: _Client) -> None:
        deadline = time.monotonic() + ANSWER_S
        while not self.stopping.is_set() and client.loop(LOOP_S) == MQTTErrorCode.MQTT_ERR_SUCCESS:
            self.beat()
            if not self._ready and time.monotonic() > deadline:
                raise TimeoutError(f"no answer within {ANSWER_S:.0f} s")
            with self._lock:
                self._publish_state()
        if self.stopping.is_set() and self._ready:
            self._farewell(client)

    def _farewell(self, client: _Client) -> None:
        """The state "offline" reaches the broker, or else the last will says it."""
        deadline = time.monotonic() + FAREWELL_S
        with self._lock:
            self._say_offline()
        while not self._state_arrived() and (left := deadline - time.monotonic()) > 0:
            if client.loop(left) != MQTTErrorCode.MQTT_ERR_SUCCESS:
                return
        reason = "Normal disconnection" if self._state_arrived() else "Disconnect with will message"
        client.disconnect(ReasonCode(PacketTypes.DISCONNECT, reason))
        client.loop(0.05)

    def _say_offline(self) -> None:
        """Publish it once, whatever is still on its way. Call with the lock held."""
        if self._state is not OFFLINE:
            self._state, self._state_sent = OFFLINE, None
        self._publish_state()

    def _state_arrived(self) -> bool:
        return self._state_sent is not None and self._state_sent[0] is OFFLINE and self._state_sent[1].is_published()

    def _hang_up(self) -> None:
        with self._lock:
            was_ready, self._ready = self._ready, False
            dial, self._dial, self._client = self._dial, None, None
        if dial is not None:
            dial.close()
            if dial.alert is not None:
                self._problem = _Problem(str(dial.alert), refuses(dial.alert))
        if was_ready:
            self._inbox.put(Disconnected(self._why().reason))

    def _why(self) -> _Problem:
        return self._problem or _Problem("connection lost")

    def _report(self, problem: _Problem) -> None:
        level = logging.DEBUG if self._reported else logging.WARNING
        self._reported = True
        log.log(level, "hub %s: %s%s", self._where, problem.reason, "; trying again later" if problem.refused else "")

    @property
    def _where(self) -> str:
        return f"{self._config.host}:{self._config.port}"

    def _publish_state(self) -> None:
        """Publish the state unless it was, or an older one is still on its way. Call with the lock held."""
        if not self._ready or self._client is None:
            return
        sent = self._state_sent
        if sent is not None and (sent[0] == self._state or not sent[1].is_published()):
            return
        info = self._client.publish(self._topics.state, _json(self._state), qos=1, retain=True)
        if info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS:  # else it is tried again
            self._state_sent = (self._state, info)

    def _on_connect(
        self, client: mqtt.Client, _: object, __: object, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if reason.is_failure:
            self._problem = _Problem(f"refused: {reason}", reason.value in REFUSALS)
            return
        allowed = getattr(properties, "ReceiveMaximum", self._in_flight)
        if allowed < self._in_flight:  # paho cannot change it on an open connection: open another one
            self._in_flight = allowed
            self._problem = _Problem(f"takes {allowed} messages at a time: connecting again with as many")
            client.disconnect()
            return
        client.subscribe(self._topics.acknowledgement, qos=1)

    def _on_subscribe(self, client: mqtt.Client, _: object, __: int, reasons: list[ReasonCode], ___: object) -> None:
        if not reasons or reasons[0].is_failure:
            said = reasons[0] if reasons else "an answer without a reason"
            self._problem = _Problem(f"subscription refused: {said}", refused=True)
            client.disconnect()
            return
        with self._lock:
            self._ready = True
            self._publish_state()
        log.log(logging.INFO, "hub %s: connected", self._where)
        self._reported = False
        self._inbox.put(Connected())

    def _on_message(self, _: object, __: object, message: mqtt.MQTTMessage) -> None:
        try:
            content = AcknowledgementMessage.model_validate_json(message.payload)
        except ValidationError as error:
            log.warning("hub %s: unreadable acknowledgement: %d errors", self._where, error.error_count())
            return
        self._inbox.put(Acknowledgement(content.epoch, content.event_class, content.sequence))

    def _on_disconnect(
        self, _: object, __: object, flags: mqtt.DisconnectFlags, reason: ReasonCode, ___: object
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            self._problem = _Problem(f"disconnected: {reason}", reason.value in REFUSALS)


def _json(state: KioskState) -> bytes:
    return state.model_dump_json().encode()
