"""A camera as a sensor of presentations: the best frame of a short look, and words for the traveller meanwhile.

A camera streams and cannot know whether anybody is there. The viewer glances at each frame, waits until an eye has been
in view for a few, keeps the best frame of a short window, ends early with one that is good, and after a good one wants
the eye to leave before it takes another: the next eye, or the next traveller.
"""

import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from drivers.errors import CaptureRetry, Retry
from drivers.sample import Position, Sample
from drivers.sensor import DeviceInfo, Sensor
from models.encoder import Flaw, Quality
from models.glance import Glance

GOOD = 70  # a glance of this score ends the look
USABLE = 40  # after WINDOW_S the best frame is taken if it has this; otherwise the look goes on
WINDOW_S = 1.5
IN_VIEW = 3  # frames in a row with an eye before somebody is taken to be looking: passers-by do not
OUT_OF_VIEW = 3  # frames in a row without one before it has left
GUIDE_S = 1.5  # how long a flaw lasts before it is told, and how long something told stands
FRAME_S = 1.0  # a camera that streams has a frame within this time
IDLE_S = 0.2  # between two glances while nobody is there: glancing at every frame would keep a core busy

Guide = Callable[[Flaw, Position], None]


@dataclass(slots=True)
class _Look:
    """One capture: what was seen so far."""

    position: Position
    deadline: float
    began: float = 0.0  # when the eye was first in view
    in_view: int = 0
    best: Sample | None = None
    score: int = -1
    flaw: Flaw | None = None  # of the frames of late
    flaw_since: float = 0.0
    told: float = -math.inf  # when the traveller was last told something

    def keep(self, sample: Sample, score: int) -> None:
        if score > self.score:
            self.best, self.score = sample, score

    def done(self, now: float) -> bool:
        """Whether the best frame is worth taking now."""
        if self.best is None or self.in_view < IN_VIEW:
            return False
        return self.score >= GOOD or (self.score >= USABLE and now - self.began >= WINDOW_S)


class Viewer:
    """Keeps the Sensor contract over one camera. `guide` is called in the capturing thread.

    `glance` must be quick: it sees every frame. A frame without an eye has the flaw EMPTY.
    """

    streams = False

    def __init__(
        self,
        camera: Sensor,
        glance: Glance,
        guide: Guide,
        clock: Callable[[], float] = time.monotonic,
        rest: Callable[[float], object] | None = None,
    ) -> None:
        self.modality = camera.modality
        self._camera = camera
        self._glance = glance
        self._guide = guide
        self._clock = clock
        self._leave_first = False
        self._gone = 0  # frames in a row without an eye, while it must leave
        self._woken = threading.Event()
        self._rest = rest or self._sleep

    def open(self) -> DeviceInfo:
        """Open the camera."""
        return self._camera.open()

    def cancel(self) -> None:
        """End the running capture or open, or the next one, with Cancelled."""
        self._camera.cancel()
        self._woken.set()

    def close(self) -> None:
        """Give the camera back."""
        self._camera.close()

    def capture(self, timeout: float, position: Position = Position.UNKNOWN) -> Sample:
        """The best frame of an eye that looks into the camera.

        At the deadline the best that there was, however poor: the quality measure says what is wrong with it.
        """
        look = _Look(position, self._clock() + timeout)
        self._await_leaving(look)
        while not look.done(self._clock()) and self._clock() < look.deadline:
            self._see(look)
        if look.best is None or look.in_view < IN_VIEW:
            raise CaptureRetry(Retry.NOTHING_PRESENTED)
        self._leave_first, self._gone = look.score >= USABLE, 0
        return look.best

    def tend(self) -> bool:
        """While no capture runs: look whether the last eye has left. True until it has: call again soon."""
        if self._leave_first:
            with suppress(CaptureRetry):
                self._leave_first = self._still_there(self._camera.capture(FRAME_S))
        return self._leave_first

    def _await_leaving(self, look: _Look) -> None:
        while self._leave_first:
            self._leave_first = self._still_there(self._frame(look))
            if self._leave_first and self._clock() >= look.deadline:
                raise CaptureRetry(Retry.LOOK_AWAY)

    def _still_there(self, sample: Sample) -> bool:
        self._gone = self._gone + 1 if self._glance(sample).flaw is Flaw.EMPTY else 0
        return self._gone < OUT_OF_VIEW

    def _frame(self, look: _Look) -> Sample:
        """The next frame. One that was damaged on the way is passed over."""
        while True:
            try:
                return self._camera.capture(FRAME_S, look.position)
            except CaptureRetry:
                if self._clock() >= look.deadline:
                    raise

    def _see(self, look: _Look) -> None:
        sample = self._frame(look)
        quality, now = self._glance(sample), self._clock()
        if quality.flaw is Flaw.EMPTY:
            look.in_view = 0 if look.in_view < IN_VIEW else look.in_view  # a blink does not end a look
        else:
            look.began = look.began if look.in_view else now
            look.in_view += 1
            look.keep(sample, quality.score)
        self._advise(look, quality, now)
        if not look.in_view:
            self._rest(max(0.0, min(IDLE_S, look.deadline - self._clock())))

    def _sleep(self, seconds: float) -> None:
        """Nobody is there. A cancel ends this, and then the next frame."""
        self._woken.wait(seconds)
        self._woken.clear()

    def _advise(self, look: _Look, quality: Quality, now: float) -> None:
        """Tell the traveller what has been wrong for a while, and not the same again at once."""
        flaw = None if quality.score >= USABLE else quality.flaw
        if flaw is not look.flaw:
            look.flaw, look.flaw_since = flaw, now
        if flaw in (None, Flaw.EMPTY) or now - max(look.flaw_since, look.told) < GUIDE_S:
            return
        look.told = now
        self._guide(flaw, look.position)
