"""The friction skin of a finger: ridges of the period of the flow, pores on their crests, and creases."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from simulators.people.fingerprint import SKIN_PPI, FingerAnatomy, Skin, grow_skin
from simulators.people.ridge_flow import Field, Pattern

ANATOMY = FingerAnatomy((6.0, 8.0), 0.46, 8)
PIXELS_PER_MM = SKIN_PPI / 25.4


def skin_of(seed: int, anatomy: FingerAnatomy = ANATOMY) -> Skin:
    return grow_skin(np.random.default_rng(seed), Pattern.WHORL, anatomy)


@pytest.fixture(name="skin", scope="module")
def _skin() -> Skin:
    return skin_of(1)


def period_mm(ridges: Field) -> float:
    """Millimetres from ridge to ridge: the centre of the strongest octaves of the spectrum."""
    power = np.abs(np.fft.fft2(ridges - gaussian_filter(ridges, 8))) ** 2
    radius = np.hypot(np.fft.fftfreq(ridges.shape[0])[:, None], np.fft.fftfreq(ridges.shape[1])[None, :])
    band = (radius > 1 / 20) & (radius < 1 / 4)
    return float(power[band].sum() / (power[band] * radius[band]).sum() / PIXELS_PER_MM)


def test_a_skin_is_larger_than_its_contact_and_has_layers_of_one_size(skin: Skin) -> None:
    height, width = skin.ridges.shape
    assert width / PIXELS_PER_MM > 2 * ANATOMY.half_axes[0]
    assert height / PIXELS_PER_MM > 2 * ANATOMY.half_axes[1]
    assert skin.pores.shape == skin.creases.shape == skin.ridges.shape
    assert (skin.pattern, skin.half_axes) == (Pattern.WHORL, ANATOMY.half_axes)


def test_as_much_is_ridge_as_valley_and_ridges_have_the_period_of_the_finger(skin: Skin) -> None:
    assert abs(float(skin.ridges.mean())) < 0.1
    assert np.percentile(skin.ridges, 5) < -0.7
    assert np.percentile(skin.ridges, 95) > 0.7
    assert 0.85 * ANATOMY.period < period_mm(skin.ridges) < 1.25 * ANATOMY.period
    wide = skin_of(1, FingerAnatomy(ANATOMY.half_axes, 0.55, 8))
    assert period_mm(wide.ridges) > 1.05 * period_mm(skin.ridges)


def test_pores_lie_on_the_crests_of_ridges(skin: Skin) -> None:
    open_pores = skin.pores > 0.3
    assert 0 < open_pores.mean() < 0.1
    assert skin.pores.max() <= 1
    assert (skin.ridges[open_pores] > 0).mean() > 0.9


def test_a_finger_has_the_creases_of_its_anatomy(skin: Skin) -> None:
    assert 0 < (skin.creases > 0.5).mean() < 0.1
    assert 0 <= skin.creases.min() < skin.creases.max() <= 1
    assert not skin_of(1, FingerAnatomy(ANATOMY.half_axes, ANATOMY.period, 0)).creases.any()


def test_the_same_seed_gives_the_same_skin_and_another_seed_another(skin: Skin) -> None:
    again, other = skin_of(1), skin_of(2)
    assert np.array_equal(again.ridges, skin.ridges)
    assert np.array_equal(again.pores, skin.pores)
    shape = np.minimum(other.ridges.shape, skin.ridges.shape)
    middles = [each[: shape[0], : shape[1]].ravel() for each in (other.ridges, skin.ridges)]
    assert abs(np.corrcoef(middles[0], middles[1])[0, 1]) < 0.3
