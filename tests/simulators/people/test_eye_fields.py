"""The building blocks of synthetic eye images: soft edges, smooth noise, enlarged fields, anti-aliased drawings."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from simulators.people.eye_fields import bump, clouds, coverage, soft, upscaled

DISTANCES = np.array([-20, -0.5, 0, 0.5, 20], np.float32)


def test_a_soft_edge_is_one_inside_a_half_on_the_edge_and_zero_outside() -> None:
    found = soft(DISTANCES, 2.0)
    assert found.dtype == np.float32
    assert found == pytest.approx([1, 1 / (1 + np.exp(-1)), 0.5, 1 / (1 + np.exp(1)), 0], abs=1e-6)


def test_a_bump_is_one_in_the_middle_and_the_same_on_both_sides() -> None:
    found = bump(DISTANCES, 0.5)
    assert found.dtype == np.float32
    assert found == pytest.approx([0, np.exp(-1), 1, np.exp(-1), 0], abs=1e-6)


@pytest.mark.parametrize("size", [1.0, 6.0, 40.0])
def test_clouds_have_the_size_of_the_image_and_blobs_of_the_size_that_is_wanted(size: float) -> None:
    made = clouds(np.random.default_rng(1), 203, 301, size)
    assert made.shape == (203, 301)
    assert made.dtype == np.float32
    assert 0.5 < made.std() < 1.3
    near = np.corrcoef(made[:-1].ravel(), made[1:].ravel())[0, 1]
    far = int(5 * size)
    assert near > 0.6 - 0.1 / size
    assert near > np.corrcoef(made[:-far].ravel(), made[far:].ravel())[0, 1] + 0.2


def test_enlarging_keeps_the_values_and_multiplies_the_size() -> None:
    plane = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert upscaled(plane, 1) is plane
    large = upscaled(plane, 4)
    assert large.shape == (12, 16)
    assert (large.min(), large.max()) == (0, 11)
    assert np.diff(large, axis=1).max() == pytest.approx(0.25)


def test_the_coverage_of_a_pixel_is_the_share_of_its_four_points() -> None:
    double = Image.new("L", (8, 4))
    ImageDraw.Draw(double).rectangle((1, 0, 3, 2), fill=255)
    wanted = np.array([[0.5, 1, 0, 0], [0.25, 0.5, 0, 0]])
    assert coverage(double, 4, 2) == pytest.approx(wanted, abs=1 / 255)  # Pillow has 256 grey levels
