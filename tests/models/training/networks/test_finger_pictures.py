"""The training data of leader-student: the output of the teacher for synthetic fingerprints."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from models.training.networks import finger_pictures
from models.training.networks.finger_pictures import (
    FIRST_PERSON,
    NO_FINGER_SHARE,
    PLANES,
    SIDE,
    TrainingSet,
    augmented,
    batches,
    example,
    load,
    load_or_make,
    photographed,
    teacher_planes,
)
from simulators.people.person import Person

HIGHEST_OF_TESTS = 10_000  # the persons of tests and benches have lower seeds
SURE = 128  # of 255: from here on the teacher is certain of a minutia


@pytest.fixture(scope="module")
def training_set() -> TrainingSet:
    """Some images of two fingers."""
    return TrainingSet(*(np.stack(each) for each in zip(*(example(number) for number in (0, 1, 7, 8)), strict=True)))


def test_an_image_follows_from_its_number(training_set: TrainingSet) -> None:
    image, planes = example(1)
    assert np.array_equal(image, training_set.images[1])
    assert np.array_equal(planes, training_set.planes[1])
    assert image.shape == (SIDE, SIDE)
    assert planes.shape == (PLANES, SIDE, SIDE)


def test_every_image_has_minutiae_of_which_the_teacher_is_certain(training_set: TrainingSet) -> None:
    assert ((training_set.planes[:, 0] > SURE).mean((1, 2)) > 0.005).all()


def test_the_planes_are_the_output_of_the_teacher_for_exactly_this_image(training_set: TrainingSet) -> None:
    for image, planes in zip(training_set.images, training_set.planes, strict=True):
        assert np.array_equal(teacher_planes(image), planes)


def test_the_teacher_gives_mirrored_planes_for_a_mirrored_image(training_set: TrainingSet) -> None:
    """The direction of a mirrored minutia is half a circle minus the direction."""
    image, planes = training_set.images[0], training_set.planes[0]
    mirrored = planes[:, :, ::-1].copy()
    mirrored[1] = 128 - mirrored[1]
    planes_of = teacher_planes(np.ascontiguousarray(image[:, ::-1]))
    sure = (planes_of[0] > SURE) & (mirrored[0] > SURE)
    assert sure.sum() > 0.8 * (mirrored[0] > SURE).sum()
    apart = (planes_of[1][sure].astype(int) - mirrored[1][sure] + 128) % 256 - 128
    assert np.median(np.abs(apart)) <= 6  # of 256 of a rotation
    assert (np.abs(apart) < 16).mean() > 0.9


def test_augmentation_keeps_the_planes_or_mirrors_them(training_set: TrainingSet) -> None:
    image, planes = training_set.images[0], training_set.planes[0]
    seen = {augmented(image, planes, np.random.default_rng(seed))[1].tobytes() for seed in range(12)}
    assert seen >= {planes.tobytes()}
    assert len(seen) == 2


def test_augmented_images_are_grey_and_all_different(training_set: TrainingSet) -> None:
    augmented_images = [
        augmented(training_set.images[0], training_set.planes[0], np.random.default_rng(seed))[0] for seed in range(30)
    ]
    for look in augmented_images:
        assert look.shape == (SIDE, SIDE)
        assert look.dtype == np.float32
        assert 0 <= look.min() <= look.max() <= 255
        assert look.std() > 4, "something is left to see"
    assert len({look.tobytes() for look in augmented_images}) == len(augmented_images)


def test_a_sensor_of_sixteen_grey_levels_is_among_those_simulated() -> None:
    ridges = np.tile(np.linspace(0, 255, SIDE, dtype=np.float32), (SIDE, 1))
    greys = [len(np.unique(photographed(ridges, np.random.default_rng(seed)))) for seed in range(40)]
    assert min(greys) <= 16 < max(greys)


def test_batches_follow_from_the_seed_and_never_repeat_an_image(training_set: TrainingSet) -> None:
    one, other = (batches(training_set, 2, np.random.default_rng(1)) for _ in range(2))
    first, second, third = next(one), next(one), next(one)
    assert np.array_equal(first[0], next(other)[0])
    assert first[0].shape == (2, 1, SIDE, SIDE)
    assert first[1].shape == (2, PLANES, SIDE, SIDE)
    assert not np.array_equal(first[0], second[0])
    assert not np.array_equal(first[0], third[0])


def test_files_of_earlier_runs_are_read_in_order(training_set: TrainingSet, tmp_path: Path) -> None:
    for number in (0, 1):
        part = slice(2 * number, 2 * number + 2)
        np.savez(tmp_path / f"{number}.npz", images=training_set.images[part], planes=training_set.planes[part])
    again = load([tmp_path / "0.npz", tmp_path / "1.npz"])
    assert np.array_equal(again.images, training_set.images)
    assert np.array_equal(again.planes, training_set.planes)


def test_no_person_of_the_tests_is_in_the_training_data(monkeypatch: pytest.MonkeyPatch) -> None:
    options: list[int] = []

    def person(seed: int) -> Person:
        options.append(seed)
        return Person(seed)

    monkeypatch.setattr(finger_pictures, "Person", person)
    example(7)
    assert options == [FIRST_PERSON + 1]
    assert FIRST_PERSON > 100 * HIGHEST_OF_TESTS


def test_some_images_show_no_finger_and_have_no_minutiae() -> None:
    number = next(n for n in itertools.count() if np.random.default_rng([12, n]).random() < NO_FINGER_SHARE)
    image, planes = example(number)
    assert image.std() > 0
    assert not planes.any()


def test_a_file_that_contains_no_images_is_named(tmp_path: Path) -> None:
    (tmp_path / "0000.npz").write_bytes(b"no training_set")
    with pytest.raises(SystemExit, match=r"0000\.npz: is not a file of images .* remove it"):
        load([tmp_path / "0000.npz"])


def test_files_are_made_once_and_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finger_pictures, "SHARD", 2)
    made = finger_pictures.make(tmp_path, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["0000.npz"]
    first = load([made])
    assert np.array_equal(first.images[1], example(1)[0])
    written = made.stat().st_mtime_ns
    again = load_or_make(tmp_path, 2, 1)
    assert made.stat().st_mtime_ns == written
    assert np.array_equal(again.planes, first.planes)
