"""What the iris segmenter learns from is true, and what it has learned holds for eyes it has never seen."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from drivers.sample import Position
from models.manifest import load_card
from models.session import Session
from models.training.networks.check_labels import overlaps, report
from models.training.networks.eye_pictures import (
    FIRST_PERSON,
    HEIGHT,
    KEPT,
    MAPS,
    WIDTH,
    Pictures,
    augmented,
    batches,
    inside,
    letterboxed,
    scene,
)
from simulators.people.eye_blanks import Blank
from simulators.people.person import EYES, EyeCondition, Person, blank

PUPIL, LIMBUS, USABLE = range(MAPS)
PUPIL_BAR, LIMBUS_BAR, USABLE_BAR = 0.93, 0.91, 0.86  # mean overlap with the truth
UNSEEN = 500  # persons from here on; training begins at FIRST_PERSON


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Intersection over union; two empty maps agree."""
    return float(((one & other).sum() + 1) / ((one | other).sum() + 1))


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    """Some scenes: eyes and blanks."""
    rendered = [scene(number) for number in range(0, 120, 6)]
    return Pictures(np.stack([image for image, _ in rendered]), np.stack([maps for _, maps in rendered]))


@pytest.fixture(scope="module")
def eyes(pictures: Pictures) -> list[int]:
    """Which of them are wide open, so that the pupil shows."""
    pupil, limbus, usable = (pictures.maps > 127).sum(axis=(2, 3)).T
    return [int(n) for n in np.flatnonzero(usable > 0.5 * np.maximum(limbus - pupil, 1))]


def test_a_scene_follows_from_its_number(pictures: Pictures) -> None:
    image, maps = scene(6)
    assert np.array_equal(image, pictures.images[1])
    assert np.array_equal(maps, pictures.maps[1])
    assert image.shape == (HEIGHT * KEPT, WIDTH * KEPT)
    assert maps.shape == (MAPS, HEIGHT * KEPT, WIDTH * KEPT)


def test_maps_lie_within_each_other(pictures: Pictures) -> None:
    pupil, limbus, usable = np.moveaxis(pictures.maps > 127, 1, 0)
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
def test_a_picture_keeps_its_proportions_in_the_letterbox(shape: tuple[int, int]) -> None:
    framed = letterboxed(np.full(shape, 200, np.uint8), HEIGHT, WIDTH, 10)
    rows, columns = np.flatnonzero((framed == 200).any(axis=1)), np.flatnonzero((framed == 200).any(axis=0))
    assert len(columns) / len(rows) == pytest.approx(shape[1] / shape[0], rel=0.03)
    assert len(rows) == HEIGHT or len(columns) == WIDTH


def test_augmentation_moves_picture_and_maps_together(pictures: Pictures, eyes: list[int]) -> None:
    rng = np.random.default_rng(5)
    darker = []
    for number in eyes * 3:
        image, maps = augmented(pictures.images[number], pictures.maps[number], rng)
        assert image.shape == maps.shape[1:] == (HEIGHT, WIDTH)
        assert 0 <= image.min() <= image.max() <= 1
        pupil, iris = maps[PUPIL] > 0.9, maps[USABLE] > 0.9
        if pupil.sum() > 20 and iris.sum() > 20:
            darker.append(np.median(image[pupil]) < np.median(image[iris]))
    assert len(darker) > len(eyes)
    assert np.mean(darker) > 0.9


def test_batches_follow_from_the_seed_and_never_repeat_a_look(pictures: Pictures) -> None:
    one, other = (batches(pictures, 4, np.random.default_rng(1)) for _ in range(2))
    first, second = next(one), next(one)
    assert np.array_equal(first[0], next(other)[0])
    assert first[0].shape == (4, 1, HEIGHT, WIDTH)
    assert first[1].shape == (4, MAPS, HEIGHT, WIDTH)
    assert not np.array_equal(first[0], second[0])


