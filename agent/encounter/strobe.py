"""Recognises the frames that a strobing lamp left unlit: cameras for sign-in light every second or third frame.

An unlit frame may be black, or show the eye in whatever light the room has: then it looks like a frame of an eye, and
must not be taken in place of a lit one. The mean grey level tells them apart, once it has risen and fallen a few times.
"""

from collections import deque
from itertools import pairwise

from numpy import uint8
from numpy.typing import NDArray

HISTORY = 12  # frames: three periods of a lamp that lights one frame in four
UNLIT = 0.6  # of the brightest frame; an eye that moves or blinks changes the mean grey level by less
SWINGS = 2  # falls, and as many rises, in the history of a lamp that strobes
OVEREXPOSED = 225  # mean grey level: in strong light from elsewhere, the frames without the lamp are the better ones
DARK = 16  # grey levels; if no frame is brighter, there is nothing to compare
STEP = 8  # every eighth pixel of every eighth row is enough for a mean


def grey_level(image: NDArray[uint8]) -> float:
    """The mean grey level of an image u8[h, w], 0 to 255."""
    return float(image[::STEP, ::STEP].mean()) if image.size else 0.0


def much_darker(level: float, other: float) -> bool:
    """Whether a frame of the grey level `level` has much less light than another, which has enough and not too much."""
    return DARK < other < OVEREXPOSED and level < UNLIT * other


class Strobe:
    """The light of the latest frames of one camera. One thread uses it."""

    def __init__(self) -> None:
        self._levels = deque[float](maxlen=HISTORY)
        self.seen = False  # a lamp that has strobed once does so until the camera is opened again

    def add(self, level: float) -> None:
        """Take the grey level of the next frame."""
        self._levels.append(level)
        pairs = list(pairwise(self._levels))
        falls, rises = sum(b < UNLIT * a for a, b in pairs), sum(a < UNLIT * b for a, b in pairs)
        self.seen = self.seen or (min(falls, rises) >= SWINGS and max(self._levels) > DARK)

    def left_unlit(self, level: float) -> bool:
        """Whether a frame of this grey level is one that the lamp left unlit."""
        return self.seen and much_darker(level, max(self._levels, default=0.0))
