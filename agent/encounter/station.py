"""One sensor and the thread that owns it: open, capture on request, close and reopen when the device is unwell."""

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

from agent.config import Step
from agent.events.event import SensorState
from agent.worker import OnCrash, Worker
from drivers.errors import Cancelled, CaptureRetry, LinkLost, ProtocolError, Retry, SensorError
from drivers.sample import Sample
from drivers.sensor import DeviceInfo, Sensor

log = logging.getLogger(__name__)

# Seconds until the next try to open: first and largest; doubled at each failure. A port that is gone is cheap to try
# and its traveller may stand there when it is plugged in again; a device that talks nonsense is left alone longer.
BACKOFF_S: dict[type[SensorError], tuple[float, float]] = {LinkLost: (0.25, 1.0), ProtocolError: (1.0, 60.0)}
JITTER = 0.1

# How long one capture waits before the thread looks around (a beat for the watchdog, a deadline that has passed).
SLICE_S = 5.0

LOOK_AROUND_S = 0.25  # how soon a stop is seen while a request waits for a device to come back

OnState = Callable[[str, SensorState], None]


class StreamHooks(Protocol):
    """What a station does besides with a sensor that watches a stream (agent.encounter.best_frame)."""

    def set_time_left(self, left: float) -> None:
        """The request that the next capture serves ends in so many seconds, math.inf where it never does."""

    def idle_check(self) -> float | None:
        """Called while no capture is asked for: seconds until the next call, None for no need."""

    def require_removal(self) -> None:
        """What gave the last sample must leave before another is taken. From any thread."""


class NoStreamHooks:
    """For a sensor that itself waits for presentations and for their ends."""

    def set_time_left(self, left: float) -> None:
        """It gets a slice at a time."""

    def idle_check(self) -> None:
        """It rests while nobody asks."""

    def require_removal(self) -> None:
        """It wants every presentation to end before the next."""


@dataclass(slots=True)
class _Request:
    step: Step
    deadline: float  # of `clock`; math.inf: wait for ever
    clock: Callable[[], float]
    result: "Future[Sample]" = field(default_factory=Future)

    def left(self, most: float = math.inf) -> float:
        """Seconds until the deadline, from 0 to `most`."""
        return max(0.0, min(most, self.deadline - self.clock()))

    @property
    def over(self) -> bool:
        return self.left() == 0.0


class Station(Worker):
    """Captures are asked for with capture() and come back as futures; a lost device is reopened meanwhile."""

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
    ) -> None:
        super().__init__(f"station {name}", on_crash)
        self._hooks = hooks or NoStreamHooks()
        self._clock = clock
        self.station = name
        self.info: DeviceInfo | None = None
        self._driver = driver
        self._sensor = sensor
        self._on_state = on_state
        self._requests: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._failures = 0
        self._plugged = threading.Event()  # devices have come or gone since the last try to open

    def capture(self, step: Step, timeout: float | None) -> "Future[Sample]":
        """Ask for one sample.

        The future ends with it, or with CaptureRetry, or with SensorError when the device did not come back within
        `timeout` seconds (None: wait for ever). Cancelling the future and then interrupt() ends the wait.
        """
        request = _Request(step, math.inf if timeout is None else self._clock() + timeout, self._clock)
        self._requests.put(request)
        return request.result

    def require_removal(self) -> None:
        """What gave the last sample was accepted or given up: it must leave before the next. From any thread."""
        self._hooks.require_removal()

    def interrupt(self) -> None:
        """End what run() waits for: a capture, or an empty queue."""
        self._sensor.cancel()
        self._requests.put(None)

    def retry_now(self) -> None:
        """Devices have come or gone: a station that backs off tries again at once. From any thread."""
        self._plugged.set()
        self._requests.put(None)

    def run(self) -> None:
        """Open, serve, and open again, until stopped. Three families of errors, three ways on."""
        self._tell("closed")
        request: _Request | None = None
        while not self.stopping.is_set():
            try:
                self._ensure_open()
                request = request or self._await_request()
                if request is not None and self._serve(request):
                    request = None
            except Cancelled:
                request = None if request and request.result.cancelled() else request
            except SensorError as error:
                self._unwell(error)
                request = self._back_off(request, error)
        self._sensor.close()

    def _ensure_open(self) -> None:
        if self.info is not None:
            return
        self._plugged.clear()
        self.info = self._sensor.open()
        if self._failures:
            log.info("%s: %s is back after %d tries", self.station, self.info.model, self._failures)
        self._failures = 0
        self._tell("ready", self.info.model)

    def _await_request(self) -> _Request | None:
        pause = self._hooks.idle_check()
        return self._next(SLICE_S if pause is None else pause)

    def _next(self, timeout: float) -> _Request | None:
        self.beat()
        try:
            return self._requests.get(timeout=timeout)
        except queue.Empty:
            return None

    def _serve(self, request: _Request) -> bool:
        """One slice of a request; True once its future is done."""
        self.beat()
        future = request.result
        if future.cancelled():
            return True
        try:
            left = request.left()
            self._hooks.set_time_left(left)
            sample = self._sensor.capture(min(left, SLICE_S), request.step.position)
        except CaptureRetry as retry:
            if retry.reason is Retry.NOTHING_PRESENTED and not request.over:
                return False
            _finish(future, error=retry)
            return True
        _finish(future, sample)
        return True

    def _unwell(self, error: SensorError) -> None:
        self._sensor.close()
        was_open, self.info = self.info is not None, None
        self._failures += 1
        log.log(logging.WARNING if self._failures == 1 else logging.DEBUG, "%s: %s", self.station, error)
        if was_open or self._failures == 1:
            self._tell("fault", str(error))

    def _delay(self, error: SensorError) -> float:
        first, largest = next(bounds for kind, bounds in BACKOFF_S.items() if isinstance(error, kind))
        delay = min(largest, first * 2.0 ** min(self._failures - 1, 16))
        return delay * (1 + random.uniform(-JITTER, JITTER))  # noqa: S311 - spreads reconnects, guards nothing

    def _back_off(self, request: _Request | None, error: SensorError) -> _Request | None:
        """Wait before the next try to open. A request outlives a short absence of the device, not its own deadline."""
        until = time.monotonic() + self._delay(error)
        while not self.stopping.is_set() and (left := until - time.monotonic()) > 0:
            self.beat()
            if self._plugged.is_set():
                break
            if request is None:
                request = self._next(min(left, SLICE_S))
            elif request.over or request.result.cancelled():
                _finish(request.result, error=error)
                request = None
            else:
                self._plugged.wait(request.left(min(left, LOOK_AROUND_S)))
        return request

    def _tell(self, state: str, detail: str = "") -> None:
        known = SensorState.model_validate(
            {"state": state, "driver": self._driver, "detail": detail, "since": datetime.now(UTC)}
        )
        self._on_state(self.station, known)


def _finish(future: "Future[Sample]", sample: Sample | None = None, error: Exception | None = None) -> None:
    """Set the result unless the asker has gone."""
    if not future.set_running_or_notify_cancel():
        return
    if error is not None:
        future.set_exception(error)
    elif sample is not None:
        future.set_result(sample)
