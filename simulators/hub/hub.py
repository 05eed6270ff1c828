"""The central hub, simulated: subscribes, verifies, stores, and only then acknowledges.

It knows the kiosk only through the published schemas and the topics. paho's thread puts arrivals on a queue; one worker
takes them in batches, commits, then publishes the acknowledgements.
"""

import contextlib
import json
import queue
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Self

import paho.mqtt.client as mqtt
import typer
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from simulators.hub.console import StateLines, event_line, trouble_line
from simulators.hub.keys import HubKeys, Unsealable
from simulators.hub.rules import (
    STATE_TOPIC,
    Invalid,
    Key,
    Message,
    Schemas,
    Unkeyed,
    acknowledged_before,
    read_content,
    read_key,
)
from simulators.hub.store import HubStore, Progress, progress, rows

SUBSCRIPTIONS = ["bio/v1/+/+/evt/+", "bio/v1/+/+/state"]
SESSION_S = 3600  # the broker keeps arrivals for a hub that restarts
BATCH = 500
Say = Callable[[str], None]


class HubSimulator:
    """start() and stop(), or a context manager. Without `db` it keeps its store in a scratch folder."""

    def __init__(
        self,
        port: int,
        host: str = "127.0.0.1",
        *,
        db: Path | None = None,
        say: Say | None = None,
        keys: HubKeys | None = None,
    ) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="kiosk-hub-")
        self.path = db or Path(self._scratch.name) / "hub.db"
        self._host, self._port, self._say, self.keys = host, port, say or (lambda _: None), keys
        self._schemas = Schemas()
        self._states_said = StateLines()
        self._arrivals: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._stored, self._subscribed, self._away = 0, False, False
        self.thrown_away = 0  # messages that came while away
        self._crash: BaseException | None = None
        self._client = self._new_client()
        self._thread = threading.Thread(target=self._main, name="hub-simulator", daemon=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, timeout: float = 10.0) -> None:
        """Connect and subscribe. TimeoutError when there is no broker; it goes on trying afterwards."""
        HubStore(self.path).close()  # the tables are there for readers from now on
        self._thread.start()
        self._client.connect_async(self._host, self._port, keepalive=30, clean_start=False, properties=_session())
        self._client.loop_start()
        if not self._wait(lambda: self._subscribed, timeout):
            raise TimeoutError(f"hub simulator: no broker at {self._host}:{self._port}")

    def stop(self) -> None:
        """Disconnect, store what has arrived, end. Raises what its worker died of, so that a test cannot miss it."""
        self._client.disconnect()
        self._client.loop_stop()
        self._arrivals.put(None)
        self._thread.join()
        self._scratch.cleanup()
        if self._crash is not None:
            raise self._crash

    def leave(self) -> None:
        """Be away: arrivals are thrown away unacknowledged, as by a hub that died just after its PUBACK."""
        self._away = True

    def come_back(self) -> None:
        """Store and acknowledge again."""
        self._away = False

    def events(self) -> list[dict[str, Any]]:
        """All events stored, in order of arrival."""
        return rows(self.path, "events")

    def invalid(self) -> list[dict[str, Any]]:
        """What arrived and could not be believed, with the reason."""
        return rows(self.path, "invalid")

    def states(self) -> list[dict[str, Any]]:
        """All states that arrived, in order."""
        return rows(self.path, "states")

    def progress(self) -> list[Progress]:
        """How far each class of each epoch is, with duplicates and losses."""
        return progress(self.path)

    def wait_for(self, count: int, timeout: float) -> bool:
        """Whether so many events were stored in time."""
        return self._wait(lambda: self._stored >= count, timeout)

    def wait_for_state(self, status: str, timeout: float) -> bool:
        """Whether the latest state of some kiosk is, or becomes in time, of this status."""
        wanted = f'"status":"{status}"'
        return self._wait(lambda: any(wanted in row["body"] for row in self.states()[-1:]), timeout)

    def wait(self, condition: Callable[["HubSimulator"], bool], timeout: float) -> bool:
        """Whether a condition on what is stored came true in time; looked at after each batch."""
        return self._wait(lambda: condition(self), timeout)

    def _wait(self, condition: Callable[[], bool], timeout: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._crash is not None or condition(), timeout) and not self._crash

    def _new_client(self) -> mqtt.Client:
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="hub-simulator", protocol=mqtt.MQTTv5)
        client.reconnect_delay_set(1, 2)
        client.max_inflight_messages_set(0)
        client.on_connect, client.on_subscribe = self._on_connect, self._on_subscribe
        client.on_message = self._on_message
        return client

    def _on_connect(self, client: mqtt.Client, _: object, __: object, reason: ReasonCode, ___: object) -> None:
        if reason.is_failure:
            self._say(trouble_line("broker", f"refused: {reason}"))
        else:
            client.subscribe([(topic, SubscribeOptions(qos=1)) for topic in SUBSCRIPTIONS])

    def _on_subscribe(self, *_: object) -> None:
        with self._changed:
            self._subscribed = True
            self._changed.notify_all()

    def _on_message(self, _: object, __: object, message: mqtt.MQTTMessage) -> None:
        if self._away:
            self.thrown_away += 1
        else:
            self._arrivals.put(_as_message(message))

    def _main(self) -> None:
        try:
            store = HubStore(self.path)
            with contextlib.closing(store):
                self._stored = len(rows(self.path, "events"))
                while batch := self._next_batch():
                    self._take(store, [message for message in batch if message is not None])
                    if batch[-1] is None:
                        return
        except BaseException as error:  # noqa: BLE001 - kept for stop(), which raises it
            with self._changed:
                self._crash = error
                self._changed.notify_all()

    def _next_batch(self) -> list[Message | None]:
        batch = [self._arrivals.get()]
        with contextlib.suppress(queue.Empty):
            while batch[-1] is not None and len(batch) < BATCH:
                batch.append(self._arrivals.get_nowait())
        return batch

    def _take(self, store: HubStore, batch: list[Message]) -> None:
        lines: list[str] = []
        touched: dict[str, Key] = {}
        stored = 0
        with store.batch():
            for message in batch:
                if topic := STATE_TOPIC.fullmatch(message.topic):
                    lines.append(self._take_state(store, topic["site"], topic["kiosk"], message))
                    continue
                line, key, new = self._take_event(store, message)
                lines.append(line)
                stored += new
                if key is not None:
                    touched[f"bio/v1{message.attributes['source']}/ack {key.epoch} {key.event_class}"] = key
        for where, key in touched.items():
            self._acknowledge(where.partition(" ")[0], key, store.upto(key))
        for line in filter(None, lines):
            self._say(line)
        with self._changed:
            self._stored += stored
            self._changed.notify_all()

    def _take_event(self, store: HubStore, message: Message) -> tuple[str, Key | None, bool]:
        """The line to print, the key to acknowledge, and whether it is new."""
        try:
            key = read_key(message)
        except Unkeyed as problem:
            store.store_invalid(message, str(problem))
            return trouble_line(message.topic, str(problem)), None, False
        place = store.place(key, acknowledged_before(message, key))
        if place != "next":
            return event_line(key, message, {}, place), key, False
        try:
            content = read_content(message, key, self._schemas)
            self._check_seal(content)
        except (Invalid, Unsealable) as problem:
            store.store_invalid(message, str(problem), key)
            return event_line(key, message, {}, f"INVALID: {problem}"), key, False
        store.store(key, message)
        return event_line(key, message, content, "stored"), key, True

    def _check_seal(self, content: dict[str, Any]) -> None:
        sealed = content.get("sealed")
        if self.keys is not None and isinstance(sealed, str):
            self.keys.unseal(sealed)

    def _take_state(self, store: HubStore, site: str, kiosk: str, message: Message) -> str:
        try:
            content = self._schemas.check("kiosk.state.v1", message.body)
        except Invalid as problem:
            store.store_invalid(message, str(problem))
            return trouble_line(message.topic, str(problem))
        store.store_state(site, kiosk, message.body)
        return self._states_said.line(kiosk, content)

    def _acknowledge(self, topic: str, key: Key, upto: int) -> None:
        body = f'{{"epoch":"{key.epoch}","class":"{key.event_class}","sequence":{upto}}}'
        if self._client.is_connected():  # one that is lost is repeated when the kiosk sends again
            self._client.publish(topic, body, qos=1)


