"""The segmentation of images of synthetic people, compared with their true outlines."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.iris.segmentation.geometry import Boundary, Segmentation, even_angles
from models.iris.segmentation.segmentation import find_eyes, segment
from tests.rigs.eye_truth import eye_truths


@functools.cache
def answers() -> list[Segmentation | None]:
    return [segment(scene.image) for scene in eye_truths()]


def away(found: Boundary, true: Boundary) -> float:
    """The mean distance of two curves as a share of the radius."""
    off = found.recentred(true.x, true.y).radius_at(even_angles(256)) - true.radius_at(even_angles(256))
    return float(np.abs(off).mean()) / true.mean_radius


def test_an_eye_is_found_in_every_clear_image() -> None:
    assert all(answer is not None for answer in answers())


def test_the_pupil_is_found_at_its_true_place() -> None:
    off = [away(found.pupil, pupil) for found, (_, pupil, _, _) in zip(answers(), eye_truths(), strict=True) if found]
    assert np.median(off) < 0.025
    assert sum(share < 0.08 for share in off) >= len(off) - 1


def test_the_limbus_is_found_at_its_true_place_also_behind_the_lids() -> None:
    off = [
        away(found.limbus, limbus) for found, (_, _, limbus, _) in zip(answers(), eye_truths(), strict=True) if found
    ]
    assert np.median(off) < 0.025
    assert sum(share < 0.08 for share in off) >= len(off) - 1


def test_the_usable_pixels_are_those_that_nothing_hides() -> None:
    shares = []
    for found, (_, _, _, usable) in zip(answers(), eye_truths(), strict=True):
        assert found is not None
        shares.append((found.usable & usable).sum() / (found.usable | usable).sum())
    assert np.median(shares) > 0.8


def test_usable_pixels_lie_between_the_two_edges() -> None:
    for found in answers():
        assert found is not None
        y, x = np.nonzero(found.usable)
        outside = np.hypot(x - found.limbus.x, y - found.limbus.y) > found.limbus.radii.max() + 1
        inside = np.hypot(x - found.pupil.x, y - found.pupil.y) < found.pupil.radii.min() - 1
        assert not outside.any()
        assert not inside.any()


def test_a_smaller_image_of_an_eye_has_the_same_curves_on_a_smaller_scale() -> None:
    ratios = []
    for (image, *_), found in zip(eye_truths()[:6], answers()[:6], strict=True):
        small = segment(image.reshape(240, 2, 320, 2).mean(axis=(1, 3)).astype(np.uint8))
        assert small is not None
        assert found is not None
        pairs = ((small.pupil, found.pupil), (small.limbus, found.limbus))
        ratios.append([2 * one.mean_radius / other.mean_radius for one, other in pairs])
    assert np.median(ratios, axis=0) == pytest.approx([1, 1], abs=0.03)


def test_segmentation_is_the_same_each_time() -> None:
    image = eye_truths()[0].image
    first, second = segment(image), segment(image)
    assert first is not None
    assert second is not None
    assert np.array_equal(first.usable, second.usable)
    assert np.array_equal(first.limbus.radii, second.limbus.radii)


@pytest.mark.parametrize("shape", [(1, 1), (47, 640), (48, 48), (50, 700), (480, 640)])
def test_no_eye_is_found_in_a_blank_image(shape: tuple[int, int]) -> None:
    assert segment(np.zeros(shape, np.uint8)) is None
    assert segment(np.full(shape, 255, np.uint8)) is None


@given(st.integers(0, 2**32 - 1), st.integers(48, 160), st.integers(48, 160), st.floats(0, 12))
@settings(max_examples=25, deadline=None)
def test_any_image_gets_a_result(seed: int, height: int, width: int, blur: float) -> None:
    image = np.random.default_rng(seed).random((height, width))
    cells = max(1, round(blur))
    coarse = np.kron(image[::cells, ::cells], np.ones((cells, cells)))[:height, :width]
    found = segment((255 * coarse).astype(np.uint8))
    assert found is None or (found.usable.shape == (height, width) and np.isfinite(found.limbus.radii).all())


def test_a_drawn_eye_is_measured_to_a_fraction_of_a_pixel() -> None:
    y, x = np.mgrid[0:240, 0:320]
    away = np.hypot(x - 160.3, y - 119.8)
    drawn = 20 + 70 / (1 + np.exp((25 - away) / 0.6)) + 110 / (1 + np.exp((60 - away) / 1.5))
    found = segment(drawn.astype(np.uint8))
    assert found is not None
    assert (found.pupil.x, found.pupil.y) == pytest.approx((160.3, 119.8), abs=0.3)
    assert found.pupil.mean_radius == pytest.approx(25, abs=0.8)
    assert found.limbus.mean_radius == pytest.approx(60, abs=1.0)


def test_both_of_two_eyes_are_found() -> None:
    image = eye_truths()[1].image
    eyes = find_eyes(np.concatenate([image, image[:, ::-1]], axis=1))
    assert abs(eyes[0].limbus.boundary.x - eyes[1].limbus.boundary.x) > 200
