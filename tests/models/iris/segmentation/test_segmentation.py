"""Where the iris is found in pictures of synthetic people, against their true outlines."""

import functools

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.sample import Position
from models.iris.segmentation.boundary import _circle_gains_compiled, _circle_gains_plain
from models.iris.segmentation.geometry import Boundary, Segmentation, even_angles
from models.iris.segmentation.location import find_discs
from models.iris.segmentation.polar import _bilinear_compiled, _bilinear_plain, best_path, closed_path, slope, smooth
from models.iris.segmentation.segmentation import find_eyes, segment
from simulators.people.person import EyeCondition, Person

EASY = (EyeCondition.NORMAL, EyeCondition.DILATED, EyeCondition.CONSTRICTED, EyeCondition.MOVING)


@functools.cache
def scenes() -> list[tuple[npt.NDArray[np.uint8], Boundary, Boundary, npt.NDArray[np.bool_]]]:
    looks = [Person(seed).eye(Position.LEFT_EYE).scene(1, condition=which) for seed in (11, 12, 13) for which in EASY]
    return [(it.image, Boundary.from_points(it.pupil), Boundary.from_points(it.limbus), it.usable) for it in looks]


@functools.cache
def answers() -> list[Segmentation | None]:
    return [segment(image) for image, *_ in scenes()]


def away(found: Boundary, true: Boundary) -> float:
    """The mean distance of two curves as a share of the radius."""
    off = found.recentred(true.x, true.y).radius_at(even_angles(256)) - true.radius_at(even_angles(256))
    return float(np.abs(off).mean()) / true.mean_radius


def test_an_eye_is_found_in_every_clear_look() -> None:
    assert all(answer is not None for answer in answers())


def test_the_pupil_is_where_it_truly_is() -> None:
    off = [away(found.pupil, pupil) for found, (_, pupil, _, _) in zip(answers(), scenes(), strict=True) if found]
    assert np.median(off) < 0.025
    assert sum(share < 0.08 for share in off) >= len(off) - 1


def test_the_limbus_is_where_it_truly_is_also_behind_the_lids() -> None:
    off = [away(found.limbus, limbus) for found, (_, _, limbus, _) in zip(answers(), scenes(), strict=True) if found]
    assert np.median(off) < 0.025
    assert sum(share < 0.08 for share in off) >= len(off) - 1


def test_what_is_usable_is_what_nothing_hides() -> None:
    shares = []
    for found, (_, _, _, usable) in zip(answers(), scenes(), strict=True):
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


def test_a_smaller_picture_of_the_same_eye_gives_the_same_curves_smaller() -> None:
    ratios = []
    for (image, *_), found in zip(scenes()[:6], answers()[:6], strict=True):
        small = segment(image.reshape(240, 2, 320, 2).mean(axis=(1, 3)).astype(np.uint8))
        assert small is not None
        assert found is not None
        pairs = ((small.pupil, found.pupil), (small.limbus, found.limbus))
        ratios.append([2 * one.mean_radius / other.mean_radius for one, other in pairs])
    assert np.median(ratios, axis=0) == pytest.approx([1, 1], abs=0.03)


def test_segmentation_is_the_same_each_time() -> None:
    image = scenes()[0][0]
    first, second = segment(image), segment(image)
    assert first is not None
    assert second is not None
    assert np.array_equal(first.usable, second.usable)
    assert np.array_equal(first.limbus.radii, second.limbus.radii)


def test_the_true_pupil_is_among_the_discs_that_edges_point_at() -> None:
    for image, pupil, _, _ in scenes():
        near = [np.hypot(disc.x - pupil.x, disc.y - pupil.y) < 0.6 * pupil.mean_radius for disc in find_discs(image)]
        assert any(near)


@pytest.mark.parametrize("shape", [(1, 1), (47, 640), (48, 48), (50, 700), (480, 640)])
def test_no_eye_is_found_in_nothing(shape: tuple[int, int]) -> None:
    assert segment(np.zeros(shape, np.uint8)) is None
    assert segment(np.full(shape, 255, np.uint8)) is None


@given(st.integers(0, 2**32 - 1), st.integers(48, 160), st.integers(48, 160), st.floats(0, 12))
@settings(max_examples=25, deadline=None)
def test_any_picture_is_answered(seed: int, height: int, width: int, blur: float) -> None:
    picture = np.random.default_rng(seed).random((height, width))
    cells = max(1, round(blur))
    coarse = np.kron(picture[::cells, ::cells], np.ones((cells, cells)))[:height, :width]
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


def test_two_eyes_are_both_seen() -> None:
    image = scenes()[1][0]
    eyes = find_eyes(np.concatenate([image, image[:, ::-1]], axis=1))
    assert abs(eyes[0].limbus.boundary.x - eyes[1].limbus.boundary.x) > 200


def test_a_boundary_of_points_goes_through_them() -> None:
    ellipse = np.stack([100 + 50 * np.cos(even_angles(90)), 80 + 40 * np.sin(even_angles(90))], axis=1)
    curve = Boundary.from_points(ellipse)
    x, y = curve.at(even_angles(300)).T
    assert np.allclose(((x - 100) / 50) ** 2 + ((y - 80) / 40) ** 2, 1, atol=0.01)


def test_a_boundary_needs_three_points() -> None:
    with pytest.raises(ValueError, match="at least 3 points"):
        Boundary.from_points([[1, 2], [3, 4]])


def test_a_curve_around_another_point_is_the_same_curve() -> None:
    circle = Boundary.circle(10, 20, 30)
    x, y = circle.recentred(15, 18).at(even_angles(100)).T
    assert np.allclose(np.hypot(x - 10, y - 20), 30, atol=0.1)


def test_the_best_path_follows_the_ridge() -> None:
    true = np.rint(10 + 5 * np.sin(even_angles(64))).astype(int)
    gain = np.zeros((64, 20), np.float32)
    gain[np.arange(64), true] = 1
    assert np.array_equal(closed_path(gain, 0.1), true)


def test_a_path_never_jumps() -> None:
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


def test_machine_code_and_plain_numpy_agree() -> None:
    rng = np.random.default_rng(2)
    image = rng.random((40, 50)).astype(np.float32)
    x, y = (rng.random(200) * 48).astype(np.float32), (rng.random(200) * 38).astype(np.float32)
    assert np.allclose(_bilinear_compiled(image, x, y), _bilinear_plain(image, x, y), atol=1e-5)
    gain, weights = rng.random((64, 80)).astype(np.float32), rng.random((64, 3)).astype(np.float32)
    circles = (rng.random((100, 3)) * (8, 8, 30) + (-4, -4, 20)).astype(np.float32)
    turn = np.cos(even_angles(64)), np.sin(even_angles(64))
    fast, plain = (
        circle_gains(gain, weights, *turn, circles, 5.0, 1.0)
        for circle_gains in (_circle_gains_compiled, _circle_gains_plain)
    )
    assert np.allclose(fast, plain, atol=1.5)  # a rounding may fall to either side of a step
    assert np.median(np.abs(fast - plain)) < 1e-3
