"""Synthetic eyes: the same seed gives the same image, different eyes differ, and the ground truth is correct."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d, map_coordinates

from drivers.sample import Position
from simulators.people.eye import EyeScene
from simulators.people.person import EYES, Eye, EyeCondition, Person

EYE = Person(1).eye(Position.LEFT_EYE)
WIDTH, HEIGHT = 320, 240
FRAMES = 6


def scene_of(eye: Eye, n: int, condition: EyeCondition | None = EyeCondition.NORMAL) -> EyeScene:
    return eye.scene(n, WIDTH, HEIGHT, condition)


def ring(scene: EyeScene, values: NDArray[np.generic], depths: NDArray[np.float64]) -> NDArray[np.float64]:
    """`values` as [depth, angle] between the true outlines: depth 0 at the pupil, 1 at the limbus."""
    share = depths[:, None, None]
    points = scene.pupil[None] * (1 - share) + scene.limbus[None] * share
    found = map_coordinates(values.astype(np.float64), [points[..., 1], points[..., 0]], order=1, mode="nearest")
    return np.asarray(found)


def pattern(scene: EyeScene) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The unrolled iris without its low frequencies, and a mask of the parts away from anything that covers it."""
    depths = np.linspace(0.1, 0.8, 24)
    grey = ring(scene, gaussian_filter(scene.image.astype(np.float64), 0.7), depths)
    clear = ring(scene, gaussian_filter(scene.usable.astype(np.float64), 1.0), depths) > 0.97
    return grey - gaussian_filter1d(grey, 8, axis=1, mode="wrap"), clear


def similarity(one: EyeScene, other: EyeScene) -> float:
    """Correlation of the parts of the iris that both show."""
    (first, seen), (second, also) = pattern(one), pattern(other)
    both = seen & also
    assert both.mean() > 0.05, "too little to compare"
    return float(np.corrcoef(first[both], second[both])[0, 1])


def middle(outline: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(outline.mean(axis=0))


def edge_steepness(scene: EyeScene) -> float:
    """The share of the step from pupil to iris within a twentieth of the iris width, where the edge is least sharp."""
    profiles = gaussian_filter1d(ring(scene, scene.image, np.linspace(-0.3, 0.3, 25)), 5, axis=1, mode="wrap")
    steps = (profiles[2:] - profiles[:-2]).max(axis=0) / (profiles.max(axis=0) - profiles.min(axis=0))
    return float(np.percentile(steps, 15))


@pytest.fixture(scope="module")
def scenes() -> dict[tuple[int, Position], list[EyeScene]]:
    """Two normal frames of both eyes of three persons."""
    people = [(seed, position) for seed in range(60, 63) for position in EYES]
    return {each: [scene_of(Person(each[0]).eye(each[1]), n) for n in (0, 1)] for each in people}


@pytest.mark.parametrize(("width", "height"), [(640, 480), (320, 280), (320, 238), (240, 240), (1280, 720)])
def test_frames_have_any_size(width: int, height: int) -> None:
    scene = EYE.scene(0, width, height, EyeCondition.NORMAL)
    assert scene.image.shape == scene.usable.shape == (height, width)
    assert [str(each.dtype) for each in (scene.image, scene.usable)] == ["uint8", "bool"]
    assert [str(each.dtype) for each in (scene.pupil, scene.limbus)] == ["float32", "float32"]
    assert str(width) in repr(scene)
    assert len(repr(scene)) < 40


def test_an_eye_is_similar_to_itself_and_to_no_other(scenes: dict[tuple[int, Position], list[EyeScene]]) -> None:
    mated = [similarity(first, second) for first, second in scenes.values()]
    firsts = [pair[0] for pair in scenes.values()]
    non_mated = [similarity(a, b) for k, a in enumerate(firsts) for b in firsts[:k]]
    assert min(mated) > 0.5
    assert max(non_mated) < 0.25
    assert abs(np.mean(non_mated)) < 0.05


def test_the_iris_stretches_with_its_pupil() -> None:
    wide, narrow = (scene_of(EYE, 2, condition) for condition in (EyeCondition.DILATED, EyeCondition.CONSTRICTED))
    assert wide.facts["pupil_ratio"] > 1.5 * narrow.facts["pupil_ratio"]
    assert similarity(wide, narrow) > 0.3


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(EYES), st.integers(0, 10_000), st.sampled_from(EyeCondition))
def test_the_ground_truth_is_consistent(seed: int, position: Position, n: int, condition: EyeCondition) -> None:
    scene = scene_of(Person(seed).eye(position), n, condition)
    centre, radius = middle(scene.limbus), scene.facts["iris_diameter_px"] / 2
    assert np.hypot(*(scene.pupil - centre).T).max() < radius
    assert np.hypot(*(scene.limbus - centre).T).max() < radius * 1.001
    y, x = np.nonzero(scene.usable)
    assert len(x) == 0 or np.hypot(x - centre[0], y - centre[1]).max() < radius * 1.001
    assert 0 <= scene.facts["usable_share"] <= 1.02


def test_outlines_lie_where_grey_changes(scenes: dict[tuple[int, Position], list[EyeScene]]) -> None:
    for first, _ in scenes.values():
        seen = ring(first, first.usable, np.array([0.3]))[0] > 0.99
        rim_in, rim_out = ring(first, first.image, np.array([-0.06, 0.1]))
        assert np.median(rim_out[seen] - rim_in[seen]) > 8, "the pupil is darker than the iris"
        iris, sclera = ring(first, first.image, np.array([0.85, 1.15]))
        beside = ring(first, first.usable, np.array([0.9]))[0] > 0.99
        assert np.median(sclera[beside] - iris[beside]) > 2, "the sclera is lighter than the iris"


def test_the_usable_part_shows_the_iris_and_no_reflection(scenes: dict[tuple[int, Position], list[EyeScene]]) -> None:
    for first, _ in scenes.values():
        greys = first.image[first.usable].astype(float)
        assert np.mean(greys > np.median(greys) + 70) < 0.01


@pytest.mark.parametrize("condition", [EyeCondition.BLURRED, EyeCondition.MOVING])
def test_a_blurred_frame_is_less_sharp(condition: EyeCondition) -> None:
    eyes = [Person(80 + n).eye(Position.RIGHT_EYE) for n in range(3)]
    bad, good = (sum(edge_steepness(scene_of(eye, 1, how)) for eye in eyes) for how in (condition, EyeCondition.NORMAL))
    assert bad < 0.8 * good


def test_little_light_makes_a_dark_image() -> None:
    eyes = [Person(40 + n).eye(EYES[n % 2]) for n in range(FRAMES)]
    dark, normal = (np.mean([scene_of(e, 0, how).image.mean() for e in eyes]) for how in (EyeCondition.DARK, None))
    assert dark < 0.6 * normal
