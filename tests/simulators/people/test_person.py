"""Synthetic fingers: the same seed gives the same image, different fingers differ, and the encoder reads them."""

import hashlib
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

from drivers.sample import Position
from models.calibration import load_calibration
from models.finger.encoder import FingerEncoder
from models.finger.template import FORMAT
from simulators.people.person import FINGERS, Condition, Finger, Person
from tests.rigs.people_figures import Read, mate_scores, non_mate_scores, read

Pixels = NDArray[np.uint8]

FINGER = Person(1).finger(Position.RIGHT_INDEX)
READ = (Position.RIGHT_THUMB, Position.RIGHT_INDEX, Position.LEFT_LITTLE)  # of four persons, by the real encoder
SENSORS = [
    (256, 288, 500.0),
    (192, 192, 508.0),
    (320, 416, 500.0),
    (128, 144, 250.0),
    (256, 360, 363.0),
    (400, 500, 1000.0),
]
IN_ANOTHER_PROCESS = """
import hashlib
from drivers.sample import Position
from simulators.people.person import Person
print(hashlib.sha256(Person(1).finger(Position.RIGHT_INDEX).impression(3).tobytes()).hexdigest())
"""


def similarity(one: Pixels, other: Pixels) -> float:
    """Correlation of two images of the same size."""
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def dark_share(image: Pixels) -> float:
    return float((image < 128).mean())


def touched(image: Pixels) -> NDArray[np.bool_]:
    """Where skin is on the sensor."""
    return np.asarray(gaussian_filter(image.astype(float), 5) < 195)


def ridge_period(image: Pixels) -> float:
    """Pixels from ridge to ridge: the centre of the strongest octave of the spectrum."""
    middle = image[44:-44, 28:-28].astype(float)
    power = np.abs(np.fft.fft2(middle - gaussian_filter(middle, 8))) ** 2
    radius = np.hypot(np.fft.fftfreq(middle.shape[0])[:, None], np.fft.fftfreq(middle.shape[1])[None, :])
    ridges = (radius > 1 / 20) & (radius < 1 / 4)
    return float(power[ridges].sum() / (power[ridges] * radius[ridges]).sum())


def four_bit(image: Pixels) -> Pixels:
    """The image as a sensor with sixteen grey levels gives it."""
    return np.asarray((image >> 4) * 17, dtype=np.uint8)


@pytest.fixture(scope="module")
def encoder() -> FingerEncoder:
    return FingerEncoder()


@pytest.fixture(scope="module")
def fingers() -> list[Finger]:
    return [Person(seed).finger(position) for seed in range(20, 24) for position in READ]


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


@pytest.mark.parametrize(("width", "height", "ppi"), SENSORS)
def test_every_sensor_gets_an_image_of_its_size(width: int, height: int, ppi: float) -> None:
    image = FINGER.impression(0, width, height, ppi)
    assert image.shape == (height, width)
    assert image.dtype == np.uint8
    assert image.std() > 25


def test_sensors_of_other_resolutions_see_the_same_touch() -> None:
    image = FINGER.impression(4, 256, 288, 500)
    for scale in (0.5, 2):
        other = FINGER.impression(4, int(256 * scale), int(288 * scale), 500 * scale)
        assert similarity(zoom(other.astype(float), 1 / scale, order=1, grid_mode=True, mode="nearest"), image) > 0.8


def test_a_larger_sensor_sees_more_of_the_same_touch() -> None:
    small, large = FINGER.impression(4, 192, 192), FINGER.impression(4, 320, 416)
    assert similarity(small, large[112:304, 64:256]) > 0.8


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 2**63), position=st.sampled_from(FINGERS), n=st.integers(0, 2**31))
def test_every_finger_is_dark_ridges_on_a_light_sensor(seed: int, position: Position, n: int) -> None:
    image = Person(seed).finger(position).impression(n)
    assert 0.08 < dark_share(image) < 0.75
    assert np.percentile(image, 3) < 120
    assert np.percentile(image, 99) > 190
    assert 6.5 < ridge_period(image) < 12.5


def test_two_touches_of_one_finger_differ() -> None:
    assert similarity(FINGER.impression(0), FINGER.impression(1)) < 0.7


def test_ten_fingers_are_ten_prints() -> None:
    images = [finger.impression(0, condition=Condition.NORMAL) for finger in Person(20).fingers]
    assert max(similarity(a, b) for i, a in enumerate(images) for b in images[:i]) < 0.6


def test_a_thumb_touches_more_than_a_little_finger() -> None:
    def area(position: Position) -> int:
        return int(touched(Person(3).finger(position).impression(0, 500, 600, condition=Condition.NORMAL)).sum())

    assert area(Position.RIGHT_THUMB) > 1.4 * area(Position.RIGHT_LITTLE)


def by_condition(condition: Condition) -> Iterator[Pixels]:
    return (FINGER.impression(n, condition=condition) for n in range(4))


def test_wet_skin_is_darker_than_dry() -> None:
    assert min(map(dark_share, by_condition(Condition.WET))) > max(map(dark_share, by_condition(Condition.DRY)))


def test_a_heavy_touch_covers_more_than_a_light_one() -> None:
    heavy, light = (np.mean([touched(i).mean() for i in by_condition(c)]) for c in (Condition.HEAVY, Condition.LIGHT))
    assert heavy > 1.3 * light


def test_a_partial_touch_leaves_much_of_the_sensor_empty() -> None:
    assert all(0.15 < touched(image).mean() < 0.7 for image in by_condition(Condition.PARTIAL))


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
