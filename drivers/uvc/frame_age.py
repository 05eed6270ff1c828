"""Which frame of a stream a capture may have: within one look the next, at its begin none that began before.

A frame takes nearly all its time to be read out, so the next one has begun before anybody has looked at the last. To
let by whatever began before a call would score every other frame only.
"""

from dataclasses import dataclass

from drivers.sample import Position

CLOSE_S = 0.1  # a call so soon after the last frame goes on with its look; no frame given began longer ago than this
FRAMES_OLD = 1.5  # or than so many frames' time: one that had to wait is let by for the one that is under way


@dataclass(frozen=True, slots=True)
class _Given:
    """The last frame that was given, and when."""

    position: Position
    began_at: float
    at: float


class Looks:
    """The looks into one camera. One thread uses it; times are seconds of the camera's link, whatever their origin."""

    def __init__(self) -> None:
        self._last: _Given | None = None

    def begin(self) -> None:
        """Another look: what is given next began after it was asked for."""
        self._last = None

    def begun_after(self, position: Position, now: float, interval: float) -> float:
        """A frame that is asked for now must have begun after this moment; frames come every `interval` seconds."""
        last = self._last
        if last is None or last.position is not position or now - last.at > CLOSE_S:
            return now
        return max(last.began_at, now - min(FRAMES_OLD * interval, CLOSE_S))

    def gave(self, position: Position, began_at: float, now: float) -> None:
        """A frame is given now."""
        self._last = _Given(position, began_at, now)
