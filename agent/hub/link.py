"""The link to the hub over MQTT 5.

paho keeps messages published offline in RAM, repeats them after a reconnect, and has its own thread. The outbox does
the first two better. So each connection gets a new client, run by this worker's thread, and the publisher sends again
what was lost with a connection. Callbacks run in this thread and only put signals on the inbox.
"""

import logging
import math
import queue
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import paho.mqtt.client as mqtt
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from pydantic import ValidationError

from agent.config import MAX_WINDOW, HubConfig
from agent.errors import ConfigError, HubError
from agent.events.cloudevents import CONTENT_TYPE, Topics, attributes, list_topic
from agent.events.event import Acknowledgement, AcknowledgementMessage, EventClass, Held, KioskState, StoredEvent
from agent.hub.connection import TcpConnection, is_certificate_error
from agent.hub.lookup import NameLookup
from agent.hub.mqtt_client import MqttClient, PacketRefused
from agent.keys import tls_context
from agent.log_limit import LimitedLog
from agent.worker import OnCrash, Worker
from drivers.printable import printable

log = logging.getLogger(__name__)

FIRST_WAIT_S = 0.5  # after a failure; doubles up to the configured maximum
STABLE_S = 5.0  # after a connection that lasted this long, the wait is FIRST_WAIT_S again
ANSWER_S = 10.0  # longest wait for CONNACK and SUBACK
DISCONNECT_S = 0.3  # for the broker to receive the last state: a stop must end within 0.5 s
LOOP_S = 1.0
MAX_IN_FLIGHT = 20  # QoS 1 messages without a PUBACK, unless the broker allows fewer; Mosquitto's default
MAX_ACKNOWLEDGEMENT = 1024  # bytes
MAX_POINTER = 4096  # bytes of the message that says that there is a new list
MAX_SIGNALS = 1000  # that wait for the publisher; later acknowledgements are dropped, as the hub repeats them
MAX_QUEUED = 2 * MAX_WINDOW * len(EventClass)  # messages that paho may hold in RAM; the publisher's windows are smaller

OFFLINE = KioskState(status="offline")  # published by the kiosk when it stops, and by the broker as the last will
STARTING = KioskState(status="degraded")  # until the daemon sets a state

# CONNACK and DISCONNECT reasons after which retrying soon cannot help (MQTT 5, 3.2.2.2 and 3.14.2.1).
PERMANENT_REFUSALS = frozenset({0x84, 0x85, 0x86, 0x87, 0x8A, 0x8C, 0x8E})


class Connected(NamedTuple):
    """The hub can be reached, and its acknowledgements are subscribed to."""


class Disconnected(NamedTuple):
    """The connection is lost; everything not acknowledged must be sent again."""

    reason: str


class Wake(NamedTuple):
    """There may be a new event in the outbox."""


class ListNews(NamedTuple):
    """Whom to tell that there may be something new in the lists of this name. The message itself counts nothing."""

    name: str
    on_news: Callable[[], None]


HubSignal = Connected | Disconnected | Acknowledgement | Held | Wake


@dataclass(frozen=True)
class _Failure:
    reason: str
    refused: bool = False


