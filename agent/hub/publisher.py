"""Sends the events of the outbox to the hub: oldest first within a class, leads before telemetry.

Each class has a *send window*: the events sent and not yet acknowledged by the hub. When the hub does not answer, one
event is sent again as a probe. Its acknowledgement tells what the hub has, and sending continues from there. So a hub
that is away for a day costs one small message every few seconds, not the whole window each time.
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
from agent.events.event import Acknowledgement, EventClass, Held, StoredEvent
from agent.hub.link import Connected, Disconnected, HubSignal, Wake
from agent.hub.outbox import HELD, Outbox
from agent.log_limit import LimitedLog
from agent.storage.database import StoreFull
from agent.worker import OnCrash, Worker

log = logging.getLogger(__name__)

POLL_S = 5.0  # the longest wait: another process may have put an event without a signal
RETRY_S = 1.0  # after the link accepted no more events
HELD_FACTOR = 6  # an event that the hub cannot verify is sent again after this many times `resend_after_s`
EXPIRE_S = 60.0  # between two checks for telemetry that is too old


class Sender(Protocol):
    """The part of the hub link that the publisher needs."""

    def send(self, stored: StoredEvent, acknowledged: int) -> None:
        """Send one event without waiting. HubError if that is not possible now."""


@dataclass
class _SendWindow:
    """One class: acknowledged <= sent. `resend_at` (monotonic seconds) is set while an event is in flight."""

    acknowledged: int = 0
    sent: int = 0
    resend_at: float | None = None
    probing: bool = False

    def room(self, window: int) -> int:
        return (1 if self.probing else window) - (self.sent - self.acknowledged)

    def rewind(self) -> None:
        self.sent, self.resend_at, self.probing = self.acknowledged, None, False

    def hold(self, resend_at: float) -> None:
        """Send only the next event again, and that later."""
        self.sent, self.resend_at, self.probing = self.acknowledged + 1, resend_at, True

    def acknowledge(self, upto: int, resend_at: float) -> None:
        self.acknowledged, self.sent, self.probing = upto, max(self.sent, upto), False
        self.resend_at = resend_at if self.sent > upto else None


class Publisher(Worker):
    """Has its own outbox handle, opened in its thread (or by the first step() of a test)."""

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
        self._windows = {event_class: _SendWindow() for event_class in EventClass}
        self._connected = False
        self._expire_at = 0.0
        self._awake = threading.Event()
        self._full_reported = False
        self._limited = LimitedLog(log)

    @property
    def refused(self) -> dict[str, int]:
        """How many acknowledgements of events that never were the hub has sent, by kind."""
        return self._outbox.refused if self._outbox is not None else {}

    def wake(self) -> None:
        """Signal, from any thread, that there may be a new event in the outbox."""
        if not self._awake.is_set():  # one signal is enough, however many events were put
            self._awake.set()
            self._inbox.put(Wake())

    def interrupt(self) -> None:
        """End the waiting."""
        self._inbox.put(Wake())

    def run(self) -> None:
        """Step whenever there is a signal or something is due."""
        try:
            wait = 0.0
            while not self.stopping.is_set():
                wait = self.step(wait)
        finally:
            self.close()

    def close(self) -> None:
        """Close the outbox handle. run() does this when it ends."""
        if self._outbox is not None:
            self._outbox.close()
            self._outbox = None

    def step(self, wait: float = 0.0) -> float:
        """Wait up to `wait` seconds for a signal, take all signals, send what can be sent. Returns the next wait."""
        self.beat()
        self._limited.flush()
        signals = self._take_signals(wait)
        self._awake.clear()
        if self.stopping.is_set():
            return 0.0
        try:
            return self._work(self._outbox or self._open(), signals)
        except StoreFull as error:
            log.log(logging.DEBUG if self._full_reported else logging.WARNING, "publisher: %s", error)
            self._full_reported = True
            return RETRY_S

    def _open(self) -> Outbox:
        self._outbox = self._open_outbox()
        for event_class, upto in self._outbox.acknowledged().items():
            self._windows[event_class].acknowledge(upto, 0.0)
        return self._outbox

    def _take_signals(self, wait: float) -> list[HubSignal]:
        signals: list[HubSignal] = []
        try:
            signals.append(self._inbox.get(timeout=wait) if wait > 0 else self._inbox.get_nowait())
            while True:
                signals.append(self._inbox.get_nowait())
        except queue.Empty:
            return signals

    def _work(self, outbox: Outbox, signals: list[HubSignal]) -> float:
        self._update_connection(signals)
        self._forget(outbox, signals)
        self._hold(outbox, signals)
        now = self._clock.monotonic()
        wait = self._send(outbox, now) if self._connected else POLL_S
        if now >= self._expire_at:  # last, and not again immediately: a failure here must not delay a lead
            self._expire_at = now + EXPIRE_S
            self._expire(outbox)
        return wait

    def _update_connection(self, signals: list[HubSignal]) -> None:
        links = [signal for signal in signals if isinstance(signal, (Connected, Disconnected))]
        if links:
            self._connected = isinstance(links[-1], Connected)
            for window in self._windows.values():
                window.rewind()

    def _forget(self, outbox: Outbox, signals: list[HubSignal]) -> None:
        """Delete what is acknowledged. Acknowledgements are cumulative: only the highest of each class matters."""
        highest: dict[EventClass, int] = {}
        for signal in signals:
            if isinstance(signal, Acknowledgement) and signal.epoch == outbox.epoch:
                highest[signal.event_class] = max(signal.upto, highest.get(signal.event_class, 0))
        for event_class, upto in highest.items():
            if outbox.forget(outbox.epoch, event_class, upto):
                self._windows[event_class].acknowledge(upto, self._clock.monotonic() + self._config.resend_after_s)

    def _hold(self, outbox: Outbox, signals: list[HubSignal]) -> None:
        """Keep why the hub cannot verify an event, and send less of its class until it can."""
        latest = {signal.event_class: signal for signal in signals if isinstance(signal, Held)}
        for event_class, held in latest.items():
            if outbox.hold(held):
                text = f"{event_class} event {held.sequence} stays in the outbox: {HELD[held.reason]}"
                self._limited.warning(f"{event_class} events that the hub cannot verify", text)
            if outbox.held().get(event_class) == held and held.sequence == self._windows[event_class].acknowledged + 1:
                self._windows[event_class].hold(self._clock.monotonic() + HELD_FACTOR * self._config.resend_after_s)

    def _expire(self, outbox: Outbox) -> None:
        if expired := outbox.expire(self._clock.now()):
            log.info("outbox: the bodies of %d telemetry events were too old and were deleted", expired)
        self._full_reported = False

    def _send(self, outbox: Outbox, now: float) -> float:
        last = outbox.last()
        for event_class, window in self._windows.items():
            if window.resend_at is not None and now >= window.resend_at:
                log.debug(
                    "no acknowledgement of %s above %d: sending one event again", event_class, window.acknowledged
                )
                window.rewind()
                window.probing = True
            if last[event_class] > window.sent and not self._fill_window(outbox, event_class, now):
                return RETRY_S
        due = [window.resend_at - now for window in self._windows.values() if window.resend_at is not None]
        return min([POLL_S, *due])

    def _fill_window(self, outbox: Outbox, event_class: EventClass, now: float) -> bool:
        """Send until the window is full. False if the link accepts no more."""
        window = self._windows[event_class]
        room = window.room(self._config.window)
        for stored in outbox.pending(event_class, room, window.sent) if room > 0 else []:
            try:
                self._hub.send(stored, window.acknowledged)
            except HubError as error:
                log.debug("publisher: %s", error)
                return False
            window.sent = stored.key.sequence
            if window.resend_at is None:
                window.resend_at = now + self._config.resend_after_s
        return True
