"""Impressions of a finger: the image that each sensor takes of a touch, and the effect of each condition."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

from drivers.sample import Position
from simulators.people.person import FINGERS, Condition, Person
from simulators.people.skin import TRAITS, UNREADABLE, draw_touch, traits_of

Pixels = NDArray[np.uint8]

FINGER = Person(1).finger(Position.RIGHT_INDEX)
SENSORS = [
    (256, 288, 500.0),
    (192, 192, 508.0),
    (320, 416, 500.0),
    (128, 144, 250.0),
    (256, 360, 363.0),
    (400, 500, 1000.0),
]


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
    assert 0.04 < dark_share(image) < 0.75  # a light, dry, partial touch of a little finger has 0.06
    assert np.percentile(image, 3) < 120
    assert np.percentile(image, 99) > 190
    assert 6.5 < ridge_period(image) < 12.5


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


def test_a_touch_without_a_condition_is_mostly_normal_and_never_partial_or_unreadable() -> None:
    rng = np.random.default_rng(1)
    drawn = [traits_of(None, rng, n) for n in range(300)]
    assert 150 < drawn.count(TRAITS[Condition.NORMAL]) < 210
    assert TRAITS[Condition.DRY] in drawn
    assert TRAITS[Condition.PARTIAL] not in drawn
    assert not any(each in UNREADABLE for each in drawn)


def test_an_unreadable_finger_shows_each_of_its_causes_in_turn() -> None:
    rng = np.random.default_rng(1)
    assert [traits_of(Condition.UNREADABLE, rng, n) for n in range(4)] == [*UNREADABLE, UNREADABLE[0]]


def test_a_touch_stays_within_its_traits() -> None:
    traits = TRAITS[Condition.PARTIAL]
    for seed in range(10):
        touch = draw_touch(np.random.default_rng(seed), traits)
        assert traits.shift[0] <= np.hypot(*touch.shift) <= traits.shift[1]
        assert traits.reach[0] <= touch.reach <= traits.reach[1]
        assert traits.ink[0] <= touch.ink <= traits.ink[1]
        assert abs(touch.rotation) <= 0.45
        assert abs(touch.twist) <= 0.12
