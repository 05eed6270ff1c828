"""Golden scores: mean comparison scores of a few synthetic people, stored in the manifest with each calibration.

A calibration is valid only for the scores that it was fitted to. A change to the making or the comparison of templates
needs a new calibration; tests/models/test_calibration.py compares the golden scores to notice when it is missing.
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
from models.iris.kernel import search_whole
from models.iris.search_layout import ShiftedProbe, split
from simulators.people.person import Person

PEOPLE = range(900, 906)


class GoldenScores(NamedTuple):
    """Mean scores of the first sample of each person: with the second samples of the others, and with their own."""

    non_mated: float
    mated: float

    @classmethod
    def of(cls, scores: npt.NDArray[np.floating]) -> "GoldenScores":
        """The means of the scores [person of the first sample, person of the second sample]."""
        same = np.eye(len(scores), dtype=bool)
        return cls(float(scores[~same].mean()), float(scores[same].mean()))

    def line(self) -> str:
        """The line for manifest.toml, under the key `witness`."""
        return f"witness = {[round(value, 5) for value in self]}"


def finger_golden_scores() -> GoldenScores:
    """The golden scores of one finger of each person."""
    encoder = FingerEncoder(threads=1)
    samples = [[cylinders(encoder.minutiae(_finger(seed, n))) for seed in PEOPLE] for n in range(2)]
    return GoldenScores.of(np.array([[score(a, b) for b in samples[1]] for a in samples[0]]))


def iris_golden_scores() -> GoldenScores:
    """The golden scores of one eye of each person."""
    encoder = IrisEncoder()
    first, second = ([encoder.code(_eye(seed, n)) for seed in PEOPLE] for n in range(2))
    entries = split(np.stack([one.code for one in second]), np.stack([one.mask for one in second]))
    return GoldenScores.of(np.array([search_whole(ShiftedProbe.of(one), *entries) + 0.5 for one in first]))


GOLDEN_SCORES: dict[Modality, Callable[[], GoldenScores]] = {
    Modality.FINGER: finger_golden_scores,
    Modality.IRIS: iris_golden_scores,
}


def _finger(seed: int, number: int) -> Sample:
    image = Person(seed).finger(Position.RIGHT_INDEX).impression(number)
    return _sample(Modality.FINGER, Position.RIGHT_INDEX, image)


def _eye(seed: int, number: int) -> Sample:
    image = Person(seed).eye(Position.RIGHT_EYE).scene(number).image
    return _sample(Modality.IRIS, Position.RIGHT_EYE, image)


def _sample(modality: Modality, position: Position, image: npt.NDArray[np.uint8]) -> Sample:
    return Sample(modality, position, image, 8, PIXELS_PER_INCH, datetime.now(UTC), "simulated")