def _session() -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = SESSION_S
    return properties


def _as_message(message: mqtt.MQTTMessage) -> Message:
    properties = message.properties
    pairs = getattr(properties, "UserProperty", [])
    return Message(message.topic, bytes(message.payload), dict(pairs), getattr(properties, "ContentType", None))


def command(
    host: Annotated[str, typer.Option(help="The broker's host.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The broker's port.")] = 1883,
    db: Annotated[Path | None, typer.Option(help="Keep what arrives in this SQLite file.")] = None,
    away: Annotated[
        list[str] | None, typer.Option(help="START:LENGTH in seconds: be away then, as a drill. May be repeated.")
    ] = None,
    key: Annotated[Path | None, typer.Option(help="Private JWK that opens sealed payloads; made if missing.")] = None,
    kiosk_key: Annotated[list[Path] | None, typer.Option(help="Public JWK of a kiosk to trust.")] = None,
) -> None:
    """Run the simulated hub: print, store and acknowledge what arrives, until Ctrl-C."""
    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    keys = HubKeys.load_or_make(key, [_jwk(path) for path in kiosk_key or []]) if key else None
    hub = HubSimulator(port, host, db=db, say=lambda line: print(line, flush=True), keys=keys)
    try:
        hub.start()
        print(f"hub listens at {host}:{port} and stores in {hub.path}; Ctrl-C ends it", flush=True)
        _drill(hub, [_span(text) for text in away or []], done)
    except TimeoutError as error:
        print(f"error: {error}; start one: kiosk-sim broker --port {port}", file=sys.stderr)
        raise typer.Exit(1) from None
    finally:
        hub.stop()


def _drill(hub: HubSimulator, spans: list[tuple[float, float]], done: threading.Event) -> None:
    """Leave and come back as told, until it is time to end."""
    began = time.monotonic()
    changes = sorted([(start, "leave") for start, _ in spans] + [(start + length, "back") for start, length in spans])
    for at, what in changes:
        if done.wait(max(0.0, began + at - time.monotonic())):
            return
        print("-- the hub is away" if what == "leave" else "-- the hub is back", flush=True)
        (hub.leave if what == "leave" else hub.come_back)()
    done.wait()


def _span(text: str) -> tuple[float, float]:
    start, _, length = text.partition(":")
    try:
        return float(start), float(length)
    except ValueError:
        raise typer.BadParameter(f"--away {text}: give START:LENGTH in seconds, as in 30:60") from None


def _jwk(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content
