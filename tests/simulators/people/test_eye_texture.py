"""The texture of a synthetic iris: its statistics, and sampling it across the full turn."""

import numpy as np
import pytest

from simulators.people.eye_texture import ANGLES, DEPTHS, Texture, grow_iris, sample_texture

HALF_ANGLE = np.pi / ANGLES  # half a column


@pytest.fixture(name="textures", scope="module")
def _textures() -> list[Texture]:
    return [grow_iris(np.random.default_rng(seed)) for seed in range(4)]


def test_a_texture_has_a_fixed_size_mean_and_contrast(textures: list[Texture]) -> None:
    for texture in textures:
        assert texture.shape == (DEPTHS, ANGLES)
        assert texture.dtype == np.float32
        assert texture.mean() == pytest.approx(0, abs=1e-4)
        assert texture.std() == pytest.approx(0.25, abs=1e-4)


def test_the_same_seed_gives_the_same_texture_and_another_seed_another_pattern(textures: list[Texture]) -> None:
    assert np.array_equal(grow_iris(np.random.default_rng(0)), textures[0])
    patterns = [texture - texture.mean(axis=1, keepdims=True) for texture in textures]  # without the collarette
    assert abs(np.corrcoef(patterns[0].ravel(), patterns[1].ravel())[0, 1]) < 0.25


def test_fibres_run_from_the_pupil_outwards(textures: list[Texture]) -> None:
    for texture in textures:
        assert np.abs(np.diff(texture, axis=0)).mean() < np.abs(np.diff(texture, axis=1)).mean()


def test_the_last_column_continues_in_the_first(textures: list[Texture]) -> None:
    for texture in textures:
        seam = np.abs(texture[:, 0] - texture[:, -1]).mean()
        assert seam < 1.5 * np.abs(np.diff(texture, axis=1)).mean()


def test_a_sample_is_the_value_at_its_depth_and_angle(textures: list[Texture]) -> None:
    texture = textures[0]
    depth = np.array([[0, 1, 1 / (DEPTHS - 1)]], np.float32)
    angle = np.array([[0, np.pi, -np.pi / 2]], np.float32)
    wanted = [texture[0, 0], texture[-1, ANGLES // 2], texture[1, 3 * ANGLES // 4]]
    assert sample_texture(texture, depth, angle)[0] == pytest.approx(wanted, abs=1e-3)


def test_a_sample_before_the_full_turn_lies_between_the_last_and_the_first_column(textures: list[Texture]) -> None:
    texture = textures[0]
    found = sample_texture(texture, np.zeros(1, np.float32), np.full(1, -HALF_ANGLE, np.float32))
    assert found[0] == pytest.approx((texture[0, -1] + texture[0, 0]) / 2, abs=1e-3)


def test_a_depth_beyond_the_limbus_is_the_limbus(textures: list[Texture]) -> None:
    depth, angle = np.array([-1, 2], np.float32), np.zeros(2, np.float32)
    assert sample_texture(textures[0], depth, angle).tolist() == [textures[0][0, 0], textures[0][-1, 0]]
