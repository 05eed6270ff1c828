"""The eyes that the network detects: their circles in pixels of the image, whatever its size."""

import numpy as np
import pytest

from models.iris.segmentation.network import (
    HEIGHT,
    INSIDE_LIMBUS,
    INSIDE_PUPIL,
    MIN_CERTAINTY,
    WIDTH,
    DetectedEye,
    Letterbox,
    ProbabilityMaps,
    _blobs,
    _eye_of,
    detect_eyes,
    number_of_rivals,
    predict_maps,
)
from tests.rigs.eye_truth import eye_truths


def test_an_eye_is_detected_at_its_true_place() -> None:
    for truth in eye_truths()[::4]:
        eye = detect_eyes(truth.image)[0]
        assert eye.certainty > MIN_CERTAINTY
        assert np.hypot(eye.x - truth.pupil.x, eye.y - truth.pupil.y) < 0.3 * truth.pupil.mean_radius
        assert eye.limbus == pytest.approx(truth.limbus.mean_radius, rel=0.2)
        assert 0 < eye.usable <= 1
        assert 0.5 < eye.roundness <= 1


def test_two_eyes_are_detected() -> None:
    image = eye_truths()[0].image
    eyes = detect_eyes(np.concatenate([image, image[:, ::-1]], axis=1))
    assert len([eye for eye in eyes if eye.certainty > MIN_CERTAINTY]) == 2


def test_a_blank_image_shows_no_eye() -> None:
    assert detect_eyes(np.zeros((480, 640), np.uint8)) == ()


@pytest.mark.parametrize("shape", [(480, 640), (640, 480), (100, 90)])
def test_an_image_lies_in_the_middle_of_the_network_input(shape: tuple[int, int]) -> None:
    maps, letterbox = predict_maps(np.full(shape, 90, np.uint8))
    assert maps.shape == (3, HEIGHT, WIDTH)
    x, y = letterbox.to_image((WIDTH - 1) / 2, (HEIGHT - 1) / 2)
    assert (x, y) == pytest.approx(((shape[1] - 1) / 2, (shape[0] - 1) / 2), abs=0.5 / letterbox.scale)


def test_maps_are_read_at_points_of_the_image_and_of_a_part_of_it() -> None:
    maps = np.zeros((3, HEIGHT, WIDTH), np.float32)
    maps[INSIDE_LIMBUS, :, : WIDTH // 2] = 1
    whole = ProbabilityMaps(maps, Letterbox(0.25, 0.0, 4.0))
    x, y = np.array([100.0, 400.0]), np.array([200.0, 200.0])
    assert whole.at(INSIDE_LIMBUS, x, y).tolist() == [1, 0]
    assert whole.of_part(90, 50).at(INSIDE_LIMBUS, x - 90, y - 50).tolist() == [1, 0]


def test_a_limbus_without_a_pupil_inside_is_not_an_eye() -> None:
    maps = np.zeros((3, HEIGHT, WIDTH), np.float32)
    maps[INSIDE_LIMBUS, 40:80, 60:100] = 1
    maps[INSIDE_PUPIL, 5:15, 5:15] = 1
    (limbus,) = _blobs(maps[INSIDE_LIMBUS], 0.1)
    probabilities = ProbabilityMaps(maps, Letterbox(1.0, 0.0, 0.0))
    assert _eye_of(limbus, _blobs(maps[INSIDE_PUPIL], 0.0), probabilities) is None


def test_patches_that_are_far_smaller_than_the_largest_are_left_out() -> None:
    probabilities = np.zeros((HEIGHT, WIDTH), np.float32)
    probabilities[10:50, 10:50] = probabilities[100:104, 100:104] = 0.9
    assert len(_blobs(probabilities, 0.1)) == 1
    assert len(_blobs(probabilities, 0.0)) == 2


def test_an_eyebrow_that_is_taken_for_a_small_eye_is_no_rival() -> None:
    def eye(limbus: float, certainty: float) -> DetectedEye:
        maps = ProbabilityMaps(np.zeros((3, HEIGHT, WIDTH), np.float32), Letterbox(1.0, 0.0, 0.0))
        return DetectedEye(0, 0, 9, 0, 0, limbus, certainty, 1, 1, maps)

    assert number_of_rivals([]) == 0
    assert number_of_rivals([eye(50, 0.9)]) == 0
    assert number_of_rivals([eye(50, 0.9), eye(24, 0.6)]) == 0
    assert number_of_rivals([eye(50, 0.9), eye(30, 0.6), eye(70, 0.6), eye(50, 0.4)]) == 2
    assert number_of_rivals([eye(50, 0.9), eye(24, 0.75)]) == 1
