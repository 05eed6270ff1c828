"""Sunlight is seen as a finger, all the time or every other few seconds, and its image has no ridges."""

import numpy as np

from models.finger.ridge_check import shows_ridges
from simulators.sensors.common.sunlight import Sunlight
from simulators.transports.faults import Faults


class Day:
    def __init__(self) -> None:
        self.time = 0.0
        self.faults = Faults()
        self.sunlight = Sunlight(self.faults, 256, 288, lambda: self.time)


def test_it_shines_only_while_the_fault_is_pending() -> None:
    day = Day()
    assert (day.sunlight.seconds, day.sunlight.glare) == (None, None)
    day.faults.inject("sunlight")
    assert day.sunlight.glare is not None
    day.faults.clear()
    assert day.sunlight.glare is None


def test_it_comes_and_goes() -> None:
    day = Day()
    day.faults.inject("sunlight", seconds=4.0)
    seen = []
    for day.time in range(0, 20, 2):
        seen.append(day.sunlight.glare is not None)
    assert seen == [True, True, False, False] * 2 + [True, True]


def test_its_image_shows_no_ridges() -> None:
    day = Day()
    day.faults.inject("sunlight")
    glare = np.frombuffer(day.sunlight.glare or b"", np.uint8).reshape(288, 256)
    assert not shows_ridges(glare, 500.0)
    assert glare.min() < glare.max()
