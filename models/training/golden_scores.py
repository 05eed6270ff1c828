"""What a calibration remembers of the scores that it was fitted to: those of a few synthetic people.

A calibration says nothing of scores that come about in another way. Whoever changes how samples are made into templates
or compared must fit it anew, and tests/models/test_calibration.py notices when that was forgotten.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from drivers.sample import Modality, Position, Sample
from models.finger.compare.score import score
from models.finger.cylinders import cylinders
from models.finger.encoder import FingerEncoder
from models.finger.minutiae import PIXELS_PER_INCH
from models.iris.encoder import IrisEncoder
from models.iris.kernel import Turned, search_whole, split
from simulators.people.person import Person

PEOPLE = range(900, 906)


class Witness(NamedTuple):
    """Mean scores of the first of two samples of each with the other people's, and with the second."""

    strangers: float
    mates: float

    @classmethod
    def of(cls, scores: npt.NDArray[np.floating]) -> "Witness":
        """Of the scores [first sample, second sample] of each person with each."""
        same = np.eye(len(scores), dtype=bool)
        return cls(float(scores[~same].mean()), float(scores[same].mean()))

    def line(self) -> str:
        """For manifest.toml."""
        return f"witness = {[round(value, 5) for value in self]}"


def of_fingers() -> Witness:
    """Of a finger of each person."""
    encoder = FingerEncoder(threads=1)
    taken = [[cylinders(encoder.minutiae(_finger(seed, n))) for seed in PEOPLE] for n in range(2)]
    return Witness.of(np.array([[score(a, b) for b in taken[1]] for a in taken[0]]))


def of_irises() -> Witness:
    """Of an eye of each person."""
    encoder = IrisEncoder()
    first, second = ([encoder.code(_eye(seed, n)) for seed in PEOPLE] for n in range(2))
    entries = split(np.stack([one.code for one in second]), np.stack([one.mask for one in second]))
    return Witness.of(np.array([search_whole(Turned.of(one), *entries) + 0.5 for one in first]))


WITNESSES: dict[Modality, Callable[[], Witness]] = {Modality.FINGER: of_fingers, Modality.IRIS: of_irises}


def _finger(seed: int, number: int) -> Sample:
    image = Person(seed).finger(Position.RIGHT_INDEX).impression(number)
    return _sample(Modality.FINGER, Position.RIGHT_INDEX, image)


def _eye(seed: int, number: int) -> Sample:
    image = Person(seed).eye(Position.RIGHT_EYE).scene(number).image
    return _sample(Modality.IRIS, Position.RIGHT_EYE, image)


def _sample(modality: Modality, position: Position, image: npt.NDArray[np.uint8]) -> Sample:
    return Sample(modality, position, image, 8, PIXELS_PER_INCH, datetime.now(UTC), "simulated")
