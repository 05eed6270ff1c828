"""The thread that owns one sensor: opens it, captures on request, closes and reopens it when the device fails."""

import logging
import math
import queue
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from agent.config import PresenceConfig, Step
from agent.encounter.messages import MessageKey
from agent.encounter.presence import FEW, PresenceMonitor
from agent.events.event import SensorState
from agent.worker import OnCrash, Worker
from drivers.errors import Cancelled, CaptureRetry, LinkLost, ProtocolError, Retry, SensorError
from drivers.sample import Position, Sample
from drivers.sensor import DeviceInfo, LiftOverride, LivenessCheck, Sensor
from models.encoder import Flaw

log = logging.getLogger(__name__)

# Seconds until the next attempt to open: first and largest; doubled at each failure. A missing port is cheap to try,
# and a traveller may be waiting when it is plugged in again. A device that sends invalid data gets more time.
BACKOFF_S: dict[type[SensorError], tuple[float, float]] = {LinkLost: (0.25, 1.0), ProtocolError: (1.0, 60.0)}
JITTER = 0.1

# Longest timeout of one capture; between two, the thread reports to the watchdog and checks the request's deadline.
SLICE_S = 5.0

STOP_CHECK_S = 0.25  # how often a stop is checked while a request waits for a device to come back

OnState = Callable[[str, SensorState], None]
ShowsSomebody = Callable[[Sample], bool]
Tell = Callable[[str, Position], None]
"""Tells the traveller the message with this key."""


class StreamHooks(Protocol):
    """What a station also calls on a sensor that watches a stream (agent.encounter.best_frame)."""

    def set_time_left(self, seconds: float) -> None:
        """Set how long the request of the next capture still lasts; math.inf if it never ends."""

    def idle_check(self) -> float | None:
        """Called while no capture is requested. Returns the seconds until the next call, None if none is needed."""

    def require_removal(self) -> None:
        """Require that the last finger or eye is removed before another sample is taken. Callable from any thread."""


class NoStreamHooks:
    """For a sensor that itself waits for a presentation and for its end: nothing to do."""

    def set_time_left(self, seconds: float) -> None:
        """Not needed: the sensor gets one slice at a time."""

    def idle_check(self) -> None:
        """Not needed: the sensor is idle between two captures."""

    def require_removal(self) -> None:
        """Not needed: the sensor always waits for the end of a presentation."""


@dataclass(slots=True)
class _Request:
    step: Step
    deadline: float  # time of `clock`; math.inf to wait forever
    clock: Callable[[], float]
    result: "Future[Sample]" = field(default_factory=Future)
    nobody: Sample | None = None  # the last one that showed nobody

    def time_left(self, most: float = math.inf) -> float:
        """Seconds until the deadline, from 0 to `most`."""
        return max(0.0, min(most, self.deadline - self.clock()))

    @property
    def expired(self) -> bool:
        return self.time_left() == 0.0


@dataclass(frozen=True, slots=True)
class PresenceCheck:
    """How a station judges presentations: a sample for which `shows_somebody` is False is not one.

    `tell` then tells the traveller, if there is one, what to do.
    """

    monitor: PresenceMonitor
    shows_somebody: ShowsSomebody = lambda _: True
    tell: Tell = lambda *_: None