class HubLink(Worker):
    """Connects in the background and reconnects. Puts signals on the inbox; `send` and `set_state` never wait."""

    patience_s = math.inf  # a kiosk works without a network, so nothing of the network may starve the watchdog

    def __init__(
        self,
        config: HubConfig,
        site: str,
        kiosk: str,
        inbox: "queue.Queue[HubSignal]",
        on_crash: OnCrash,
        lists: ListNews | None = None,
    ) -> None:
        super().__init__("hub", on_crash)
        self._config = config
        self._lists = lists
        self._list_topic = list_topic(lists.name) if lists is not None else ""
        self._list_request: int | None = None  # the number of the request to subscribe to it
        self._topics = Topics(site, kiosk)
        self._name = f"kiosk:{site}:{kiosk}"
        self._inbox = inbox
        self._lock = threading.Lock()  # for what other threads use: _ready, _client, _state, _state_sent
        self._ready = False
        self._client: MqttClient | None = None
        self._connection: TcpConnection | None = None
        self._lookup = NameLookup(config.host, config.port)
        self._failures = 0  # since the start; another address comes first after each
        self._refused = LimitedLog(log)
        self._state = STARTING
        self._state_sent: tuple[KioskState, mqtt.MQTTMessageInfo] | None = None
        self._failure: _Failure | None = None
        self._reason = ""
        self._failure_reported = False
        self._answered = False  # whether the broker has answered CONNECT
        self._in_flight = MAX_IN_FLIGHT

    @property
    def connected(self) -> bool:
        """Whether events can be sent now."""
        return self._ready

    @property
    def refused(self) -> dict[str, int]:
        """How many messages and packets of the broker were refused, by kind."""
        return self._refused.counts

    def send(self, stored: StoredEvent, acknowledged: int) -> None:
        """Send one event to the broker without waiting. HubError if not connected."""
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
        """Set the retained state. Only the latest is published, and again after each reconnect."""
        with self._lock:
            if self._state is not OFFLINE or not self.stopping.is_set():
                self._state = state
                self._publish_state()

    def run(self) -> None:
        """Connect, run the connection until it ends, wait, and repeat."""
        wait = FIRST_WAIT_S
        while not self.stopping.is_set():
            began = time.monotonic()
            failure = self._run_connection()
            if self.stopping.is_set():
                return
            self._report(failure)
            self._failures += 1
            stable = time.monotonic() - began > STABLE_S and not failure.refused
            wait = FIRST_WAIT_S if stable else min(wait, self._config.reconnect_max_s)
            self._pause(self._config.reconnect_max_s if failure.refused else wait)
            wait *= 2

    def interrupt(self) -> None:
        """Wake the thread: publish "offline" on an open connection, abort one that is still being established."""
        with self._lock:
            if self._ready:
                self._publish_offline()
            elif self._connection is not None:
                self._connection.abort()

    def _pause(self, seconds: float) -> None:
        """Wait with jitter, so that a thousand kiosks do not reconnect in the same second."""
        until = time.monotonic() + seconds * random.uniform(0.75, 1.0)  # noqa: S311 - not used as a secret
        while (left := until - time.monotonic()) > 0 and not self.stopping.wait(min(left, LOOP_S)):
            self.beat()
            self._refused.flush()

    def _run_connection(self) -> _Failure:
        """Run one connection from its first byte to its last; returns why it ended."""
        try:
            client = self._new_client()
            client.open(self._config.host, self._config.port, self._config.keepalive_s)
            self._run_loop(client)
        except (OSError, ConfigError) as error:
            refused = is_certificate_error(error) or isinstance(error, ConfigError)
            return _Failure(str(error) or type(error).__name__, refused)
        finally:
            self._close_connection()
        return self._cause()

    def _new_client(self) -> MqttClient:
        tls = tls_context(self._config.tls) if self._config.tls else None
        connection = TcpConnection(
            self._config.host,
            self._config.port,
            tls,
            lookup=self._lookup,
            turn=self._failures,
            only_here=tls is None and not self._config.insecure,
            on_wait=self.beat,
        )
        client = MqttClient(self._name, connection.open)
        client.will_set(self._topics.state, _json(OFFLINE), qos=1, retain=True)
        client.max_inflight_messages_set(self._in_flight)
        client.max_queued_messages_set(MAX_QUEUED)
        client.on_connect, client.on_subscribe = self._on_connect, self._on_subscribe
        client.on_message, client.on_disconnect = self._on_message, self._on_disconnect
        with self._lock:
            self._failure, self._state_sent, self._answered = None, None, False
            self._client, self._connection = client, connection
        if self.stopping.is_set():  # interrupt() may have been called before there was a connection to abort
            connection.abort()
        return client

    def _run_loop(self, client: MqttClient) -> None:
        try:
            self._serve(client)
        except PacketRefused as error:
            self._refuse("packets", f"a packet: {error}")
            self._failure = _Failure(str(error))
            client.refuse(error.reason)

    def _serve(self, client: MqttClient) -> None:
        deadline = time.monotonic() + ANSWER_S
        while not self.stopping.is_set() and client.step(LOOP_S):
            self.beat()
            self._refused.flush()
            if not self._ready and time.monotonic() > deadline:
                raise TimeoutError(f"no answer within {ANSWER_S:.0f} s")
            with self._lock:
                self._publish_state()
        if self.stopping.is_set() and self._ready:
            self._disconnect(client)

    def _disconnect(self, client: MqttClient) -> None:
        """Publish the state "offline" and disconnect. If it does not arrive in time, the last will publishes it."""
        deadline = time.monotonic() + DISCONNECT_S
        with self._lock:
            self._publish_offline()
        while not self._offline_published() and (left := deadline - time.monotonic()) > 0:
            if not client.step(left):
                return
        reason = "Normal disconnection" if self._offline_published() else "Disconnect with will message"
        client.disconnect(ReasonCode(PacketTypes.DISCONNECT, reason))
        client.step(0.05)

    def _publish_offline(self) -> None:
        """Publish it once, even while an older state is still in flight. Call with the lock held."""
        if self._state is not OFFLINE:
            self._state, self._state_sent = OFFLINE, None
        self._publish_state()

    def _offline_published(self) -> bool:
        return self._state_sent is not None and self._state_sent[0] is OFFLINE and self._state_sent[1].is_published()

    def _close_connection(self) -> None:
        with self._lock:
            was_ready, self._ready = self._ready, False
            connection, self._connection, self._client = self._connection, None, None
        if connection is not None:
            connection.close()
            if connection.alert is not None:
                self._failure = _Failure(str(connection.alert), is_certificate_error(connection.alert))
        if was_ready:
            self._inbox.put(Disconnected(self._cause().reason))

    @property
    def reason(self) -> str:
        """Why there is no connection now; empty if there is one, or if none was tried yet."""
        return "" if self._ready else self._reason

    def _cause(self) -> _Failure:
        return self._failure or _Failure("connection lost")

    def _report(self, failure: _Failure) -> None:
        self._reason = printable(failure.reason)  # the broker, or the library that talks to it, says it
        level = logging.DEBUG if self._failure_reported else logging.WARNING
        self._failure_reported = True
        log.log(level, "hub %s: %s%s", self._where, self._reason, "; trying again later" if failure.refused else "")

    @property
    def _where(self) -> str:
        return f"{self._config.host}:{self._config.port}"

    def _publish_state(self) -> None:
        """Publish the state, unless that is done or an older one is still in flight. Call with the lock held."""
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
        if self._answered:
            raise PacketRefused("the broker answered CONNECT twice")
        self._answered = True
        if reason.is_failure:
            self._failure = _Failure(f"refused: {reason}", reason.value in PERMANENT_REFUSALS)
            return
        allowed = getattr(properties, "ReceiveMaximum", self._in_flight)
        if allowed < self._in_flight:  # paho cannot change this on an open connection: open another one
            self._in_flight = allowed
            self._failure = _Failure(f"the broker allows {allowed} messages in flight: reconnecting with this limit")
            client.disconnect()
            return
        client.subscribe(self._topics.acknowledgement, qos=1)

    def _on_subscribe(self, client: mqtt.Client, _: object, mid: int, reasons: list[ReasonCode], __: object) -> None:
        if self._ready and mid == self._list_request:
            self._list_request = None
            if not reasons or reasons[0].is_failure:
                text = "refuses the topic of new lists: they are noticed at the next check"
                self._refused.warning("subscriptions to new lists", f"hub {self._where}: the broker {text}")
            return
        if self._ready:
            raise PacketRefused("the broker answered SUBSCRIBE twice")
        if not reasons or reasons[0].is_failure:
            reason = reasons[0] if reasons else "an answer without a reason"
            self._failure = _Failure(f"subscription refused: {reason}", refused=True)
            client.disconnect()
            return
        with self._lock:
            self._ready = True
            self._publish_state()
        log.log(logging.INFO, "hub %s: connected", self._where)
        self._failure_reported = False
        self._inbox.put(Connected())
        if self._list_topic:
            _, self._list_request = client.subscribe(self._list_topic, qos=1)

    def _on_message(self, _: object, __: object, message: mqtt.MQTTMessage) -> None:
        if self._lists is not None and message.topic == self._list_topic:
            if len(message.payload) > MAX_POINTER:
                self._refuse("messages of new lists", f"a message of new lists of {len(message.payload)} bytes")
            else:
                self._lists.on_news()
        elif message.topic != self._topics.acknowledgement:
            self._refuse("messages of other topics", "a message of a topic that this kiosk has not subscribed to")
        elif len(message.payload) > MAX_ACKNOWLEDGEMENT:
            self._refuse("unreadable acknowledgements", f"an acknowledgement of {len(message.payload)} bytes")
        else:
            self._take_acknowledgement(bytes(message.payload))

    def _take_acknowledgement(self, payload: bytes) -> None:
        try:
            content = AcknowledgementMessage.model_validate_json(payload)
        except ValidationError as error:
            text = f"an unreadable acknowledgement: {error.error_count()} errors"
            self._refuse("unreadable acknowledgements", text)
            return
        if self._inbox.qsize() >= MAX_SIGNALS:
            self._refuse("too many acknowledgements", "more acknowledgements than this kiosk can take")
            return
        self._inbox.put(Acknowledgement(content.epoch, content.event_class, content.sequence))
        if content.held is not None:
            self._inbox.put(Held(content.epoch, content.event_class, content.held.sequence, content.held.reason))

    def _refuse(self, kind: str, text: str) -> None:
        self._refused.warning(kind, f"hub {self._where}: refused {text}")

    def _on_disconnect(
        self, _: object, __: object, flags: mqtt.DisconnectFlags, reason: ReasonCode, ___: object
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            self._failure = _Failure(f"disconnected: {reason}", reason.value in PERMANENT_REFUSALS)


def _json(state: KioskState) -> bytes:
    return state.model_dump_json().encode()
