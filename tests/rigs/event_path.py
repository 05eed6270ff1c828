"""The path of an event from the outbox to the hub link, for tests with a real broker and the simulated hub."""

import queue
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from agent.clock import SystemClock
from agent.config import HubConfig, OutboxConfig
from agent.events.event import Event, EventKey
from agent.hub.link import Connected, HubLink, HubSignal, ListNews
from agent.hub.outbox import Outbox
from agent.hub.publisher import Publisher
from simulators.hub.broker import find_mosquitto
from simulators.hub.store import event_key
from tests.rigs.store_key import TEST_KEY

needs_mosquitto = pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")
BROKERS = [pytest.param(False, id="rumqttd"), pytest.param(True, id="mosquitto", marks=needs_mosquitto)]

QUICK = {"reconnect_max_s": 1.0}


class LinkRig:
    """A hub link with its inbox and its crashes."""

    def __init__(self, port: int, kiosk: str = "k1", lists: ListNews | None = None, **config: object) -> None:
        self.inbox: queue.Queue[HubSignal] = queue.Queue()
        self.crashes: list[BaseException] = []
        settings = HubConfig.model_validate({"port": port, **QUICK, **config})
        self.link = HubLink(settings, "s1", kiosk, self.inbox, lambda _, error: self.crashes.append(error), lists)

    def __enter__(self) -> Self:
        self.link.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stopped = self.link.stop()
        if kind is None:
            assert stopped
            assert self.crashes == []

    def next(self, kind: type[HubSignal], timeout: float = 5) -> HubSignal:
        """The next signal of a kind; the others before it are dropped."""
        while not isinstance(signal := self.inbox.get(timeout=timeout), kind):
            pass
        return signal

    def connected(self) -> Self:
        self.next(Connected)
        return self

    def record_waits(self, instead: float | None = None) -> "queue.SimpleQueue[float]":
        """The seconds that the link wants to wait between two connections; it waits `instead` if that is given."""
        waits: queue.SimpleQueue[float] = queue.SimpleQueue()
        pause = self.link._pause

        def recorded(seconds: float) -> None:
            waits.put(seconds)
            pause(seconds if instead is None else instead)

        self.link._pause = recorded  # type: ignore[method-assign]
        return waits


class EventPath(LinkRig):
    """A link with a publisher and the encounter thread's handle on the outbox."""

    def __init__(self, port: int, path: Path, kiosk: str = "k1", **config: object) -> None:
        super().__init__(port, kiosk, lists=None, **config)
        # A short time for tests: what a broker has lost is sent again after a second.
        self.config = OutboxConfig(window=16, resend_after_s=1.0)
        self.outbox = Outbox(path, kiosk, self.config, key=TEST_KEY)
        self.publisher = Publisher(
            lambda: Outbox(path, kiosk, self.config, key=TEST_KEY),
            self.link,
            self.inbox,
            lambda _, error: self.crashes.append(error),
            config=self.config,
            clock=SystemClock(),
        )

    def __enter__(self) -> Self:
        super().__enter__()
        self.publisher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.publisher.stop()
        self.outbox.close()
        super().__exit__(kind, error, trace)

    def put(self, event: Event) -> EventKey:
        key = self.outbox.put(event)
        self.publisher.wake()
        return key

    def put_all(self, make: Callable[[int], Event], numbers: range) -> list[str]:
        """Put events; returns the ids under which the hub must have them."""
        return [str(self.put(make(number))) for number in numbers]


def ids(rows: list[dict[str, Any]], event_class: str) -> list[str]:
    """Event keys of a class as the hub stored them, in order of arrival."""
    return [event_key(row) for row in rows if row["class"] == event_class]
