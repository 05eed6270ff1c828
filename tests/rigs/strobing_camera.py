"""A camera whose lamp strobes, and people who come and go before it, in virtual time."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from drivers.sample import Modality, Position, Sample
from drivers.sensor import DeviceInfo, Sensor, WindowedSensor
from models.encoder import Flaw, Quality
from tests.rigs.scripted_camera import EMPTY, GOOD

LIT_LEVEL = 120  # grey level of an eye in the light of the lamp
ROOM_LEVEL = 20  # of a room without an eye, lit or not
PATTERNS = {"1 of 2": "10", "2 of 3": "110", "1 of 3": "100", "1 of 4": "1000", "steady": "1"}


@dataclass(frozen=True)
class Visit:
    """A person in front of the camera for a while. `unlit`: quality of a frame without the lamp; EMPTY in the dark."""

    person: int
    since: float
    until: float = math.inf
    lit: Quality = GOOD
    unlit: Quality = EMPTY
    unlit_level: int = 2


class StrobingCamera:
    """Takes a frame every 1 / `fps` seconds, with or without its lamp. A frame check takes `check_s`.

    Returns what the driver returns: the newest whole frame that began after the last one. The pixels of a frame are its
    grey level, the first one names the person (0: nobody), the second is 1 if the frame was lit.
    """

    modality = Modality.IRIS
    streams = True

    def __init__(
        self, visits: Sequence[Visit], pattern: str, *, fps: float = 30.0, check_s: float = 0.005, first: int = 0
    ) -> None:
        self.visits = visits
        self.pattern = PATTERNS[pattern]
        self.interval = 1 / fps
        self.check_s = check_s
        self.now = 0.0001
        self.captures = 0
        self._first = first
        self._last = -1

    def open(self) -> DeviceInfo:
        return DeviceInfo("strobing", "camera", "", "", 16, 16, 0.0, 8)

    def capture(self, timeout: float, position: Position = Position.UNKNOWN) -> Sample:
        del timeout
        whole = math.floor(self.now / self.interval) - 1  # the newest frame that is read out
        number = max(whole, self._last + 1) if self._last >= 0 else whole + 2
        self.now = max(self.now, (number + 1) * self.interval)
        self._last = number
        self.captures += 1
        return self._sample(number, position)

    def _sample(self, number: int, position: Position) -> Sample:
        lit = self.is_lit(number)
        visit = self.visit_at(number * self.interval)
        level = ROOM_LEVEL if visit is None else LIT_LEVEL if lit else visit.unlit_level
        image = np.full((16, 16), level, np.uint8)
        image[1, 1], image[1, 2] = (0 if visit is None else visit.person), lit
        return Sample(Modality.IRIS, position, image, 8, 0.0, datetime.now(UTC), "strobing")

    def is_lit(self, number: int) -> bool:
        return self.pattern[(number + self._first) % len(self.pattern)] == "1"

    def visit_at(self, moment: float) -> Visit | None:
        return next((visit for visit in self.visits if visit.since <= moment < visit.until), None)

    def begin_window(self) -> None:
        """Frames are told apart by their number in any case."""

    def check(self, sample: Sample) -> Quality:
        """The frame check: takes its time."""
        self.now += self.check_s
        visit = next((visit for visit in self.visits if visit.person == sample.image[1, 1]), None)
        if visit is None:
            return Quality(0, Flaw.EMPTY)
        return visit.lit if sample.image[1, 2] else visit.unlit

    def rest(self, seconds: float) -> None:
        self.now += seconds

    def clock(self) -> Callable[[], float]:
        return lambda: self.now

    def cancel(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Nothing is open."""


_: type[Sensor] = StrobingCamera
_windowed: type[WindowedSensor] = StrobingCamera
