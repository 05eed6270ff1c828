"""A camera that shows scripted frames with scripted quality, and a clock that advances with its frames."""

import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import chain, repeat

import numpy as np

from agent.encounter.best_frame import FRAME_TIMEOUT_S
from drivers.errors import Cancelled, CaptureRetry, Retry
from drivers.sample import Modality, Position, Sample
from drivers.sensor import DeviceInfo, Sensor, WindowedSensor
from models.encoder import Flaw, Quality

PERIOD_S = 0.1
EMPTY = Quality(0, Flaw.EMPTY)
POOR = Quality(10, Flaw.TOO_SMALL)
FAIR = Quality(50)
GOOD = Quality(90)
BEST = Quality(99)
DAMAGED = CaptureRetry(Retry.MOVED)

Seen = Quality | Exception


def times(count: float, quality: Seen) -> Sequence[Seen]:
    """That many frames."""
    return [quality] * round(count)


class ScriptedCamera:
    """Every capture takes `period_s` of its own clock and returns the next of `seen`; the last one is repeated.

    Follows the Sensor contract: cancel() ends the next capture. The first pixel of a frame is its number.
    """

    modality = Modality.IRIS
    streams = True

    def __init__(self, *seen: Seen, period_s: float = PERIOD_S) -> None:
        self._seen: Iterator[Seen] = chain(seen, repeat(seen[-1]))
        self._period_s = period_s
        self.now = 0.0
        self.captures = 0  # including the damaged ones
        self.frames = 0
        self.windows: list[int] = []  # how many captures there had been when each capture window began
        self.cancelled = self.closed = 0
        self._cancel = threading.Event()
        self._taken = threading.Condition()
        self._quality: dict[int, Quality] = {}

    def open(self) -> DeviceInfo:
        return DeviceInfo("scripted", "camera", "", "", 4, 4, 0.0, 8)

    def capture(self, timeout: float, position: Position = Position.UNKNOWN) -> Sample:
        assert timeout == FRAME_TIMEOUT_S
        if self._cancel.is_set():
            self._cancel.clear()
            raise Cancelled
        with self._taken:
            self.now += self._period_s
            self.captures += 1
            self._taken.notify_all()
        seen = next(self._seen)
        if isinstance(seen, Exception):
            raise seen
        self.frames += 1
        image = np.full((4, 4), self.frames % 256, np.uint8)
        self._quality[self.frames % 256] = seen
        return Sample(Modality.IRIS, position, image, 8, 0.0, datetime.now(UTC), "scripted")

    def begin_window(self) -> None:
        self.windows.append(self.captures)

    def skip(self, seconds: float) -> None:
        """Advances the clock without a frame."""
        with self._taken:
            self.now += seconds

    def wait_for_capture(self, number: int, within: float) -> bool:
        """Whether that many captures were made in time."""
        with self._taken:
            return self._taken.wait_for(lambda: self.captures >= number, within)

    def quality(self, sample: Sample) -> Quality:
        """The scripted quality of this frame."""
        return self._quality[int(sample.image[0, 0])]

    check_frame = quality

    def cancel(self) -> None:
        self.cancelled += 1
        self._cancel.set()

    def close(self) -> None:
        self.closed += 1


_: type[Sensor] = ScriptedCamera
_windowed: type[WindowedSensor] = ScriptedCamera
