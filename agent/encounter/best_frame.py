"""A camera as a sensor of presentations: the best frame of a look, and words for the traveller meanwhile.

A camera streams and cannot know whether anybody is there. The viewer glances at each frame, waits until an eye has been
in view for a few, keeps the best frame of a short window and ends early with one that is good. A look goes on over the
slices of time in which its station asks; one frame is never compared with those of an eye that has left before. After a
sample that is done with the eye must leave before another is taken: the next eye, or the next traveller.
"""

import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from drivers.errors import CaptureRetry, Retry
from drivers.sample import Position, Sample
from drivers.sensor import DeviceInfo, Sensor, WindowedSensor
from models.encoder import Flaw, Quality
from models.iris.frame_check import FrameCheck

GOOD_SCORE = 70  # a glance of this score ends the look
USABLE_SCORE = 40  # after WINDOW_S the best frame is taken if it has this; otherwise the look goes on
WINDOW_S = 1.5
MIN_EYE_FRAMES = 3  # frames in a row with an eye before somebody is taken to be looking: passers-by do not
BLINK_S = 0.5  # an eye that was away for longer has left, and its look is forgotten: a blink takes 0.1 to 0.4 s
NO_FRAME_S = 2.0  # and after so long without any frame nobody knows
GONE_S = 0.6  # without an eye, until that of the last sample has left: longer than a blink
GUIDE_S = 1.5  # how long a flaw lasts before it is told, and how long something told stands
LEAVE_TIMEOUT_S = 1.5  # how long an eye that should leave is waited for before it is told
FRAME_TIMEOUT_S = 1.0  # a camera that streams has a frame within this time
IDLE_PAUSE_S = 0.2  # between two glances while nobody is there: glancing at every frame would keep a core busy
SLOW_AFTER_S = 10.0  # of a look without a usable frame: glances are then as rare as while nobody is there
DAMAGED_PAUSE_S = 0.05  # after a damaged frame: a camera that has only those must not keep a core busy
CHECK_PAUSE_S, MAX_CHECK_PAUSE_S = 0.05, 0.5  # between two looks whether an eye has left: doubled while it stays

Guide = Callable[[Flaw, Position], None]


@dataclass(slots=True)
class _CaptureWindow:
    """One presentation: what was seen so far."""

    position: Position
    began: float = 0.0  # when the eye was first in view
    seen: float = -math.inf  # and last
    empty_since: float | None = None  # the frames of late show none
    in_view: int = 0
    best: Sample | None = None
    score: int = -1
    flaw: Flaw | None = None  # of the frames of late
    flaw_since: float = 0.0
    told: float = -math.inf  # when the traveller was last told something

    def see(self, sample: Sample, quality: Quality, now: float) -> None:
        """Take one frame. A glimpse must last, a blink ends nothing, whoever was away for longer is somebody else."""
        empty = quality.flaw is Flaw.EMPTY
        if self.stale(now) or (empty and self.in_view < MIN_EYE_FRAMES):
            self._forget()
        if empty:
            self.empty_since = now if self.empty_since is None else self.empty_since
            return
        self.began, self.seen, self.empty_since = self.began if self.in_view else now, now, None
        self.in_view += 1
        if quality.score > self.score:
            self.best, self.score = sample, quality.score

    def stale(self, now: float) -> bool:
        """Whether the eye has been away for longer than a blink."""
        blinks = self.empty_since is None or now - self.empty_since <= BLINK_S
        return not blinks or now - self.seen > NO_FRAME_S

    def done(self, now: float) -> bool:
        """Whether the best frame is worth taking now."""
        if self.in_view < MIN_EYE_FRAMES:
            return False
        return self.score >= GOOD_SCORE or (self.score >= USABLE_SCORE and now - self.began >= WINDOW_S)

    def _forget(self) -> None:
        self.in_view, self.best, self.score = 0, None, -1


@dataclass(slots=True)
class _PreviousEye:
    """The eye of the last sample: whether it is still there."""

    there: bool
    empty_since: float | None = None
    pause: float = CHECK_PAUSE_S  # until the next look at it
    told: bool = False  # that it should leave

    def see(self, now: float, *, empty: bool) -> None:
        """Take one frame. What may be leaving is looked at closely, what stays ever more rarely."""
        if not empty:
            self.empty_since, self.pause = None, min(2 * self.pause, MAX_CHECK_PAUSE_S)
            return
        self.empty_since, self.pause = now if self.empty_since is None else self.empty_since, CHECK_PAUSE_S
        self.there = now - self.empty_since < GONE_S


