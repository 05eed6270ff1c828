"""A sensor that follows a script of samples, retries and errors, then presents nothing. Follows the Sensor contract."""

import queue
import threading
import time
from collections.abc import Iterable
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from drivers.errors import Cancelled, CaptureRetry, Retry
from drivers.sample import Modality, Position, Sample
from drivers.sensor import DeviceInfo, Sensor

INFO = DeviceInfo("scripted", "scripted", "", "", 256, 288, 500.0, 8)

Act = NDArray[np.uint8] | Exception


def sample_of(image: NDArray[np.uint8], position: Position = Position.RIGHT_INDEX) -> Sample:
    return Sample(position.modality or Modality.FINGER, position, image.copy(), 8, 500.0, datetime.now(UTC), "scripted")


class ScriptedSensor:
    """`captures` is what capture() does, `opens` what open() does: None succeeds, an exception is raised."""

    modality = Modality.FINGER
    streams = False

    def __init__(self, captures: Iterable[Act] = (), opens: Iterable[Exception | None] = ()) -> None:
        self._script: queue.SimpleQueue[Act] = queue.SimpleQueue()
        self._opens: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()
        self._cancelled = threading.Event()
        self._changed = threading.Condition()
        self.opened = self.closed = self.asked = 0
        for act in captures:
            self._script.put(act)
        for result in opens:
            self._opens.put(result)

    def play(self, *acts: Act) -> None:
        """Appends acts to the script; a waiting capture gets the first one."""
        for act in acts:
            self._script.put(act)
        with self._changed:
            self._changed.notify_all()

    def open(self) -> DeviceInfo:
        result = None if self._opens.empty() else self._opens.get()
        if result is not None:
            raise result
        self.opened += 1
        return INFO

    def capture(self, timeout: float, position: Position = Position.UNKNOWN) -> Sample:
        self.asked += 1
        deadline = time.monotonic() + timeout
        with self._changed:
            while self._script.empty() and not self._cancelled.is_set():
                if not self._changed.wait(max(0.0, deadline - time.monotonic())) and time.monotonic() >= deadline:
                    raise CaptureRetry(Retry.NOTHING_PRESENTED)
        if self._cancelled.is_set():
            self._cancelled.clear()
            raise Cancelled
        act = self._script.get()
        if isinstance(act, Exception):
            raise act
        return sample_of(act, position)

    def cancel(self) -> None:
        self._cancelled.set()
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        self.closed += 1


_: type[Sensor] = ScriptedSensor
