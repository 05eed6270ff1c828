"""Drains the outbox into the hub: oldest first within a class, leads before telemetry.

A class has a *lane*: a window of events sent and not yet acknowledged by the hub. When the hub stays silent, one event
is sent again as a probe; its acknowledgement tells how far the hub really is, and the window goes on from there. So a
hub that is away for a day costs one small message every few seconds and not the whole window each time.
"""

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from agent.clock import Clock
from agent.config import OutboxConfig
from agent.errors import HubError
from agent.events.event import Acknowledgement, EventClass, StoredEvent
from agent.hub.link import Connected, Disconnected, HubSignal, Wake
from agent.hub.outbox import Outbox
from agent.storage.database import StoreFull
from agent.worker import OnCrash, Worker

log = logging.getLogger(__name__)

LOOK_S = 5.0  # the longest wait: another process may have put something without telling us
RETRY_S = 1.0  # after the link refused to take more
EXPIRE_S = 60.0  # between two searches for telemetry that is too old


class Sender(Protocol):
    """The part of the hub link that the publisher needs."""

    def send(self, stored: StoredEvent, acknowledged: int) -> None:
        """Hand over one event without waiting. HubError when that is not possible now."""


@dataclass
class _Lane:
    """One class: acknowledged <= sent. `resend_at` is set while something is in flight (monotonic seconds)."""

    acknowledged: int = 0
    sent: int = 0
    resend_at: float | None = None
    probing: bool = False

    def room(self, window: int) -> int:
        return (1 if self.probing else window) - (self.sent - self.acknowledged)

    def rewind(self) -> None:
        self.sent, self.resend_at, self.probing = self.acknowledged, None, False

    def acknowledge(self, upto: int, resend_at: float) -> None:
        self.acknowledged, self.sent, self.probing = upto, max(self.sent, upto), False
        self.resend_at = resend_at if self.sent > upto else None


class Publisher(Worker):
    """Owns an outbox handle of its own, opened in its thread (or by the first step() of a test)."""

    def __init__(
        self,
        open_outbox: Callable[[], Outbox],
        hub: Sender,
        inbox: "queue.Queue[HubSignal]",
        on_crash: OnCrash,
        *,
        config: OutboxConfig,
        clock: Clock,
    ) -> None:
        super().__init__("publisher", on_crash)
        self._open_outbox, self._hub, self._inbox = open_outbox, hub, inbox
        self._config, self._clock = config, clock
        self._outbox: Outbox | None = None
        self._lanes = {event_class: _Lane() for event_class in EventClass}
        self._connected = False
        self._expire_at = 0.0
        self._awake = threading.Event()
        self._full = False

    def wake(self) -> None:
        """Say from any thread that there is something new in the outbox."""
        if not self._awake.is_set():  # one signal is enough, however many events were put
            self._awake.set()
            self._inbox.put(Wake())

    def interrupt(self) -> None:
        """End the waiting."""
        self._inbox.put(Wake())

    def run(self) -> None:
        """Step whenever something happened or is due."""
        try:
            wait = 0.0
            while not self.stopping.is_set():
                wait = self.step(wait)
        finally:
            self.close()

    def close(self) -> None:
        """Close the outbox handle; run() does it by itself."""
        if self._outbox is not None:
            self._outbox.close()
            self._outbox = None

    def step(self, wait: float = 0.0) -> float:
        """Wait so long for a signal, take all there are, send what may be sent. Returns how long to wait next, s."""
        self.beat()
        signals = self._take(wait)
        self._awake.clear()
        if self.stopping.is_set():
            return 0.0
        try:
            return self._work(self._outbox or self._open(), signals)
        except StoreFull as error:
            log.log(logging.DEBUG if self._full else logging.WARNING, "publisher: %s", error)
            self._full = True
            return RETRY_S

    def _open(self) -> Outbox:
        self._outbox = self._open_outbox()
        for event_class, upto in self._outbox.acknowledged().items():
            self._lanes[event_class].acknowledge(upto, 0.0)
        return self._outbox

    def _take(self, wait: float) -> list[HubSignal]:
        signals: list[HubSignal] = []
        try:
            signals.append(self._inbox.get(timeout=wait) if wait > 0 else self._inbox.get_nowait())
            while True:
                signals.append(self._inbox.get_nowait())
        except queue.Empty:
            return signals

    def _work(self, outbox: Outbox, signals: list[HubSignal]) -> float:
        self._follow_link(signals)
        self._forget(outbox, signals)
        now = self._clock.monotonic()
        wait = self._send(outbox, now) if self._connected else LOOK_S
        if now >= self._expire_at:  # last, and not again at once: what fails here must hold no lead back
            self._expire_at = now + EXPIRE_S
            self._expire(outbox)
        return wait

    def _follow_link(self, signals: list[HubSignal]) -> None:
        links = [signal for signal in signals if isinstance(signal, (Connected, Disconnected))]
        if links:
            self._connected = isinstance(links[-1], Connected)
            for lane in self._lanes.values():
                lane.rewind()

    def _forget(self, outbox: Outbox, signals: list[HubSignal]) -> None:
        """Acknowledgements are cumulative: the highest of each class says it all."""
        highest: dict[EventClass, int] = {}
        for signal in signals:
            if isinstance(signal, Acknowledgement) and signal.epoch == outbox.epoch:
                highest[signal.event_class] = max(signal.upto, highest.get(signal.event_class, 0))
        for event_class, upto in highest.items():
            if outbox.forget(outbox.epoch, event_class, upto):
                self._lanes[event_class].acknowledge(upto, self._clock.monotonic() + self._config.resend_after_s)

    def _expire(self, outbox: Outbox) -> None:
        if expired := outbox.expire(self._clock.now()):
            log.info("outbox: the bodies of %d telemetry events were too old and are gone", expired)
        self._full = False

    def _send(self, outbox: Outbox, now: float) -> float:
        last = outbox.last()
        for event_class, lane in self._lanes.items():
            if lane.resend_at is not None and now >= lane.resend_at:
                log.debug("no acknowledgement of %s above %d: asking again", event_class, lane.acknowledged)
                lane.rewind()
                lane.probing = True
            if last[event_class] > lane.sent and not self._fill(outbox, event_class, now):
                return RETRY_S
        due = [lane.resend_at - now for lane in self._lanes.values() if lane.resend_at is not None]
        return min([LOOK_S, *due])

    def _fill(self, outbox: Outbox, event_class: EventClass, now: float) -> bool:
        """Send up to the window. False when the link takes no more."""
        lane = self._lanes[event_class]
        room = lane.room(self._config.window)
        for stored in outbox.pending(event_class, room, lane.sent) if room > 0 else []:
            try:
                self._hub.send(stored, lane.acknowledged)
            except HubError as error:
                log.debug("publisher: %s", error)
                return False
            lane.sent = stored.key.sequence
            if lane.resend_at is None:
                lane.resend_at = now + self._config.resend_after_s
        return True
