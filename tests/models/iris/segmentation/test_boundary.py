"""The edges of pupil and limbus: the best circle, and the curve of most gain near it."""

import numpy as np
import pytest

from models.iris.segmentation.boundary import (
    LIMBUS,
    PUPIL,
    PreparedImage,
    _circle_gains_compiled,
    _circle_gains_plain,
    circles_near,
    limbus_circle,
    pupil_circle,
    radii_between,
    refine,
    trust,
)
from models.iris.segmentation.geometry import Boundary, even_angles
from models.iris.segmentation.location import Disc


@pytest.fixture(name="drawn", scope="module")
def _drawn() -> PreparedImage:
    """An eye with a pupil of radius 25 and a limbus of radius 60 around (160, 120)."""
    y, x = np.mgrid[0:240, 0:320]
    away = np.hypot(x - 160, y - 120)
    grey = 20 + 70 / (1 + np.exp((25 - away) / 0.8)) + 110 / (1 + np.exp((60 - away) / 1.5))
    return PreparedImage(np.log(grey).astype(np.float32), np.zeros(grey.shape, np.float32))


def test_the_circles_of_an_eye_are_found_from_a_disc_nearby(drawn: PreparedImage) -> None:
    pupil = pupil_circle(drawn, Disc(164, 117, 22, 1.0))
    limbus = limbus_circle(drawn, pupil.boundary, 30)
    assert (pupil.boundary.x, pupil.boundary.y, pupil.boundary.mean_radius) == pytest.approx((160, 120, 25), abs=1.5)
    assert (limbus.boundary.x, limbus.boundary.y, limbus.boundary.mean_radius) == pytest.approx((160, 120, 60), abs=2)
    assert min(pupil.evidence, limbus.evidence) > 0.3


def test_the_circles_near_those_of_the_network_are_the_same(drawn: PreparedImage) -> None:
    pupil, limbus = circles_near(drawn, Disc(161, 119, 24, 1.0), 55)
    assert pupil.boundary.mean_radius == pytest.approx(25, abs=1.5)
    assert limbus.boundary.mean_radius == pytest.approx(60, abs=2)


def test_a_limbus_far_larger_than_that_of_the_network_has_less_evidence(drawn: PreparedImage) -> None:
    disc = Disc(160, 120, 25, 1.0)
    near, far = (circles_near(drawn, disc, expected)[1].evidence for expected in (58, 41))
    assert far < near


def test_an_edge_is_followed_to_a_fraction_of_a_pixel(drawn: PreparedImage) -> None:
    pupil = refine(drawn, PUPIL, Boundary.circle(161, 119, 26))
    limbus = refine(drawn, LIMBUS, Boundary.circle(159, 121, 58))
    assert pupil.boundary.mean_radius == pytest.approx(25, abs=0.5)
    assert limbus.boundary.mean_radius == pytest.approx(60, abs=1.0)
    assert (limbus.boundary.x, limbus.boundary.y) == pytest.approx((160, 120), abs=0.3)
    assert pupil.shown > 0.9


def test_the_sides_of_the_limbus_are_trusted_more_than_the_top() -> None:
    right, down, left, up = trust(LIMBUS, even_angles(4))
    assert right == left == 1
    assert up < down < 1


def test_radii_grow_from_the_smallest_to_the_largest() -> None:
    radii = radii_between(10, 40)
    assert (radii[0], radii[-1]) == pytest.approx((10, 40))
    assert np.ptp(radii[1:] / radii[:-1]) < 1e-5


def test_compiled_code_and_numpy_measure_the_same_gains() -> None:
    rng = np.random.default_rng(2)
    gain, weights = rng.random((64, 80)).astype(np.float32), rng.random((64, 3)).astype(np.float32)
    circles = (rng.random((100, 3)) * (8, 8, 30) + (-4, -4, 20)).astype(np.float32)
    directions = np.cos(even_angles(64)), np.sin(even_angles(64))
    fast, plain = (
        circle_gains(gain, weights, *directions, circles, 5.0, 1.0)
        for circle_gains in (_circle_gains_compiled, _circle_gains_plain)
    )
    assert np.allclose(fast, plain, atol=1.5)  # a rounding may fall to either side of a step
    assert np.median(np.abs(fast - plain)) < 1e-3
