"""Fingerprint images: resolution, skin and crop."""

import numpy as np

from models.finger.frame import MAX_FRAME, MAX_SIDE
from models.finger.image import at_500_ppi, foreground, prepare
from tests.conftest import impression_of


def test_the_foreground_is_the_finger() -> None:
    framed = np.full((400, 400), 200, np.uint8)
    framed[56:344, 72:328] = impression_of(7, 1)
    skin = foreground(framed.astype(np.float32))
    inside = skin[56:344, 72:328]
    assert inside.sum() >= 0.85 * skin.sum()
    assert 0.5 < inside.mean() < 0.98
    assert inside[144, 128]


def test_an_image_is_resampled_to_500_ppi_or_left_as_it_is() -> None:
    image = impression_of(1, 1)
    assert at_500_ppi(image, 1000.0).shape == (144, 128)
    assert at_500_ppi(image, 250.0).shape == (576, 512)
    assert np.array_equal(at_500_ppi(image, 500.0), image)
    assert np.array_equal(at_500_ppi(image, 1e12), image)  # an impossible resolution


def test_of_a_large_image_only_the_middle_is_used() -> None:
    image = np.zeros((10, 2 * MAX_FRAME), np.uint8)
    image[:, MAX_FRAME // 2] = 255
    found = at_500_ppi(image, 500.0)
    assert found.shape == (10, MAX_FRAME)
    assert found[:, 0].all()


def test_an_image_is_cropped_to_its_skin() -> None:
    framed = np.full((400, 420), 200, np.uint8)
    framed[56:344, 72:328] = impression_of(7, 1)
    prepared = prepare(framed, 500.0)
    assert (prepared.width, prepared.height) == (420, 400)
    assert prepared.image.shape == prepared.skin.shape
    rows = slice(prepared.top, prepared.top + prepared.image.shape[0])
    columns = slice(prepared.left, prepared.left + prepared.image.shape[1])
    assert np.array_equal(framed[rows, columns], prepared.image)
    assert prepared.skin[0].any()
    assert prepared.skin[-1].any()


def test_skin_larger_than_a_rolled_thumb_is_cut_around_its_middle() -> None:
    assert max(prepare(np.tile(impression_of(1, 1), (4, 4)), 500.0).image.shape) == MAX_SIDE


def test_an_image_without_skin_is_cropped_to_nothing() -> None:
    for image in (np.full((288, 256), 255, np.uint8), np.zeros((2, 2), np.uint8)):
        prepared = prepare(image, 500.0)
        assert prepared.image.size == 0
        assert (prepared.height, prepared.width) == image.shape


def test_an_image_of_very_high_resolution_is_the_same_at_500_ppi() -> None:
    image = impression_of(1, 1)
    fine = image.repeat(8, 0).repeat(8, 1)
    found = at_500_ppi(fine, 4000.0)
    assert found.shape == image.shape
    assert np.corrcoef(found.ravel(), image.ravel())[0, 1] > 0.95
