"""Interpolated samples, closed paths through polar images, and smooth curves through such paths."""

import numpy as np
import pytest

from models.iris.segmentation.geometry import even_angles
from models.iris.segmentation.polar import (
    _bilinear_compiled,
    _bilinear_plain,
    about_centroid,
    best_path,
    closed_path,
    fourier_basis,
    peak_positions,
    sample,
    slope,
    smooth,
)


def test_the_best_path_follows_the_ridge() -> None:
    true = np.rint(10 + 5 * np.sin(even_angles(64))).astype(int)
    gain = np.zeros((64, 20), np.float32)
    gain[np.arange(64), true] = 1
    assert np.array_equal(closed_path(gain, 0.1), true)


def test_a_path_moves_by_at_most_one_column_per_row() -> None:
    gain = np.random.default_rng(1).random((100, 30)).astype(np.float32)
    assert np.abs(np.diff(best_path(gain, 0.1))).max() <= 1


def test_the_slope_is_greatest_on_the_edge_and_in_its_middle() -> None:
    ray = np.where(np.arange(40) < 20, 10, 60).astype(np.float32)
    ray[20] = 35
    assert slope(ray[np.newaxis], 4)[0].argmax() == 20


def test_wrong_points_do_not_bend_a_smooth_curve() -> None:
    radii = (50 + 3 * np.cos(2 * even_angles(128))).astype(np.float32)
    wrong = radii.copy()
    wrong[10:25] += 20
    fitted = smooth(wrong, np.ones(128, np.float32), 3, 0.01)
    assert np.abs(fitted - radii).max() < 1.5


def test_samples_are_interpolated_and_those_outside_are_marked() -> None:
    image = np.add.outer(10 * np.arange(4), np.arange(5)).astype(np.float32)
    x, y = np.array([0.0, 2.5, 3.0, -1.0, 4.5]), np.array([0.0, 1.5, 2.0, 1.0, 3.5])
    values, within = sample(image, x, y)
    assert within.tolist() == [True, True, True, False, False]
    assert values[within] == pytest.approx([0, 17.5, 23])


def test_a_peak_is_located_between_two_steps() -> None:
    steps = np.arange(9)
    gain = np.stack([1 - 0.01 * (steps - true) ** 2 for true in (4.0, 4.3, 3.6)]).astype(np.float32)
    assert peak_positions(gain, np.array([4, 4, 4])) == pytest.approx([4.0, 4.3, 3.6], abs=1e-3)


def test_the_fourier_basis_has_all_cosines_before_the_sines() -> None:
    angles = even_angles(8)
    expected = np.stack([np.ones(8), np.cos(angles), np.cos(2 * angles), np.sin(angles), np.sin(2 * angles)], axis=1)
    assert fourier_basis(8, 2) == pytest.approx(expected)


def test_a_circle_around_a_wrong_centre_gets_its_own() -> None:
    off = about_centroid(100.0, 80.0, _radii_from(103.0, 78.0))
    assert (off.x, off.y) == pytest.approx((103, 78), abs=0.05)
    assert off.radii == pytest.approx(np.full(256, 50), abs=0.1)


def _radii_from(x: float, y: float) -> np.ndarray:
    """The distances from (100, 80) to a circle of radius 50 around (x, y), at even angles."""
    angles = even_angles(256)
    across, down = x - 100, y - 80
    along = across * np.cos(angles) + down * np.sin(angles)
    return np.asarray(along + np.sqrt(50**2 - (across**2 + down**2 - along**2)), np.float32)


def test_compiled_code_and_numpy_interpolate_alike() -> None:
    rng = np.random.default_rng(2)
    image = rng.random((40, 50)).astype(np.float32)
    x, y = (rng.random(200) * 48).astype(np.float32), (rng.random(200) * 38).astype(np.float32)
    assert np.allclose(_bilinear_compiled(image, x, y), _bilinear_plain(image, x, y), atol=1e-5)
