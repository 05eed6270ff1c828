"""The simulated central hub: subscribes, verifies, stores, and only then acknowledges.

It knows the kiosk only through the published schemas and the topics. paho's thread puts arrivals on a queue. One worker
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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Self

import paho.mqtt.client as mqtt
import typer
from joserfc.errors import JoseError
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from simulators.hub.console import StateLines, event_line, printable, problem_line
from simulators.hub.keys import HubKeys, UnsealError
from simulators.hub.rules import (
    STATE_TOPIC,
    InvalidContent,
    InvalidKey,
    Key,
    Message,
    Schemas,
    acknowledged_before,
    read_content,
    read_key,
)
from simulators.hub.store import DatabaseError, HubStore, Progress, progress, rows

SUBSCRIPTIONS = ["bio/v1/+/+/evt/+", "bio/v1/+/+/state"]
SESSION_S = 3600  # how long the broker keeps messages for a hub that restarts
BATCH = 500
PrintLine = Callable[[str], None]


class HubSimulator:
    """The hub: start() and stop(), or a context manager. Without `db` its store is in a temporary folder."""

    def __init__(
        self,
        port: int,
        host: str = "127.0.0.1",
        *,
        db: Path | None = None,
        print_line: PrintLine | None = None,
        keys: HubKeys | None = None,
    ) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="kiosk-hub-")
        self.path = db or Path(self._scratch.name) / "hub.db"
        say = print_line or (lambda _: None)
        self._print_line: PrintLine = lambda line: say(printable(line))
        self._host, self._port, self.keys = host, port, keys
        self._schemas = Schemas()
        self._state_lines = StateLines()
        self._arrivals: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._stored, self._subscribed, self._paused = 0, False, False
        self.discarded = 0  # messages that arrived while paused
        self._crash: BaseException | None = None
        self._client = self._new_client()
        self._thread = threading.Thread(target=self._main, name="hub-simulator", daemon=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, timeout: float = 10.0) -> None:
        """Connect and subscribe. TimeoutError if there is no broker; it still keeps trying afterwards."""
        HubStore(self.path).close()  # creates the tables for readers
        self._thread.start()
        self._client.connect_async(self._host, self._port, keepalive=30, clean_start=False, properties=_session())
        self._client.loop_start()
        if not self._wait(lambda: self._subscribed, timeout):
            raise TimeoutError(f"hub simulator: no broker at {self._host}:{self._port}")

    def stop(self) -> None:
        """Disconnect, store what has arrived, end. Raises the worker's exception, so that a test cannot miss it."""
        self._client.disconnect()
        self._client.loop_stop()
        self._arrivals.put(None)
        self._thread.join()
        self._scratch.cleanup()
        if self._crash is not None:
            raise self._crash

    def pause(self) -> None:
        """Discard arrivals without acknowledgement, like a hub that died just after its PUBACK."""
        self._paused = True

    def resume(self) -> None:
        """Store and acknowledge again."""
        self._paused = False

    def events(self) -> list[dict[str, Any]]:
        """All events stored, in order of arrival."""
        return rows(self.path, "events")

    def invalid(self) -> list[dict[str, Any]]:
        """All invalid messages, with the reason."""
        return rows(self.path, "invalid")

    def held(self) -> list[dict[str, Any]]:
        """The latest event of each kiosk and class that could not be verified, with the reason."""
        return rows(self.path, "held")

    def states(self) -> list[dict[str, Any]]:
        """All states, in order of arrival."""
        return rows(self.path, "states")

    def progress(self) -> list[Progress]:
        """The progress of each class of each epoch, with duplicates and losses."""
        return progress(self.path)

    def wait_for(self, count: int, timeout: float) -> bool:
        """Whether `count` events are stored in time."""
        return self._wait(lambda: self._stored >= count, timeout)

    def wait_for_state(self, status: str, timeout: float) -> bool:
        """Whether the latest state of any kiosk has this status, or gets it in time."""
        wanted = f'"status":"{status}"'
        return self._wait(lambda: any(wanted in row["body"] for row in self.states()[-1:]), timeout)

    def wait(self, condition: Callable[["HubSimulator"], bool], timeout: float) -> bool:
        """Whether a condition on the store becomes true in time; evaluated after each batch."""
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
            self._print_line(problem_line("broker", f"refused: {reason}"))
        else:
            client.subscribe([(topic, SubscribeOptions(qos=1)) for topic in SUBSCRIPTIONS])

    def _on_subscribe(self, *_: object) -> None:
        with self._changed:
            self._subscribed = True
            self._changed.notify_all()

    def _on_message(self, _: object, __: object, message: mqtt.MQTTMessage) -> None:
        if self._paused:
            self.discarded += 1
            return
        try:
            self._arrivals.put(_as_message(message))
        except UnicodeDecodeError:  # paho decodes the topic only now
            self._print_line(problem_line("broker", "a topic is not UTF-8"))

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
        touched: dict[tuple[str, str, str], Key] = {}
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
                    touched[message.attributes["source"], key.epoch, key.event_class] = key
        for (source, _, _), key in touched.items():
            self._acknowledge(f"bio/v1{source}/ack", key, store)
        for line in filter(None, lines):
            self._print_line(line)
        with self._changed:
            self._stored += stored
            self._changed.notify_all()

    def _take_event(self, store: HubStore, message: Message) -> tuple[str, Key | None, bool]:
        """The line to print, the key to acknowledge, and whether it is new."""
        try:
            key = read_key(message)
        except InvalidKey as problem:
            store.store_invalid(message, str(problem))
            return problem_line(message.topic, str(problem)), None, False
        place = store.classify(key, acknowledged_before(message, key))
        if place != "next":
            return event_line(key, message, {}, place), key, False
        try:
            content = read_content(message, key, self._schemas)
            self._check_seal(content)
        except UnsealError as problem:
            store.hold(key, problem.reason)
            return event_line(key, message, {}, f"HELD: {problem}"), key, False
        except InvalidContent as problem:
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
        except InvalidContent as problem:
            store.store_invalid(message, str(problem))
            return problem_line(message.topic, str(problem))
        store.store_state(site, kiosk, message.body)
        return self._state_lines.line(kiosk, content)

    def _acknowledge(self, topic: str, key: Key, store: HubStore) -> None:
        answer: dict[str, Any] = {"epoch": key.epoch, "class": key.event_class, "sequence": store.upto(key)}
        if held := store.held(key):
            answer["held"] = {"sequence": held[0], "reason": held[1]}
        if self._client.is_connected():  # a lost acknowledgement is repeated when the kiosk sends again
            self._client.publish(topic, json.dumps(answer), qos=1)


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
        list[str] | None, typer.Option(help="START:LENGTH in seconds: a simulated outage. May be repeated.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="Private JWK that decrypts sealed payloads; created if missing.")
    ] = None,
    kiosk_key: Annotated[list[Path] | None, typer.Option(help="Public JWK of a kiosk to trust.")] = None,
) -> None:
    """Run the simulated hub: print, store and acknowledge what arrives, until Ctrl-C."""
    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    trusted = [_jwk(path) for path in kiosk_key or []]
    keys = None
    if key is not None:
        with _usable("--key", key):
            keys = HubKeys.load_or_make(key, trusted)
    if db is not None:
        with _usable("--db", db):
            HubStore(db).close()
    hub = HubSimulator(port, host, db=db, print_line=lambda line: print(line, flush=True), keys=keys)
    try:
        hub.start()
        print(f"hub listens at {host}:{port} and stores in {hub.path}; Ctrl-C ends it", flush=True)
        _run_outages(hub, [_parse_outage(text) for text in away or []], done)
    except TimeoutError as error:
        print(f"error: {error}; start one: kiosk-sim broker --port {port}", file=sys.stderr)
        raise typer.Exit(1) from None
    finally:
        hub.stop()


