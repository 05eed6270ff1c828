"""Sunlight on a touch sensor: it reports a finger, and its image shows glare without ridges.

Written from what users report of optical modules near windows. Standard library only.
"""

from collections.abc import Callable

from simulators.transports.faults import Faults

BRIGHT, DARK = 255, 96  # the image is overexposed on one side


class Sunlight:
    """The fault `sunlight` of one sensor, with an image of width x height pixels. `clock` is in seconds."""

    def __init__(self, faults: Faults, width: int, height: int, clock: Callable[[], float]) -> None:
        self._faults = faults
        self._clock = clock
        row = bytes(max(DARK, BRIGHT - (BRIGHT - DARK) * max(0, 2 * x - width) // max(width, 1)) for x in range(width))
        self._glare = row * height

    @property
    def seconds(self) -> float | None:
        """How long it shines and how long it does not; 0: it always shines; None: the fault is not pending."""
        params = self._faults.peek("sunlight")
        return None if params is None else float(params["seconds"])

    @property
    def glare(self) -> bytes | None:
        """What the sensor sees now, one byte per pixel, top row first; None if the sun does not shine on it."""
        seconds = self.seconds
        if seconds is None or (seconds > 0 and int(self._clock() / seconds) % 2):
            return None
        return self._glare