class Station(Worker):
    """capture() requests a sample and returns a future; meanwhile a lost device is reopened."""

    patience_s = 120.0  # a whole image at 9600 baud takes 42 s, and twice that after a cancelled one

    def __init__(
        self,
        name: str,
        driver: str,
        sensor: Sensor,
        on_state: OnState,
        on_crash: OnCrash,
        hooks: StreamHooks | None = None,
        clock: Callable[[], float] = time.monotonic,
        presence: PresenceCheck | None = None,
    ) -> None:
        super().__init__(f"station {name}", on_crash)
        self._hooks = hooks or NoStreamHooks()
        self._clock = clock
        self.station = name
        self.info: DeviceInfo | None = None
        self._tried = threading.Event()  # set after the first attempt to open the device
        self._driver = driver
        self._sensor = sensor
        self._on_state = on_state
        self._requests: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._failures = 0
        self._devices_changed = threading.Event()  # set when devices came or went since the last attempt to open
        self._presence = presence or PresenceCheck(PresenceMonitor(PresenceConfig(), clock=clock))
        self._nobody_was_there = threading.Event()
        self._rest_until = -math.inf
        self._woken = threading.Event()  # ends a rest
        self._reported = ("", "")  # state and detail

    def capture(self, step: Step, timeout: float | None) -> "Future[Sample]":
        """Request one sample.

        The future ends with it, or with CaptureRetry, or with SensorError if the device did not come back within
        `timeout` seconds (None to wait forever). To end the wait, cancel the future, then call interrupt().
        """
        request = _Request(step, math.inf if timeout is None else self._clock() + timeout, self._clock)
        self._requests.put(request)
        return request.result

    def require_removal(self) -> None:
        """The last sample was accepted or given up: its finger or eye must be removed. Callable from any thread."""
        self._hooks.require_removal()

    def nobody_was_there(self) -> None:
        """The last samples were of nobody, as an encounter has found out. Callable from any thread."""
        self._nobody_was_there.set()

    @property
    def false_presentations(self) -> int:
        """How many presentations showed nobody so far."""
        return self._presence.monitor.false_presentations

    def absent(self, within: float) -> bool:
        """Whether the device could not be opened. Waits up to `within` seconds for the first attempt."""
        self._tried.wait(within)
        return self._failures > 0 and self.info is None

    def interrupt(self) -> None:
        """End what run() waits for: a capture, an empty queue, or a rest."""
        self._sensor.cancel()
        self._woken.set()
        self._requests.put(None)

    def retry_now(self) -> None:
        """Devices came or went: a station that waits before reopening tries immediately. Callable from any thread."""
        self._devices_changed.set()
        self._requests.put(None)

    def run(self) -> None:
        """Open the sensor, serve requests, and reopen it after errors, until stopped."""
        self._report_state("closed")
        request: _Request | None = None
        while not self.stopping.is_set():
            try:
                self._ensure_open()
                request = request or self._await_request()
                if request is not None and not self._rests(request) and self._serve(request):
                    request = None
                self._report_presence()
            except Cancelled:
                request = None if request and request.result.cancelled() else request
            except SensorError as error:
                self._close_after(error)
                request = self._back_off(request, error)
        self._sensor.close()

    def _ensure_open(self) -> None:
        if self.info is not None:
            return
        self._devices_changed.clear()
        self.info = self._sensor.open()
        self._tried.set()
        if self._failures:
            log.info("%s: %s is back after %d failed attempts", self.station, self.info.model, self._failures)
        self._failures = 0
        self._report_presence()

    def _await_request(self) -> _Request | None:
        pause = self._hooks.idle_check()
        request = self._next(SLICE_S if pause is None else pause)
        if request is None and pause is None and isinstance(self._sensor, LivenessCheck) and not self.stopping.is_set():
            self._sensor.check_alive()  # nobody else would notice until the next traveller
        return request

    def _next(self, timeout: float) -> _Request | None:
        self.beat()
        try:
            return self._requests.get(timeout=timeout)
        except queue.Empty:
            return None

    def _serve(self, request: _Request) -> bool:
        """Capture for one slice of a request; True once its future is done."""
        self.beat()
        future = request.result
        if future.cancelled():
            return True
        try:
            if self._nobody_was_there.is_set():
                self._nobody_was_there.clear()
                self._rest_after_nobody()
                return False
            left = request.time_left()
            self._hooks.set_time_left(left)
            looks = self._ignore_lift()
            sample = self._sensor.capture(min(left, SLICE_S), request.step.position)
        except CaptureRetry as retry:
            return self._retried(request, retry)
        return self._judge(request, sample, looks_at_the_last=looks)

    # Whether anybody is there

    def _retried(self, request: _Request, retry: CaptureRetry) -> bool:
        monitor = self._presence.monitor
        if retry.reason is Retry.NOTHING_PRESENTED:
            monitor.absent()
            if not request.expired:
                return False
            if request.nobody is not None:
                _finish(request.result, request.nobody)  # its quality tells the traveller what to do
                return True
        elif retry.reason in (Retry.LIFT_FINGER, Retry.LOOK_AWAY):
            monitor.held()
            if monitor.stuck and request.deadline == math.inf:
                return False  # nobody listens
        _finish(request.result, error=retry)
        return True

    def _judge(self, request: _Request, sample: Sample, *, looks_at_the_last: bool) -> bool:
        """Finish the request with the sample, unless it shows nobody, or the finger of the last sample."""
        monitor = self._presence.monitor
        if not self._presence.shows_somebody(sample):
            request.nobody = None if request.deadline == math.inf else sample
            self._rest_after_nobody()
            self._tell_about_nobody(request.step.position)
            if not request.expired:
                return False
        elif looks_at_the_last:
            monitor.held()
            return False
        else:
            monitor.presented()
        _finish(request.result, sample)
        return True

    def _ignore_lift(self) -> bool:
        """Let the sensor take an image of a finger that does not leave, now and then: there may be none."""
        monitor = self._presence.monitor
        if not monitor.should_look() or not isinstance(self._sensor, LiftOverride):
            return False
        self._sensor.forget_finger()
        monitor.looked()
        return True

    def _rest_after_nobody(self) -> None:
        self._rest_until = self._clock() + self._presence.monitor.false_presentation()
        if isinstance(self._sensor, LiftOverride):
            self._sensor.forget_finger()  # there is none that could leave

    def _tell_about_nobody(self, position: Position) -> None:
        """Tell a traveller whose finger cannot be seen what to do; an empty room is not told for ever."""
        run = self._presence.monitor.false_run
        if run <= FEW:
            self._presence.tell(Flaw.EMPTY if run < FEW else MessageKey.GO_TO_OFFICER, position)

    def _rests(self, request: _Request) -> bool:
        """Wait a part of the rest after a presentation of nobody; whether that was necessary."""
        left = min(self._rest_until - self._clock(), request.time_left())
        if left <= 0 or request.result.cancelled():
            return False
        self.beat()
        self._woken.wait(min(left, STOP_CHECK_S))
        self._woken.clear()
        return True

    def _close_after(self, error: SensorError) -> None:
        self._sensor.close()
        was_open, self.info = self.info is not None, None
        self._failures += 1
        self._tried.set()
        log.log(logging.WARNING if self._failures == 1 else logging.DEBUG, "%s: %s", self.station, error)
        if was_open or self._failures == 1:
            self._report_state("fault", str(error))

    def _backoff_delay(self, error: SensorError) -> float:
        first, largest = next(bounds for kind, bounds in BACKOFF_S.items() if isinstance(error, kind))
        delay = min(largest, first * 2.0 ** min(self._failures - 1, 16))
        return delay * (1 + random.uniform(-JITTER, JITTER))  # noqa: S311 - spreads reconnects, guards nothing

    def _back_off(self, request: _Request | None, error: SensorError) -> _Request | None:
        """Wait before the next attempt to open. A request survives a short absence of the device until its deadline."""
        until = time.monotonic() + self._backoff_delay(error)
        while not self.stopping.is_set() and (left := until - time.monotonic()) > 0:
            self.beat()
            if self._devices_changed.is_set():
                break
            if request is None:
                request = self._next(min(left, SLICE_S))
            elif request.expired or request.result.cancelled():
                _finish(request.result, error=error)
                request = None
            else:
                self._devices_changed.wait(request.time_left(min(left, STOP_CHECK_S)))
        return request

    def _report_presence(self) -> None:
        """Report whether the open sensor is ready, or what it is suspected of, if that has changed."""
        if self.info is None:
            return
        found = self._presence.monitor.suspicion()
        state, detail = (found.state, found.detail) if found else ("ready", self.info.model)
        if (state, detail) != self._reported:
            if found:
                log.warning("%s: %s", self.station, detail)
            self._report_state(state, detail)

    def _report_state(self, state: str, detail: str = "") -> None:
        self._reported = (state, detail)
        known = SensorState.model_validate(
            {"state": state, "driver": self._driver, "detail": detail, "since": datetime.now(UTC)}
        )
        self._on_state(self.station, known)


def _finish(future: "Future[Sample]", sample: Sample | None = None, error: Exception | None = None) -> None:
    """Set the result, unless the future was cancelled."""
    if not future.set_running_or_notify_cancel():
        return
    if error is not None:
        future.set_exception(error)
    elif sample is not None:
        future.set_result(sample)