def _run_outages(hub: HubSimulator, outages: list[tuple[float, float]], done: threading.Event) -> None:
    """Pause and resume the hub at the given times, until `done` is set."""
    began = time.monotonic()
    changes = [(start, "away", hub.pause) for start, _ in outages]
    changes += [(start + length, "back", hub.resume) for start, length in outages]
    for at, state, change in sorted(changes, key=lambda item: (item[0], item[1] == "away")):  # one ends, then the next
        if done.wait(max(0.0, began + at - time.monotonic())):
            return
        print(f"-- the hub is {state}", flush=True)
        change()
    done.wait()


def _parse_outage(text: str) -> tuple[float, float]:
    start, _, length = text.partition(":")
    try:
        return float(start), float(length)
    except ValueError:
        raise typer.BadParameter(f"--away {text}: give START:LENGTH in seconds, as in 30:60") from None


def _jwk(path: Path) -> dict[str, Any]:
    with _usable("--kiosk-key", path):
        content = json.loads(path.read_text(encoding="utf-8"))
        HubKeys.make([content])  # refuses what is no public key
    return dict(content)


@contextlib.contextmanager
def _usable(option: str, path: Path) -> Iterator[None]:
    """An error of a file that was named on the command line becomes one line."""
    try:
        yield
    except (OSError, ValueError, TypeError, KeyError, JoseError, DatabaseError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise typer.BadParameter(f"{option} {path}: {reason or type(error).__name__}") from None
