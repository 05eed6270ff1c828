"""What surrounds a synthetic eyeball: lids that open and close, skin, lashes, eyebrow and tears."""

import dataclasses

import numpy as np
import pytest

from simulators.people.eye_face import (
    STEPS,
    TEAR_MM,
    hair,
    hair_strands,
    lids,
    opening,
    root_shade,
    skin,
    tear_glints,
)
from simulators.people.eye_fields import Plane
from simulators.people.eye_scene import EyeCondition, Presentation, draw_anatomy, draw_presentation

ANATOMY = dataclasses.replace(draw_anatomy(np.random.default_rng(1), nose=1), brow_hairs=300, lashes=90)
SCALE = 8.0  # pixels a millimetre
FX = (np.arange(320, dtype=np.float32)[None, :] - 160) / SCALE + np.zeros((240, 1), np.float32)
FY = (np.arange(240, dtype=np.float32)[:, None] - 120) / SCALE + np.zeros((1, 320), np.float32)


def presented(wide: float) -> Presentation:
    """A normal presentation whose lids are open that far."""
    drawn = draw_presentation(np.random.default_rng(2), ANATOMY, EyeCondition.NORMAL)
    return dataclasses.replace(drawn, opening=wide, tears=20)


def skin_of(presentation: Presentation) -> Plane:
    _, edge = opening(ANATOMY, presentation, FX, FY, SCALE)
    return skin(np.random.default_rng(3), ANATOMY, presentation, FX, FY, edge)


def test_the_lids_part_when_the_eye_opens_and_meet_when_it_closes() -> None:
    along = np.linspace(-ANATOMY.half_width, ANATOMY.half_width, 50, dtype=np.float32)
    gaps = []
    for wide in (0.0, 0.5, 1.0):
        upper, lower = lids(ANATOMY, presented(wide), along)
        gaps.append(lower - upper)
    assert gaps[0] == pytest.approx(0, abs=1e-5)
    assert (gaps[1] >= 0).all()
    assert gaps[2].mean() > gaps[1].mean() > 1
    assert gaps[2].max() == pytest.approx(ANATOMY.upper + ANATOMY.lower, rel=0.1)


def test_the_eyeball_shows_between_the_lids_alone() -> None:
    share, (below, above) = opening(ANATOMY, presented(1.0), FX, FY, SCALE)
    inside = np.abs(FX) < ANATOMY.half_width
    assert share[(np.minimum(below, above) > 1) & inside].min() > 0.99
    assert share[np.minimum(below, above) < -1].max() < 0.01
    assert not share[~inside].any()
    closed, _ = opening(ANATOMY, presented(0.0), FX, FY, SCALE)
    assert closed.sum() < 0.2 * share.sum()


def test_lash_roots_darken_the_edges_of_the_lids_most_of_all_the_upper_one() -> None:
    anatomy = dataclasses.replace(ANATOMY, roots=1.0)
    _, (below, above) = opening(anatomy, presented(1.0), FX, FY, SCALE)
    shade = root_shade(anatomy, FX, (below, above))
    near = np.abs(FX) < 5
    upper, lower, middle = (shade[near & (np.abs(each) < 0.2)].mean() for each in (below, above, below - above))
    assert upper > lower > 10 * middle
    assert not root_shade(dataclasses.replace(ANATOMY, roots=0.0), FX, (below, above)).any()


def test_the_skin_is_about_as_light_as_the_anatomy_says_and_darker_in_a_shadow() -> None:
    lit, shadowed = (skin_of(dataclasses.replace(presented(1.0), shadow=shadow)) for shadow in (0.0, 0.8))
    assert lit.shape == FX.shape
    assert lit.dtype == np.float32
    assert lit.mean() == pytest.approx(ANATOMY.skin_light, rel=0.3)
    assert (shadowed <= lit + 1e-6).all()
    assert shadowed.mean() < 0.95 * lit.mean()


def test_lashes_start_at_the_lids_and_the_brow_lies_above() -> None:
    presentation = presented(1.0)
    strands = hair_strands(np.random.default_rng(4), ANATOMY, presentation)
    upper_count, lower_count = ANATOMY.lashes, ANATOMY.lashes // 3
    assert strands.shape == (upper_count + lower_count + ANATOMY.brow_hairs, STEPS, 2)
    roots = strands[: upper_count + lower_count, 0]
    upper, lower = lids(ANATOMY, presentation, roots[:, 0].astype(np.float32))
    assert roots[:upper_count, 1] == pytest.approx(upper[:upper_count], abs=1e-4)
    assert roots[upper_count:, 1] == pytest.approx(lower[upper_count:], abs=1e-4)
    brow = strands[upper_count + lower_count :]
    assert brow[:, 0, 1].mean() < -ANATOMY.upper
    assert (brow[:, -1, 0] < brow[:, 0, 0]).all(), "the nose is on the right: the hairs point to the left"


def test_hair_covers_the_pixels_along_its_strands() -> None:
    strands = np.stack([np.linspace(10, 50, STEPS), np.full(STEPS, 20)], axis=1).astype(np.float32)[None]
    cover = hair(np.random.default_rng(5), strands, SCALE, (40, 60))
    assert cover.shape == (40, 60)
    assert cover[19:22, 12:48].max(axis=0).min() > 0.3
    assert cover.max() <= 0.95
    assert not cover[:17].any()
    assert not cover[24:].any()


def test_tears_shine_on_the_lower_lid() -> None:
    presentation = presented(1.0)
    glints = tear_glints(np.random.default_rng(6), ANATOMY, presentation)
    assert len(glints) == presentation.tears
    for x, y, radius in glints:
        _, lower = lids(ANATOMY, presentation, np.array([x], np.float32))
        assert abs(x) <= 0.9 * ANATOMY.half_width
        assert y == pytest.approx(lower[0], abs=1)
        assert 0.3 * TEAR_MM <= radius <= 1.6 * TEAR_MM
