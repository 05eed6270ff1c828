"""What the student of LEADER learns from: the teacher's own words about prints of nobody."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from models.training.networks import finger_pictures
from models.training.networks.finger_pictures import (
    FIRST_PERSON,
    NO_FINGERS,
    PLANES,
    SIDE,
    Pictures,
    augmented,
    batches,
    load,
    photographed,
    picture,
    taught,
)
from simulators.people.person import Person

HIGHEST_OF_TESTS = 10_000  # seeds of people that tests and benches draw one by one are below
SURE = 128  # of 255: the teacher is sure of a minutia


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    """Some pictures, of two fingers."""
    return Pictures(*(np.stack(each) for each in zip(*(picture(number) for number in (0, 1, 7, 8)), strict=True)))


def test_a_picture_follows_from_its_number(pictures: Pictures) -> None:
    image, planes = picture(1)
    assert np.array_equal(image, pictures.images[1])
    assert np.array_equal(planes, pictures.planes[1])
    assert image.shape == (SIDE, SIDE)
    assert planes.shape == (PLANES, SIDE, SIDE)


def test_every_picture_has_minutiae_that_the_teacher_is_sure_of(pictures: Pictures) -> None:
    assert ((pictures.planes[:, 0] > SURE).mean((1, 2)) > 0.005).all()


def test_what_is_learned_is_what_the_teacher_says_of_this_very_picture(pictures: Pictures) -> None:
    for image, planes in zip(pictures.images, pictures.planes, strict=True):
        assert np.array_equal(taught(image), planes)


def test_the_teacher_says_the_same_of_a_mirrored_picture_in_the_mirror(pictures: Pictures) -> None:
    """So the angle is turned the right way: half a turn less itself, where there is a minutia."""
    image, planes = pictures.images[0], pictures.planes[0]
    mirrored = planes[:, :, ::-1].copy()
    mirrored[1] = 128 - mirrored[1]
    said = taught(np.ascontiguousarray(image[:, ::-1]))
    sure = (said[0] > SURE) & (mirrored[0] > SURE)
    assert sure.sum() > 0.8 * (mirrored[0] > SURE).sum()
    apart = (said[1][sure].astype(int) - mirrored[1][sure] + 128) % 256 - 128
    assert np.median(np.abs(apart)) <= 6  # of 256 of a turn
    assert (np.abs(apart) < 16).mean() > 0.9


def test_a_look_keeps_what_the_teacher_said_but_for_the_mirror(pictures: Pictures) -> None:
    image, planes = pictures.images[0], pictures.planes[0]
    seen = {augmented(image, planes, np.random.default_rng(seed))[1].tobytes() for seed in range(12)}
    assert seen >= {planes.tobytes()}
    assert len(seen) == 2


def test_a_look_is_a_grey_picture_and_no_two_are_alike(pictures: Pictures) -> None:
    looks = [augmented(pictures.images[0], pictures.planes[0], np.random.default_rng(seed))[0] for seed in range(30)]
    for look in looks:
        assert look.shape == (SIDE, SIDE)
        assert look.dtype == np.float32
        assert 0 <= look.min() <= look.max() <= 255
        assert look.std() > 4, "something is left to see"
    assert len({look.tobytes() for look in looks}) == len(looks)


def test_a_sensor_of_sixteen_greys_is_among_those_imitated() -> None:
    ridges = np.tile(np.linspace(0, 255, SIDE, dtype=np.float32), (SIDE, 1))
    greys = [len(np.unique(photographed(ridges, np.random.default_rng(seed)))) for seed in range(40)]
    assert min(greys) <= 16 < max(greys)


def test_batches_follow_from_the_seed_and_never_repeat_a_look(pictures: Pictures) -> None:
    one, other = (batches(pictures, 2, np.random.default_rng(1)) for _ in range(2))
    first, second, third = next(one), next(one), next(one)
    assert np.array_equal(first[0], next(other)[0])
    assert first[0].shape == (2, 1, SIDE, SIDE)
    assert first[1].shape == (2, PLANES, SIDE, SIDE)
    assert not np.array_equal(first[0], second[0])
    assert not np.array_equal(first[0], third[0])


def test_files_of_earlier_runs_are_read_in_order(pictures: Pictures, tmp_path: Path) -> None:
    for number in (0, 1):
        part = slice(2 * number, 2 * number + 2)
        np.savez(tmp_path / f"{number}.npz", images=pictures.images[part], planes=pictures.planes[part])
    again = load([tmp_path / "0.npz", tmp_path / "1.npz"])
    assert np.array_equal(again.images, pictures.images)
    assert np.array_equal(again.planes, pictures.planes)


def test_nobody_of_the_tests_is_learned_from(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def person(seed: int) -> Person:
        asked.append(seed)
        return Person(seed)

    monkeypatch.setattr(finger_pictures, "Person", person)
    picture(7)
    assert asked == [FIRST_PERSON + 1]
    assert FIRST_PERSON > 100 * HIGHEST_OF_TESTS


def test_some_pictures_are_no_finger_and_nothing_is_to_be_found_in_them() -> None:
    number = next(n for n in itertools.count() if np.random.default_rng([12, n]).random() < NO_FINGERS)
    image, planes = picture(number)
    assert image.std() > 0
    assert not planes.any()


def test_a_file_that_is_no_pictures_is_named(tmp_path: Path) -> None:
    (tmp_path / "0000.npz").write_bytes(b"no pictures")
    with pytest.raises(SystemExit, match=r"0000\.npz: is no file of pictures .* remove it"):
        load([tmp_path / "0000.npz"])


def test_the_network_can_be_trained_and_goes_on_where_it_stood(pictures: Pictures, tmp_path: Path) -> None:
    """Four steps at once are two and two: what is written down is all that it takes."""
    torch = pytest.importorskip("torch", reason="torch is only in the environment of the training")
    from models.training.networks.leader_student import Lesson  # noqa: PLC0415 - imports torch

    source = batches(pictures, 2, np.random.default_rng(1))
    looks = [next(source) for _ in range(4)]
    whole, first, second = Lesson(1), Lesson(1), Lesson(2)

    def learn(lesson: Lesson, first_look: int, last_look: int) -> None:
        for image, planes in looks[first_look:last_look]:
            lesson.step(torch.from_numpy(image), torch.from_numpy(planes), 4)

    learn(whole, 0, 4)
    learn(first, 0, 2)
    first.keep(tmp_path / "kept.pt")
    second.go_on(tmp_path / "kept.pt")
    learn(second, 2, 4)
    assert second.done == whole.done == 4
    one, other = whole.mean.state_dict(), second.mean.state_dict()
    assert all(bool((one[name] == other[name]).all()) for name in one)
    torch.save({"network": {}}, tmp_path / "kept.pt")
    with pytest.raises(SystemExit, match=r"kept\.pt: is not what --kept has written"):
        second.go_on(tmp_path / "kept.pt")
