"""The coarse map of ridges: where they are, which way they run, and the same in strips as at once."""

import numpy as np
import pytest

import models.finger.ridge_map
from models.finger.ridge_map import CELL_MM, Image, halved, ridge_map
from tests.conftest import impression_of


def _waves(angle: float, side: int = 256) -> Image:
    """Ridges 9 pixels apart whose normal has this angle (radians)."""
    y, x = np.mgrid[:side, :side]
    return np.asarray(128 + 80 * np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / 9), np.float32)


def test_a_cell_is_four_tenths_of_a_millimetre() -> None:
    assert pytest.approx(0.4064) == CELL_MM
    assert ridge_map(np.zeros((81, 95), np.float32)).energy.shape == (10, 11)


@pytest.mark.parametrize("degrees", [0, 30, 90, 150])
def test_the_direction_is_that_of_the_gradients(degrees: float) -> None:
    cosine, sine = ridge_map(_waves(np.radians(degrees))).direction()
    inner = (slice(4, -4),) * 2
    expected = np.exp(2j * np.radians(degrees))
    assert abs(np.median(cosine[inner]) + 1j * np.median(sine[inner]) - expected) < 0.2  # coarse: 6 degrees


def test_ridges_are_found_whatever_their_contrast_and_noise_is_not() -> None:
    image = impression_of(1, 1).astype(np.float32)
    found = ridge_map(image).ridged()
    assert 0.4 < found.mean() < 0.95
    assert np.array_equal(ridge_map(image / np.float32(16)).ridged(), found)
    assert not ridge_map(np.random.default_rng(1).normal(128, 40, (400, 400)).astype(np.float32)).ridged().any()
    assert not ridge_map(np.full((400, 400), 9, np.float32)).ridged().any()


def test_strips_have_no_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    image = impression_of(1, 1)
    whole = ridge_map(image)
    monkeypatch.setattr(models.finger.ridge_map, "_STRIP_CELLS", 5)
    strips = ridge_map(image)
    for one, other in ((whole.energy, strips.energy), (whole.cosine, strips.cosine), (whole.sine, strips.sine)):
        assert np.allclose(one, other, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (7, 900), (900, 7), (8, 8)])
def test_an_image_smaller_than_a_cell_has_no_ridges(shape: tuple[int, int]) -> None:
    assert not ridge_map(np.zeros(shape, np.uint8)).ridged().any()


def test_halving_is_the_mean_of_blocks() -> None:
    assert halved(np.array([[1, 3, 9], [5, 7, 9]], np.uint8)).tolist() == [[4.0]]