class BestFrameSensor:
    """Keeps the Sensor contract over one camera. `guide` is called in the capturing thread.

    `glance` must be quick: it sees every frame. A frame without an eye has the flaw EMPTY.
    """

    streams = False

    def __init__(
        self,
        camera: Sensor,
        frame_check: FrameCheck,
        guide: Guide,
        clock: Callable[[], float] = time.monotonic,
        rest: Callable[[float], object] | None = None,
    ) -> None:
        self.modality = camera.modality
        self._camera = camera
        self._frame_check = frame_check
        self._guide = guide
        self._clock = clock
        self._left: float | None = None
        self._look: _CaptureWindow | None = None  # begun in a slice that has ended
        self._last = _PreviousEye(there=False)
        self._done_with = threading.Event()
        self._damage: Retry | None = None  # of the last frame
        self._woken = threading.Event()
        self._rest = rest or self._sleep

    def open(self) -> DeviceInfo:
        """Open the camera."""
        self._look = None
        return self._camera.open()

    def cancel(self) -> None:
        """End the running capture or open, or the next one, with Cancelled."""
        self._camera.cancel()
        self._woken.set()

    def close(self) -> None:
        """Give the camera back."""
        self._camera.close()

    def set_time_left(self, left: float) -> None:
        """The request that the next capture serves ends in so many seconds, math.inf where it never does.

        A capture that ends before is a slice of it. Without this each capture is a whole request.
        """
        self._left = left

    def capture(self, timeout: float, position: Position = Position.UNKNOWN) -> Sample:
        """The best frame of an eye that looks into the camera.

        At the end of the request the best that there was, however poor: the quality measure says what is wrong with it.
        At the end of a slice NOTHING_PRESENTED, and the next slice goes on with the look.
        """
        until, last = self._clock() + timeout, self._left is None or self._left <= timeout
        look, self._look = self._resumed(position), None
        self._await_leaving(position, until)
        while not look.done(self._clock()) and self._clock() < until:
            self._see(look, until)
        if not last and not look.done(self._clock()):
            self._look = look
            raise CaptureRetry(Retry.NOTHING_PRESENTED)
        if look.best is None or look.in_view < MIN_EYE_FRAMES or look.stale(self._clock()):
            raise CaptureRetry(self._damage or Retry.NOTHING_PRESENTED)
        self._last = _PreviousEye(there=True)
        self._done_with.clear()
        return look.best

    def require_removal(self) -> None:
        """The eye of the last sample must leave before another sample is taken. From any thread."""
        self._done_with.set()

    def idle_check(self) -> float | None:
        """While no capture runs: look whether the last eye has left. Seconds until the next call; None once it has."""
        if self._last.there:
            with suppress(CaptureRetry):
                self._see_last(self._camera.capture(FRAME_TIMEOUT_S))
        return self._last.pause if self._last.there else None

    def _resumed(self, position: Position) -> _CaptureWindow:
        """The look of the slice before, if it is of this position and its eye may still be there; else a new one."""
        look = self._look
        if look and look.position is position and not look.stale(self._clock()):
            return look
        if isinstance(self._camera, WindowedSensor):
            self._camera.begin_window()  # no frame from before this moment is of it
        return _CaptureWindow(position)

    def _await_leaving(self, position: Position, until: float) -> None:
        # Whoever waits for no end has nobody to hurry: the last traveller still reads where to go.
        patience = until if self._left == math.inf else min(until, self._clock() + LEAVE_TIMEOUT_S)
        while self._last.there and self._done_with.is_set():
            if self._clock() >= patience:
                self._last.told = True
                raise CaptureRetry(Retry.LOOK_AWAY)
            sample = self._frame(position, until)
            if sample is not None:
                self._see_last(sample)
                self._pause(min(IDLE_PAUSE_S, self._last.pause), until)
        if self._last.told:
            self._last.told = False
            self._guide(Flaw.EMPTY, position)  # it was told to leave: now to come

    def _see_last(self, sample: Sample) -> None:
        empty = self._frame_check(sample).flaw is Flaw.EMPTY
        self._last.see(self._clock(), empty=empty)

    def _frame(self, position: Position, until: float) -> Sample | None:
        """The next frame; None for one that was damaged on the way."""
        try:
            sample = self._camera.capture(FRAME_TIMEOUT_S, position)
        except CaptureRetry as retry:
            self._damage = retry.reason
            self._pause(DAMAGED_PAUSE_S, until)
            return None
        self._damage = None
        return sample

    def _see(self, look: _CaptureWindow, until: float) -> None:
        sample = self._frame(look.position, until)
        if sample is None:
            return
        quality, now = self._frame_check(sample), self._clock()
        look.see(sample, quality, now)
        self._advise(look, quality, now)
        if not look.in_view or now - look.began > SLOW_AFTER_S:
            self._pause(IDLE_PAUSE_S, until)

    def _pause(self, seconds: float, until: float) -> None:
        self._rest(max(0.0, min(seconds, until - self._clock())))

    def _sleep(self, seconds: float) -> None:
        """A cancel ends this, and then the next frame."""
        self._woken.wait(seconds)
        self._woken.clear()

    def _advise(self, look: _CaptureWindow, quality: Quality, now: float) -> None:
        """Tell the traveller what has been wrong for a while, and not the same again at once."""
        flaw = None if quality.score >= USABLE_SCORE else quality.flaw
        if flaw is not look.flaw:
            look.flaw, look.flaw_since = flaw, now
        if flaw in (None, Flaw.EMPTY) or now - max(look.flaw_since, look.told) < GUIDE_S:
            return
        look.told = now
        self._guide(flaw, look.position)
