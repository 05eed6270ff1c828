"""The quality of images of eyes: only a live open eye is good, and every other image has a flaw."""

import functools

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from drivers.sample import Position
from models.encoder import Flaw, Quality
from models.iris.quality import check_frame, sample_quality
from models.iris.segmentation.segmentation import segment
from simulators.people.eye_blanks import Blank, blank, printed, two_eyes
from simulators.people.person import EyeCondition, Person

Pixels = npt.NDArray[np.uint8]
GOOD = 50  # quality of a sample that a kiosk would keep
SEEDS = (21, 22, 23, 24)


def quality(image: Pixels) -> Quality:
    return sample_quality(image, segment(image))


@functools.cache
def image_of(seed: int, condition: EyeCondition) -> Pixels:
    return Person(seed).eye(Position.RIGHT_EYE).scene(1, condition=condition).image


@functools.cache
def scores(condition: EyeCondition) -> list[int]:
    return [quality(image_of(seed, condition)).score for seed in SEEDS]


def rejected(answer: Quality) -> bool:
    return answer.score < GOOD and answer.flaw is not None


def test_clear_images_are_good() -> None:
    assert np.median(scores(EyeCondition.NORMAL)) >= GOOD


def test_closed_eyes_are_never_good_and_have_a_flaw() -> None:
    assert all(rejected(quality(image_of(seed, EyeCondition.CLOSED))) for seed in SEEDS)


@pytest.mark.parametrize("kind", Blank)
def test_an_image_without_an_eye_is_never_good_and_has_a_flaw(kind: Blank) -> None:
    for seed in range(2):
        assert rejected(quality(blank(np.random.default_rng(seed), 640, 480, kind).image))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_printed_eye_is_never_good_and_has_a_flaw(seed: int) -> None:
    print_of_it = printed(image_of(seed, EyeCondition.NORMAL))
    assert rejected(quality(print_of_it))
    assert (check_frame(print_of_it).score, check_frame(print_of_it).flaw) == (0, Flaw.NO_EYE)


def test_two_eyes_are_reported_as_several() -> None:
    small = image_of(21, EyeCondition.NORMAL)[::2, ::2]
    answer = quality(np.concatenate([small, small[:, ::-1]], axis=1))
    assert rejected(answer)
    assert answer.flaw is Flaw.SEVERAL


@pytest.mark.parametrize("person", range(700, 720))
def test_both_eyes_of_a_person_are_reported_as_several(person: int) -> None:
    """Also if they differ, and also in a frame check: a frame that counts as empty gives the traveller no message."""
    eyes = Person(person).eye(Position.LEFT_EYE), Person(person).eye(Position.RIGHT_EYE)
    face = two_eyes(*(eye.frame(0, condition=EyeCondition.NORMAL) for eye in eyes))
    assert (check_frame(face).score, check_frame(face).flaw) == (0, Flaw.SEVERAL)
    assert (quality(face).score, quality(face).flaw) == (0, Flaw.SEVERAL)


@pytest.mark.parametrize("shape", [(48, 4000), (4000, 48), (64, 16_384)])
def test_a_strip_is_not_an_image_of_an_eye(shape: tuple[int, int]) -> None:
    strip = np.random.default_rng(1).integers(0, 255, shape, np.uint8)
    assert (quality(strip).score, check_frame(strip).score) == (0, 0)


@pytest.mark.parametrize(
    "condition", [EyeCondition.NORMAL, EyeCondition.BLURRED, EyeCondition.MOVING, EyeCondition.DARK]
)
def test_edges_far_outside_the_detected_eye_are_not_the_limbus(condition: EyeCondition) -> None:
    """The lids of this person form a circle with a clearer edge."""
    scene = Person(500).eye(Position.LEFT_EYE).scene(1, 640, 480, condition)
    found = segment(scene.image)
    assert found is not None
    assert 2 * found.limbus.mean_radius == pytest.approx(scene.facts["iris_diameter_px"], rel=0.05)


def test_an_eye_that_does_not_fit_is_too_close() -> None:
    image = image_of(21, EyeCondition.NORMAL)
    found = segment(image)
    assert found is not None
    x, y, reach = int(found.pupil.x), int(found.pupil.y), int(0.75 * found.limbus.mean_radius)
    near = np.ascontiguousarray(image[y - reach : y + reach, x - reach : x + reach])
    assert check_frame(near).flaw is Flaw.TOO_CLOSE
    assert quality(near).flaw is Flaw.TOO_CLOSE


def test_an_image_that_is_too_small_is_empty_whatever_its_noise() -> None:
    assert quality(np.zeros((20, 20), np.uint8)) == Quality(0, Flaw.EMPTY)
    assert quality(np.zeros((0, 0), np.uint8)).score == 0


def test_an_image_out_of_focus_is_worse_and_has_a_flaw() -> None:
    sharp = image_of(21, EyeCondition.NORMAL)
    soft = ndimage.gaussian_filter(sharp, 14)
    answer = quality(soft)
    assert answer.score < quality(sharp).score
    assert answer.flaw is not None


def test_far_away_is_worse_than_near() -> None:
    tiny = np.full((480, 640), 200, np.uint8)
    tiny[180:300, 240:400] = image_of(21, EyeCondition.NORMAL)[::4, ::4]
    assert quality(tiny).score < quality(image_of(21, EyeCondition.NORMAL)).score


def test_an_eye_at_the_edge_is_worse() -> None:
    image = image_of(21, EyeCondition.NORMAL)
    found = segment(image)
    assert found is not None
    cut = np.ascontiguousarray(image[:, int(found.limbus.x) - 10 :])
    assert quality(cut).score < quality(image).score


def test_measures_have_their_usual_values() -> None:
    measures = quality(image_of(21, EyeCondition.NORMAL)).measures
    assert 0.1 < measures["dilation"] < 0.8
    assert 0 <= measures["usable"] <= 1.05
    assert 0.5 < measures["roundness"] <= 1
    assert measures["diameter"] > 60
    assert 0 < measures["pupil_contrast"] <= 100
    assert 0 <= measures["sclera_contrast"] <= 100


def test_a_frame_check_accepts_open_eyes_only() -> None:
    assert sum(check_frame(image_of(seed, EyeCondition.NORMAL)).score >= GOOD for seed in SEEDS) >= len(SEEDS) - 1
    assert check_frame(np.zeros((480, 640), np.uint8)) == Quality(0, Flaw.EMPTY)
    assert check_frame(blank(np.random.default_rng(1), 640, 480, Blank.NOISE).image).score < GOOD
