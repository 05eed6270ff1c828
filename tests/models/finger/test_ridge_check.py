"""Images of fingers, also of bad ones, show ridges; glare, shadows, noise and an empty sensor do not."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import ndimage

from models.finger.ridge_check import ridge_shares, shows_ridges
from simulators.people.person import Condition
from tests.conftest import impression_of

RNG = np.random.default_rng(3)
Y, X = np.mgrid[:288, :256]
READABLE = [each for each in Condition if each is not Condition.UNREADABLE]


def grey(values: NDArray[np.floating | np.integer]) -> NDArray[np.uint8]:
    image: NDArray[np.uint8] = np.clip(values, 0, 255).astype(np.uint8)
    return image


NOBODY = {
    "blank": np.full((288, 256), 240, np.uint8),
    "noise": grey(RNG.integers(0, 256, (288, 256))),
    "faint noise": grey(128 + RNG.normal(0, 5, (288, 256))),
    "glare": grey(255 * np.exp(-((Y - 144) ** 2 + (X - 128) ** 2) / 4000)),
    "the edge of a shadow": grey((X > 128) * 200 + 20),
    "a drop of water": grey(((Y - 144) ** 2 + (X - 128) ** 2 < 80**2) * 200 + 20 + RNG.normal(0, 8, (288, 256))),
    "shading of a 4-bit sensor": grey(X // 16 * 17),
    "shadows of leaves": grey(ndimage.gaussian_filter((RNG.random((288, 256)) < 0.002) * 1.0, 8) * 20000),
    "overexposed": grey(ndimage.gaussian_filter(RNG.normal(0, 1, (288, 256)), 6) * 3000 + 200) // 17 * 17,
    "one pixel": np.zeros((1, 1), np.uint8),
    "no pixel": np.zeros((0, 0), np.uint8),
    "one row": grey(RNG.integers(0, 256, (1, 700))),
}


@pytest.mark.parametrize("name", NOBODY)
def test_nobody_is_seen_in(name: str) -> None:
    assert not shows_ridges(NOBODY[name], 500.0)


@pytest.mark.parametrize("condition", READABLE)
def test_a_finger_of_any_condition_is_seen(condition: Condition) -> None:
    for seed in range(1, 6):
        assert shows_ridges(impression_of(seed, 1, condition=condition), 500.0)


@pytest.mark.parametrize("impression", [0, 2])
def test_a_worn_or_wet_finger_that_cannot_be_read_is_seen(impression: int) -> None:
    for seed in range(1, 6):
        assert shows_ridges(impression_of(seed, impression, condition=Condition.UNREADABLE), 500.0)


def test_a_faint_finger_of_20_grey_levels_is_seen() -> None:
    assert shows_ridges(grey(200 + impression_of(1, 1) / 255 * 20), 500.0)


@pytest.mark.parametrize("pixels_per_inch", [250.0, 385.0, 1000.0])
def test_the_resolution_of_the_sensor_is_used(pixels_per_inch: float) -> None:
    finger = grey(ndimage.zoom(impression_of(2, 1).astype(np.float32), pixels_per_inch / 500, order=1))
    assert shows_ridges(finger, pixels_per_inch)


def test_a_huge_image_takes_bounded_time() -> None:
    huge = np.tile(impression_of(1, 1), (18, 20))
    began = time.monotonic()
    assert shows_ridges(huge, 500.0)
    assert time.monotonic() - began < 2.0


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=90)), st.floats())
def test_any_image_of_any_resolution_gets_an_answer(image: NDArray[np.uint8], pixels_per_inch: float) -> None:
    shares = ridge_shares(image, pixels_per_inch)
    assert ((shares >= 0) & (shares <= 1.001)).all()
