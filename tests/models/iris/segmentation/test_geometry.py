"""Boundaries: closed curves through points, and the same curve around another centre."""

import numpy as np
import pytest

from models.iris.segmentation.geometry import Boundary, even_angles


def test_a_boundary_passes_through_its_points() -> None:
    ellipse = np.stack([100 + 50 * np.cos(even_angles(90)), 80 + 40 * np.sin(even_angles(90))], axis=1)
    curve = Boundary.from_points(ellipse)
    x, y = curve.at(even_angles(300)).T
    assert np.allclose(((x - 100) / 50) ** 2 + ((y - 80) / 40) ** 2, 1, atol=0.01)


def test_a_boundary_needs_three_points() -> None:
    with pytest.raises(ValueError, match="at least 3 points"):
        Boundary.from_points([[1, 2], [3, 4]])


def test_a_curve_around_another_centre_is_the_same_curve() -> None:
    circle = Boundary.circle(10, 20, 30)
    x, y = circle.recentred(15, 18).at(even_angles(100)).T
    assert np.allclose(np.hypot(x - 10, y - 20), 30, atol=0.1)


def test_a_circle_has_its_radius_in_all_directions() -> None:
    circle = Boundary.circle(10, 20, 30)
    assert circle.mean_radius == 30
    assert np.allclose(circle.radius_at(np.array([-1.0, 0.3, 9.0])), 30)
    points = circle.points()
    assert len(points) == len(circle.radii)
    assert np.allclose(points[0], (40, 20))
    assert np.allclose(np.hypot(*(points - (10, 20)).T), 30, atol=1e-4)