def test_nobody_of_the_tests_is_learned_from() -> None:
    assert FIRST_PERSON > 100 * UNSEEN


def test_the_network_can_be_trained() -> None:
    pytest.importorskip("torch", reason="torch is only in the environment of the training")
    from models.training.networks.iris_segmenter import train  # noqa: PLC0415 - imports torch

    pictures = Pictures(*(np.stack(each) for each in zip(*(scene(n) for n in range(4)), strict=True)))
    one, other = (train(pictures, 2, 1, 1).state_dict() for _ in range(2))
    assert all(bool((one[name] == other[name]).all()) for name in one)


class Network:
    """The shipped one, as an engineer would try it."""

    def __init__(self) -> None:
        blank_input = {"image": np.zeros((1, 1, HEIGHT, WIDTH), np.float32)}
        self.session = Session(load_card("iris-segmenter"), 1, blank_input)

    def maps(self, image: NDArray[np.uint8]) -> NDArray[np.bool_]:
        small = letterboxed(image, HEIGHT, WIDTH, int(np.median(image)))
        return np.asarray(self.session.run(small[None, None].astype(np.float32))[0] > 0.5)


@pytest.fixture(scope="module")
def network() -> Network:
    return Network()


def test_eyes_that_were_not_learned_from_are_found(network: Network) -> None:
    scored = []
    for n in range(16):
        shown = Person(UNSEEN + n).eye(EYES[n % 2]).scene(n, 320, 240, EyeCondition.NORMAL)
        true = (inside(shown.pupil, 240, 320), inside(shown.limbus, 240, 320), np.uint8(255) * shown.usable)
        known = [letterboxed(np.asarray(each, np.uint8), HEIGHT, WIDTH, 0) > 127 for each in true]
        scored.append([overlap(a, b) for a, b in zip(network.maps(shown.image), known, strict=True)])
    pupil, limbus, usable = np.mean(scored, axis=0)
    assert pupil > PUPIL_BAR
    assert limbus > LIMBUS_BAR
    assert usable > USABLE_BAR


@pytest.mark.parametrize("kind", Blank)
def test_where_there_is_no_eye_none_is_found(network: Network, kind: Blank) -> None:
    for seed in range(3):
        image = blank(np.random.default_rng(seed), 320, 240, kind).image
        assert network.maps(image)[LIMBUS].mean() < 0.02


def test_a_closed_eye_has_no_iris(network: Network) -> None:
    shares = []
    for n in range(8):
        image = Person(UNSEEN + n).eye(Position.LEFT_EYE).frame(n, 320, 240, EyeCondition.CLOSED)
        shares.append(float(network.maps(image)[USABLE].mean()))
    assert np.median(shares) < 0.005


def test_the_check_on_labels_reads_labels(network: Network, tmp_path: Path) -> None:
    shown = Person(UNSEEN).eye(Position.LEFT_EYE).scene(0, 320, 240, EyeCondition.NORMAL)
    folder, labels = tmp_path / "eyes", tmp_path / "eyes-labels"
    folder.mkdir()
    labels.mkdir()
    outlines = [" ".join(f"{x} {y} 0" for x, y in outline) for outline in (shown.pupil, shown.limbus)]
    (labels / "one.txt").write_text("\n".join([str(len(shown.pupil)), str(len(shown.limbus)), *outlines]) + "\n")
    Image.fromarray(shown.usable).save(labels / "one_mask.png")
    Image.fromarray(shown.image).save(folder / "one.png")
    maps = [inside(shown.pupil, 240, 320), inside(shown.limbus, 240, 320), np.uint8(255) * shown.usable]
    truth = overlaps(network.session, shown.image, [np.asarray(each, np.uint8) for each in maps])
    line = report(network.session, folder, 1)
    assert line.startswith("eyes, 1: ")
    for name, share in zip(("pupil", "limbus", "usable"), truth, strict=True):
        assert f"{name} {share:.3f}" in line
