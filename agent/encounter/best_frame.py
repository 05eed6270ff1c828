"""Makes a sensor of presentations from a streaming camera: takes the best frame, and guides the traveller meanwhile.

A camera streams and cannot know whether anybody is there. BestFrameSensor checks each frame quickly and waits until an
eye has been in view for a few frames. Then it keeps the best frame of a capture window, which ends early when a frame
is good. A capture window continues over the time slices in which the station requests a capture, but never mixes the
frames of two people: it starts again when the eye has left. After a sample that was accepted or given up, the eye must
leave before another sample is taken, of the next eye or of the next traveller.

Whether an eye is there is judged over several frames: a lamp that strobes leaves every second frame unlit, or two of
three (see strobe.py). An unlit frame counts for nothing: not as an eye, and not as nobody.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from agent.encounter.strobe import Strobe, grey_level, much_darker
from drivers.errors import CaptureRetry, Retry
from drivers.sample import Position, Sample
from drivers.sensor import DeviceInfo, LivenessCheck, Sensor, WindowedSensor
from models.encoder import Flaw, Quality
from models.iris.frame_check import FrameCheck

GOOD_SCORE = 70  # a frame with this score ends the capture window
USABLE_SCORE = 40  # after WINDOW_S the best frame is taken if it has this score; otherwise the window stays open
SAME_SCORE = 5  # a difference that says nothing: the check makes up for less light, but a template cannot
WINDOW_S = 1.5
MIN_EYE_FRAMES = 3  # frames in a row with an eye before a capture starts: excludes people who walk past
MIN_RETURNS = 3  # or an eye that came so often, with short gaps: the lamp strobes
MAX_UNLIT_FRAMES = 3  # in a row: lamps light one frame of two or three; four are more than a lamp leaves unlit
BLINK_S = 0.5  # an eye that was away for longer has left, and its frames are dropped: a blink takes 0.1 to 0.4 s
NO_FRAME_S = 2.0  # after this time without any frame the eye counts as gone
GONE_S = 0.6  # time without an eye until the eye of the last sample has left: longer than a blink
GUIDE_S = 1.5  # a flaw must last this long before the traveller is told, and again before the next message
LEAVE_TIMEOUT_S = 1.5  # how long to wait for an eye to leave before the traveller is told
FRAME_TIMEOUT_S = 1.0  # a streaming camera delivers a frame within this time
IDLE_PAUSE_S = 0.2  # between two frame checks while nobody is there: checking every frame would keep a core busy
SLOW_AFTER_S = 10.0  # after this time without a usable frame, frames are checked as rarely as while nobody is there
DAMAGED_PAUSE_S = 0.05  # after a damaged frame: a camera that delivers only those must not keep a core busy
CHECK_PAUSE_S, MAX_CHECK_PAUSE_S = 0.05, 0.5  # between two checks whether an eye has left: doubled while it stays
SHIFTS_S = (0.0, 0.02, 0.035)  # rests between the frames of a check that sees nobody: see _check_previous
SPREAD = 0.5  # the pauses of IDLE_PAUSE_S vary by this share: see _idle_pause
GOLDEN = 0.618_034  # steps of this share of a circle never repeat a place

UNLIT = Quality(0, Flaw.EMPTY)

Guide = Callable[[Flaw, Position], None]


@dataclass(slots=True)
class _EyeFrame:
    """A frame that shows an eye. `level`: its mean grey level."""

    sample: Sample
    score: int
    level: float
    at: float

    def better_than(self, other: "_EyeFrame") -> bool:
        """Whether this is the better one: of about the same score, the one that has much more light."""
        if abs(self.score - other.score) <= SAME_SCORE and min(self.score, other.score) >= USABLE_SCORE:
            if much_darker(other.level, self.level):
                return True
            if much_darker(self.level, other.level):
                return False
        return self.score > other.score


@dataclass(slots=True)
class _CaptureWindow:
    """The frames of one presentation so far.

    An eye is in view after MIN_EYE_FRAMES in a row, or after MIN_RETURNS with gaps as short as those of a lamp that
    strobes. Until then its frames wait in `glimpses`, a list for each time it came: a short glimpse of one person must
    not be taken for the next.
    """

    position: Position
    glimpses: list[list[_EyeFrame]] = field(default_factory=list)
    first_seen: float = 0.0  # when the eye came into view
    last_seen: float = -math.inf
    empty_since: float | None = None  # set while the latest frames show no eye
    empty_frames: int = 0  # in a row
    in_view: bool = False
    best: _EyeFrame | None = None
    latest: deque[Quality] = field(default_factory=lambda: deque(maxlen=MAX_UNLIT_FRAMES + 1))
    flaw: Flaw | None = None  # the flaw of the latest frames
    flaw_since: float = 0.0
    guided_at: float = -math.inf  # when the traveller was last told something

    def add(self, sample: Sample, quality: Quality, level: float, now: float) -> None:
        """Take one frame. A short glimpse does not count, a blink ends nothing, a longer absence starts again."""
        if self.eye_has_left(now) or (not self.in_view and self.empty_frames > MAX_UNLIT_FRAMES):
            self._reset()
        self.latest.append(quality)
        if quality.flaw is Flaw.EMPTY:
            self.empty_since = now if self.empty_since is None else self.empty_since
            self.empty_frames += 1
            return
        frame = _EyeFrame(sample, quality.score, level, now)
        if self.in_view:
            self._keep(frame)
        else:
            self._glimpse(frame)
        self.last_seen, self.empty_since, self.empty_frames = now, None, 0

    def _glimpse(self, frame: _EyeFrame) -> None:
        if self.empty_frames or not self.glimpses:
            self.glimpses.append([])
        self.glimpses[-1].append(frame)
        if len(self.glimpses[-1]) >= MIN_EYE_FRAMES:
            del self.glimpses[:-1]  # frames in a row need no help of earlier ones
        elif len(self.glimpses) < MIN_RETURNS:
            return
        frames = [each for glimpse in self.glimpses for each in glimpse]
        self.in_view, self.first_seen = True, frames[0].at
        for each in frames:
            self._keep(each)

    def _keep(self, frame: _EyeFrame) -> None:
        if self.best is None or frame.better_than(self.best):
            self.best = frame

    def drop_unlit(self, strobe: Strobe) -> None:
        """Drop what was taken before the lamp was known to strobe."""
        if self.best is not None and strobe.left_unlit(self.best.level):
            self.best = None

    def flaw_shown(self) -> Flaw | None:
        """The flaw of the best of the latest frames, for of a strobing lamp only some show the eye. None if usable."""
        best = max(self.latest, key=lambda quality: (quality.flaw is not Flaw.EMPTY, quality.score))
        return None if best.score >= USABLE_SCORE else best.flaw

    @property
    def glimpsed(self) -> bool:
        """Whether there may be an eye."""
        return self.in_view or bool(self.glimpses)

    def eye_has_left(self, now: float) -> bool:
        """Whether the eye has been away for longer than a blink."""
        blinks = self.empty_since is None or now - self.empty_since <= BLINK_S
        return not blinks or now - self.last_seen > NO_FRAME_S

    def complete(self, now: float) -> bool:
        """Whether the best frame can be taken now."""
        if not self.in_view or self.best is None:
            return False
        return self.best.score >= GOOD_SCORE or (self.best.score >= USABLE_SCORE and now - self.first_seen >= WINDOW_S)

    def _reset(self) -> None:
        self.in_view, self.best = False, None
        self.glimpses.clear()


@dataclass(slots=True)
class _PreviousEye:
    """The eye of the last sample: whether it is still in view."""

    present: bool
    empty_since: float | None = None
    pause: float = CHECK_PAUSE_S  # until the next check
    pause_while_it_stays: float = CHECK_PAUSE_S
    asked_to_leave: bool = False

    def add(self, now: float, *, empty: bool) -> None:
        """Take one frame. An eye that may be leaving is checked often, one that stays more and more rarely."""
        if not empty:
            self.pause_while_it_stays = min(2 * self.pause_while_it_stays, MAX_CHECK_PAUSE_S)
            self.empty_since, self.pause = None, self.pause_while_it_stays
            return
        self.empty_since, self.pause = now if self.empty_since is None else self.empty_since, CHECK_PAUSE_S
        self.present = now - self.empty_since < GONE_S


class BestFrameSensor:
    """Implements the Sensor contract, and the StreamHooks of a station, over one camera.

    `guide` is called in the capturing thread. `frame_check` must be quick: it gets every frame. For a frame without an
    eye it returns the flaw EMPTY.
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
        self._time_left: float | None = None
        self._open_window: _CaptureWindow | None = None  # the window of the previous slice
        self._previous = _PreviousEye(present=False)
        self._strobe = Strobe()
        self._idle_phase = 0.0
        self._removal_required = threading.Event()
        self._damage: Retry | None = None  # what was wrong with the last frame
        self._woken = threading.Event()
        self._rest = rest or self._sleep

    def open(self) -> DeviceInfo:
        """Open the camera."""
        self._open_window, self._strobe = None, Strobe()
        return self._camera.open()

    def cancel(self) -> None:
        """End the running capture or open, or the next one, with Cancelled."""
        self._camera.cancel()
        self._woken.set()

    def close(self) -> None:
        """Close the camera."""
        self._camera.close()

    def check_alive(self) -> None:
        """Raise the SensorError of a camera that has failed."""
        if isinstance(self._camera, LivenessCheck):
            self._camera.check_alive()

    def set_time_left(self, seconds: float) -> None:
        """Set how long the current request still lasts; math.inf if it never ends.

        A capture with a shorter timeout is one slice of the request. Without this call each capture is a whole request.
        """
        self._time_left = seconds

    def capture(self, timeout: float, position: Position = Position.UNKNOWN) -> Sample:
        """The best frame of an eye that looks into the camera.

        At the end of the request, returns the best frame even if it is poor: the quality measure then names the flaw.
        At the end of a slice, raises NOTHING_PRESENTED, and the next slice continues the capture window.
        """
        until, last_slice = self._clock() + timeout, self._time_left is None or self._time_left <= timeout
        window, self._open_window = self._resumed_window(position), None
        self._await_removal(position, until)
        while not window.complete(self._clock()) and self._clock() < until:
            self._take_frame(window, until)
        if not last_slice and not window.complete(self._clock()):
            self._open_window = window
            raise CaptureRetry(Retry.NOTHING_PRESENTED)
        if window.best is None or not window.in_view or window.eye_has_left(self._clock()):
            raise CaptureRetry(self._damage or Retry.NOTHING_PRESENTED)
        self._previous = _PreviousEye(present=True)
        self._removal_required.clear()
        return window.best.sample

    def require_removal(self) -> None:
        """Require that the eye of the last sample leaves before another sample is taken. Callable from any thread."""
        self._removal_required.set()

    def idle_check(self) -> float | None:
        """While no capture runs: check whether the last eye has left.

        Returns the seconds until the next check, None if no check is needed.
        """
        if self._previous.present:
            with suppress(CaptureRetry):
                self._check_previous(lambda: self._camera.capture(FRAME_TIMEOUT_S))
        return self._previous.pause if self._previous.present else None

    def _resumed_window(self, position: Position) -> _CaptureWindow:
        """The window of the previous slice if it is of this position and its eye may still be there; else a new one."""
        window = self._open_window
        if window and window.position is position and not window.eye_has_left(self._clock()):
            return window
        if isinstance(self._camera, WindowedSensor):
            self._camera.begin_window()  # frames from before this moment do not belong to it
        return _CaptureWindow(position)

    def _await_removal(self, position: Position, until: float) -> None:
        # A request without an end has no next traveller to hurry for: the last one may still be reading where to go.
        patience = until if self._time_left == math.inf else min(until, self._clock() + LEAVE_TIMEOUT_S)
        while self._previous.present and self._removal_required.is_set():
            if self._clock() >= patience:
                self._previous.asked_to_leave = True
                raise CaptureRetry(Retry.LOOK_AWAY)
            if self._check_previous(lambda: self._next_frame(position, until)):
                self._pause(min(IDLE_PAUSE_S, self._previous.pause), until)
        if self._previous.asked_to_leave:
            self._previous.asked_to_leave = False
            self._guide(Flaw.EMPTY, position)  # asks for the eye again

    def _check_previous(self, next_frame: Callable[[], Sample | None]) -> bool:
        """Check whether the last eye is still there. False if the last frame was damaged.

        A frame without an eye may be one that a strobing lamp left unlit, so a few more are looked at. A machine as
        slow as two frames would see the unlit ones only, so there are short rests between them.
        """
        rests = iter(SHIFTS_S)
        while True:
            sample = next_frame()
            if sample is None:
                return False
            empty = self._frame_check(sample).flaw is Flaw.EMPTY
            self._previous.add(self._clock(), empty=empty)
            rest = next(rests, None)
            if not empty or not self._previous.present or rest is None:
                return True
            self._rest(rest)

    def _next_frame(self, position: Position, until: float) -> Sample | None:
        """The next frame; None if it was damaged in transfer."""
        try:
            sample = self._camera.capture(FRAME_TIMEOUT_S, position)
        except CaptureRetry as retry:
            self._damage = retry.reason
            self._pause(DAMAGED_PAUSE_S, until)
            return None
        self._damage = None
        return sample

    def _take_frame(self, window: _CaptureWindow, until: float) -> None:
        sample = self._next_frame(window.position, until)
        if sample is None:
            return
        quality, level, now = self._frame_check(sample), grey_level(sample.image), self._clock()
        self._strobe.add(level)
        window.add(sample, UNLIT if self._strobe.left_unlit(level) else quality, level, now)
        window.drop_unlit(self._strobe)
        self._guide_traveller(window, now)
        if not window.glimpsed or (window.in_view and now - window.first_seen > SLOW_AFTER_S):
            self._pause(self._idle_pause(), until)

    def _idle_pause(self) -> float:
        """IDLE_PAUSE_S, each time somewhat shorter or longer.

        Pauses of an even number of frames would meet only those that a strobing lamp leaves unlit.
        """
        self._idle_phase = (self._idle_phase + GOLDEN) % 1.0
        return IDLE_PAUSE_S * (1.0 + SPREAD * (self._idle_phase - 0.5))

    def _pause(self, seconds: float, until: float) -> None:
        self._rest(max(0.0, min(seconds, until - self._clock())))

    def _sleep(self, seconds: float) -> None:
        """Sleep until the time is over or cancel() is called; the camera then ends the capture."""
        self._woken.wait(seconds)
        self._woken.clear()

    def _guide_traveller(self, window: _CaptureWindow, now: float) -> None:
        """Tell the traveller about a flaw that has lasted a while, and do not repeat it immediately."""
        flaw = window.flaw_shown()
        if flaw is not window.flaw:
            window.flaw, window.flaw_since = flaw, now
        if flaw in (None, Flaw.EMPTY) or now - max(window.flaw_since, window.guided_at) < GUIDE_S:
            return
        window.guided_at = now
        self._guide(flaw, window.position)
