"""Decides how old a frame may be that capture() returns.

The first frame of a capture window must begin after the call. Within the window, the next frame is returned even if it
began before the call: reading out a frame takes nearly the whole frame interval, so the next frame has begun before the
last one is scored. If every frame that began before the call were skipped, only every second frame would be scored.
"""

from dataclasses import dataclass

from drivers.sample import Position

MAX_GAP_S = 0.1  # a later call begins a new window; no frame returned is older than this
MAX_AGE_FRAMES = 1.5  # frame intervals, likewise: an older frame is skipped in favour of the one being read out


@dataclass(frozen=True, slots=True)
class _Delivered:
    """The last frame that was returned: when it began, and when it was returned (`at`)."""

    position: Position
    began_at: float
    at: float


class CaptureWindow:
    """The capture window of one camera. One thread uses it. Times are seconds of one clock, with any origin."""

    def __init__(self) -> None:
        self._last: _Delivered | None = None

    def begin(self) -> None:
        """Begins a new window: the next frame must begin after the call that requests it."""
        self._last = None

    def must_begin_after(self, position: Position, now: float, interval: float) -> float:
        """The time after which a frame must begin to be returned now. Frames come every `interval` seconds."""
        last = self._last
        if last is None or last.position is not position or now - last.at > MAX_GAP_S:
            return now
        return max(last.began_at, now - min(MAX_AGE_FRAMES * interval, MAX_GAP_S))

    def delivered(self, position: Position, began_at: float, now: float) -> None:
        """Records that a frame is returned now."""
        self._last = _Delivered(position, began_at, now)
