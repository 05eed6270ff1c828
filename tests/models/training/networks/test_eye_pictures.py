"""The training data of the iris segmenter: its maps are true, and augmentation keeps them true."""

from pathlib import Path

import numpy as np
import pytest

from models.training.networks.eye_pictures import (
    FIRST_PERSON,
    HEIGHT,
    KEPT_SCALE,
    MAPS,
    WIDTH,
    TrainingSet,
    augmented,
    batches,
    inside,
    letterboxed,
    load_or_make,
    scene,
)

PUPIL, LIMBUS, USABLE = range(MAPS)
HIGHEST_OF_TESTS = 10_000  # the persons of tests have lower seeds


@pytest.fixture(scope="module")
def training_set() -> TrainingSet:
    """Some scenes: eyes and blanks."""
    rendered = [scene(number) for number in range(0, 120, 6)]
    return TrainingSet(np.stack([image for image, _ in rendered]), np.stack([maps for _, maps in rendered]))


@pytest.fixture(scope="module")
def eyes(training_set: TrainingSet) -> list[int]:
    """The numbers of those that are wide open, so that the pupil is visible."""
    pupil, limbus, usable = (training_set.maps > 127).sum(axis=(2, 3)).T
    return [int(n) for n in np.flatnonzero(usable > 0.5 * np.maximum(limbus - pupil, 1))]


def test_a_scene_follows_from_its_number(training_set: TrainingSet) -> None:
    image, maps = scene(6)
    assert np.array_equal(image, training_set.images[1])
    assert np.array_equal(maps, training_set.maps[1])
    assert image.shape == (HEIGHT * KEPT_SCALE, WIDTH * KEPT_SCALE)
    assert maps.shape == (MAPS, HEIGHT * KEPT_SCALE, WIDTH * KEPT_SCALE)


def test_maps_lie_within_each_other(training_set: TrainingSet) -> None:
    pupil, limbus, usable = np.moveaxis(training_set.maps > 127, 1, 0)
    assert not (pupil & ~limbus).any()
    assert (usable & ~limbus).sum() < 0.02 * usable.sum(), "but for pixels on the outline"
    assert (usable & pupil).sum() < 0.02 * usable.sum()


def test_the_area_inside_a_circle_is_that_of_the_circle() -> None:
    angle = np.linspace(0, 2 * np.pi, 256, endpoint=False)
    circle = np.stack([60.3 + 30 * np.cos(angle), 50.7 + 30 * np.sin(angle)], axis=1).astype(np.float32)
    shares = inside(circle, 100, 120) / 255
    assert shares.sum() == pytest.approx(np.pi * 30**2, rel=0.02)
    y, x = np.mgrid[0:100, 0:120]
    middle = [(shares * x).sum() / shares.sum(), (shares * y).sum() / shares.sum()]
    assert middle == pytest.approx([60.3, 50.7], abs=0.2)


@pytest.mark.parametrize("shape", [(480, 640), (280, 320), (100, 400), (20, 30)])
def test_an_image_keeps_its_proportions_in_the_letterbox(shape: tuple[int, int]) -> None:
    framed = letterboxed(np.full(shape, 200, np.uint8), HEIGHT, WIDTH, 10)
    rows, columns = np.flatnonzero((framed == 200).any(axis=1)), np.flatnonzero((framed == 200).any(axis=0))
    assert len(columns) / len(rows) == pytest.approx(shape[1] / shape[0], rel=0.03)
    assert len(rows) == HEIGHT or len(columns) == WIDTH


def test_augmentation_moves_image_and_maps_together(training_set: TrainingSet, eyes: list[int]) -> None:
    rng = np.random.default_rng(5)
    darker = []
    for number in eyes * 3:
        image, maps = augmented(training_set.images[number], training_set.maps[number], rng)
        assert image.shape == maps.shape[1:] == (HEIGHT, WIDTH)
        assert 0 <= image.min() <= image.max() <= 1
        pupil, iris = maps[PUPIL] > 0.9, maps[USABLE] > 0.9
        if pupil.sum() > 20 and iris.sum() > 20:
            darker.append(np.median(image[pupil]) < np.median(image[iris]))
    assert len(darker) > len(eyes)
    assert np.mean(darker) > 0.9


def test_batches_follow_from_the_seed_and_never_repeat_an_image(training_set: TrainingSet) -> None:
    one, other = (batches(training_set, 4, np.random.default_rng(1)) for _ in range(2))
    first, second = next(one), next(one)
    assert np.array_equal(first[0], next(other)[0])
    assert first[0].shape == (4, 1, HEIGHT, WIDTH)
    assert first[1].shape == (4, MAPS, HEIGHT, WIDTH)
    assert not np.array_equal(first[0], second[0])


def test_no_person_of_the_tests_is_in_the_training_data() -> None:
    assert FIRST_PERSON >= 100 * HIGHEST_OF_TESTS


def test_scenes_are_made_once_and_kept_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "scenes.npz"
    made = load_or_make(path, 2, 1)
    assert len(made) == 2
    assert np.array_equal(made.images[1], scene(1)[0])
    again = load_or_make(path, 99, 1)
    assert np.array_equal(again.images, made.images)
    assert np.array_equal(again.maps, made.maps)
