"""Synthetic people: the same seed gives the same fingers and eyes, and the encoder reads the fingers."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.sample import Position
from models.calibration import load_calibration
from models.finger.encoder import FingerEncoder
from models.finger.template import FORMAT
from simulators.people.person import EYES, Condition, Finger, Pattern, Person
from simulators.sensors.uvc.scene import EYES as CAMERA_EYES
from tests.rigs.people_figures import Read, mate_scores, non_mate_scores, read

Pixels = NDArray[np.uint8]

FINGER = Person(1).finger(Position.RIGHT_INDEX)
EYE = Person(1).eye(Position.LEFT_EYE)
WIDTH, HEIGHT = 320, 240
FRAMES = 6
PEOPLE = 400
READ = (Position.RIGHT_THUMB, Position.RIGHT_INDEX, Position.LEFT_LITTLE)  # of three persons, by the real encoder
IN_ANOTHER_PROCESS = """
import hashlib
from drivers.sample import Position
from simulators.people.person import Person
print(hashlib.sha256(Person(1).finger(Position.RIGHT_INDEX).impression(3).tobytes()).hexdigest())
"""
EYE_IN_ANOTHER_PROCESS = """
import hashlib
from drivers.sample import Position
from simulators.people.person import Person
print(hashlib.sha256(Person(1).eye(Position.LEFT_EYE).frame(3, 320, 240).tobytes()).hexdigest())
"""


def similarity(one: Pixels, other: Pixels) -> float:
    """Correlation of two images of the same size."""
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def four_bit(image: Pixels) -> Pixels:
    """The image as a sensor with sixteen grey levels gives it."""
    return np.asarray((image >> 4) * 17, dtype=np.uint8)


@pytest.fixture(scope="module")
def encoder() -> FingerEncoder:
    return FingerEncoder()


@pytest.fixture(scope="module")
def fingers() -> list[Finger]:
    return [Person(seed).finger(position) for seed in range(20, 23) for position in READ]


@pytest.fixture(scope="module")
def readings(encoder: FingerEncoder, fingers: list[Finger]) -> list[list[Read]]:
    """Two impressions of every finger, as the agent reads them."""
    return [[read(encoder, finger.impression(n)) for n in range(2)] for finger in fingers]


def test_another_process_sees_the_same_finger() -> None:
    here = hashlib.sha256(FINGER.impression(3).tobytes()).hexdigest()
    there = subprocess.run([sys.executable, "-c", IN_ANOTHER_PROCESS], capture_output=True, text=True, check=True)
    assert there.stdout.strip() == here


def test_earlier_impressions_change_nothing() -> None:
    before = FINGER.impression(0)
    Person(2).finger(Position.LEFT_RING).impression(5)
    FINGER.impression(1, condition=Condition.WET)
    assert np.array_equal(FINGER.impression(0), before)


def test_an_image_may_be_changed_by_its_caller() -> None:
    FINGER.impression(0)[:] = 0
    assert FINGER.impression(0).any()


def test_two_touches_of_one_finger_differ() -> None:
    assert similarity(FINGER.impression(0), FINGER.impression(1)) < 0.7


def test_ten_fingers_are_ten_prints() -> None:
    images = [finger.impression(0, condition=Condition.NORMAL) for finger in Person(20).fingers]
    assert max(similarity(a, b) for i, a in enumerate(images) for b in images[:i]) < 0.6


def test_the_encoder_finds_as_many_minutiae_as_in_real_prints(readings: list[list[Read]]) -> None:
    counts = np.array([each.minutiae for finger in readings for each in finger])
    assert ((counts >= 20) & (counts <= 80)).mean() > 0.9
    assert 30 <= np.median(counts) <= 60


def test_mated_scores_are_far_above_non_mated_scores(readings: list[list[Read]]) -> None:
    mates, others = mate_scores(readings), non_mate_scores(readings)
    rate = load_calibration(FORMAT).false_match_rate
    assert mates.min() > 1.3 * others.max()
    assert rate(float(np.median(mates))) < 1e-5
    assert rate(float(others.max())) > 1e-5


def test_sixteen_grey_levels_are_enough(
    encoder: FingerEncoder, fingers: list[Finger], readings: list[list[Read]]
) -> None:
    for finger, (first, _) in list(zip(fingers, readings, strict=True))[::4]:
        coarse = read(encoder, four_bit(finger.impression(1)))
        assert coarse.minutiae >= 15
        assert mate_scores([[first, coarse]])[0] > 1.3 * non_mate_scores(readings).max()


def test_an_unreadable_finger_gives_few_minutiae(encoder: FingerEncoder, fingers: list[Finger]) -> None:
    counts = [
        read(encoder, f.impression(n, condition=Condition.UNREADABLE)).minutiae for f in fingers[:3] for n in range(3)
    ]
    assert max(counts) < 8


@pytest.mark.parametrize("position", [Position.LEFT_EYE, Position.RIGHT_EYE, Position.UNKNOWN])
def test_a_position_that_is_no_finger_is_refused(position: Position) -> None:
    with pytest.raises(ValueError, match="not a finger"):
        Person(1).finger(position)


def test_a_frame_of_an_eye_is_the_same_in_another_process() -> None:
    other = subprocess.run([sys.executable, "-c", EYE_IN_ANOTHER_PROCESS], capture_output=True, text=True, check=True)
    assert hashlib.sha256(EYE.frame(3, 320, 240).tobytes()).hexdigest() == other.stdout.strip()


def test_every_frame_of_an_eye_is_different() -> None:
    images = {EYE.frame(n, WIDTH, HEIGHT).tobytes() for n in range(FRAMES)}
    assert len(images) == FRAMES


def test_the_eyes_of_a_camera_are_those_of_a_person() -> None:
    assert set(CAMERA_EYES.values()) == set(EYES)
    for position in (Position.RIGHT_INDEX, Position.UNKNOWN):
        with pytest.raises(ValueError, match="not an eye"):
            Person(1).eye(position)


def test_fingers_of_one_person_are_more_similar_than_those_of_many() -> None:
    whorls = [sum(finger.pattern is Pattern.WHORL for finger in Person(seed).fingers) for seed in range(PEOPLE)]
    share = np.mean(whorls) / 10
    assert np.var(whorls) > 1.3 * 10 * share * (1 - share)
