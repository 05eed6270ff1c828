"""Candidate pupils without a trained model: dark discs surrounded by edges."""

import numpy as np

from models.iris.segmentation.location import block_means, find_discs, without_highlights
from tests.rigs.eye_truth import eye_truths


def test_the_true_pupil_is_among_the_candidates() -> None:
    for image, pupil, _, _ in eye_truths():
        near = [np.hypot(disc.x - pupil.x, disc.y - pupil.y) < 0.6 * pupil.mean_radius for disc in find_discs(image)]
        assert any(near)


def test_an_image_without_edges_has_no_candidates() -> None:
    assert find_discs(np.full((240, 320), 128, np.uint8)) == []


def test_a_drawn_disc_is_the_best_candidate() -> None:
    y, x = np.mgrid[0:240, 0:320]
    drawn = np.where(np.hypot(x - 200, y - 90) < 20, 20, 180).astype(np.uint8)
    best = find_discs(drawn)[0]
    assert np.hypot(best.x - 200, best.y - 90) < 4
    assert 15 < best.radius < 25


def test_an_image_is_reduced_to_means_of_blocks() -> None:
    image = np.arange(24, dtype=np.uint8).reshape(4, 6)
    small, side = block_means(image, 3)
    assert side == 2
    assert small.tolist() == [[3.5, 5.5, 7.5], [15.5, 17.5, 19.5]]
    same, side = block_means(image, 6)
    assert (side, same.tolist()) == (1, image.tolist())


def test_a_small_bright_spot_is_replaced_and_a_large_one_is_not() -> None:
    image = np.full((30, 30), 50, np.float32)
    image[4:6, 4:6] = image[12:28, 12:28] = 250
    cleaned = without_highlights(image, 5)
    assert (cleaned[:10, :10] == 50).all()
    assert cleaned[20, 20] == 250
