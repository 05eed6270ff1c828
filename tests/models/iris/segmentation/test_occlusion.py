"""What hides the iris: lids, lashes and highlights of a drawn eye, whose places are known."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from models.iris.segmentation.geometry import Boundary
from models.iris.segmentation.network import HEIGHT, USABLE, WIDTH, Letterbox, ProbabilityMaps
from models.iris.segmentation.occlusion import (
    Appearance,
    appearance_of,
    depth,
    find_lids,
    standard_deviations,
    usable_pixels,
)

PUPIL, LIMBUS = Boundary.circle(160, 120, 25), Boundary.circle(160, 120, 60)
UPPER, LOWER = 90, 165  # rows at which the lids end

Image = npt.NDArray[np.float32]


class Drawn(NamedTuple):
    """A drawn eye: the logarithm of its grey, its highlights, and the appearance of its iris."""

    logs: Image
    glare: Image
    appearance: Appearance


@pytest.fixture(name="drawn")
def _drawn() -> Drawn:
    y, x = np.mgrid[0:240, 0:320]
    away = np.hypot(x - 160, y - 120)
    noise = np.random.default_rng(1).normal(0, 4, away.shape)
    grey = np.select([away < 25, away < 60], [20, 90 + noise], 200)
    grey[(y < UPPER) | (y > LOWER)] = 220
    grey[UPPER:100, 180:183] = 15  # a lash
    glare = np.zeros(away.shape, np.float32)
    glare[125:131, 195:201] = 1
    logs = np.log(grey).astype(np.float32)
    return Drawn(logs, glare, appearance_of(logs, glare, PUPIL, LIMBUS))


def test_depth_is_0_at_the_pupil_and_1_at_the_limbus() -> None:
    x, y = np.array([160.0, 185.0, 220.0, 160.0]), np.array([120.0, 120.0, 120.0, 60.0])
    depths = depth(x, y, PUPIL, LIMBUS)
    assert depths[0] < 0
    assert depths[1:] == pytest.approx([0, 1, 1], abs=0.01)


def test_the_appearance_is_that_of_the_iris_and_the_pupil(drawn: Drawn) -> None:
    assert np.exp(drawn.appearance.rings) == pytest.approx(np.full(8, 90), rel=0.15)
    assert np.exp(drawn.appearance.pupil) == pytest.approx(20, rel=0.01)


def test_an_iris_that_is_all_glare_has_no_appearance(drawn: Drawn) -> None:
    unknown = appearance_of(drawn.logs, np.ones_like(drawn.glare), PUPIL, LIMBUS)
    assert (unknown.spread, unknown.pupil) == (1.0, 0.0)
    assert not unknown.rings.any()


def test_skin_is_far_brighter_than_the_iris_and_the_iris_is_not(drawn: Drawn) -> None:
    logs = np.log(np.array([90.0, 220.0, 15.0], np.float32))
    iris, skin, lash = standard_deviations(logs, np.full(3, 0.5, np.float32), drawn.appearance)
    assert abs(iris) < 1
    assert skin > 4
    assert lash < -4


def test_lids_are_found_where_they_end(drawn: Drawn) -> None:
    lids = find_lids(drawn.logs, PUPIL, LIMBUS, drawn.appearance)
    middle = np.abs(lids.x - 160) < 30
    assert lids.upper[middle] == pytest.approx(np.full(middle.sum(), UPPER), abs=4)
    assert lids.lower[middle] == pytest.approx(np.full(middle.sum(), LOWER), abs=4)
    assert lids.open_at(np.array([160.0]), np.array([120.0]), 5).all()
    assert not lids.open_at(np.array([160.0, 160.0]), np.array([80.0, 175.0])).any()


def test_lids_lashes_and_highlights_are_not_usable(drawn: Drawn) -> None:
    lids = find_lids(drawn.logs, PUPIL, LIMBUS, drawn.appearance)
    usable = usable_pixels(drawn.logs, drawn.glare, PUPIL, LIMBUS, lids, drawn.appearance)
    assert not usable[:UPPER].any()
    assert not usable[LOWER + 1 :].any()
    assert not usable[drawn.glare > 0].any()
    assert not usable[UPPER:100, 181].any()
    assert usable[115:125, 125:130].all()
    assert not usable[120, 160]


def test_an_eye_outside_the_image_has_no_usable_pixels(drawn: Drawn) -> None:
    pupil, limbus = Boundary.circle(-200, -200, 25), Boundary.circle(-200, -200, 60)
    lids = find_lids(drawn.logs, PUPIL, LIMBUS, drawn.appearance)
    assert not usable_pixels(drawn.logs, drawn.glare, pupil, limbus, lids, drawn.appearance).any()


def test_the_network_moves_a_lid_that_looks_like_iris(drawn: Drawn) -> None:
    """The maps say that nothing above row 110 is usable, although it has the grey of the iris."""
    maps = np.zeros((3, HEIGHT, WIDTH), np.float32)
    maps[USABLE, 55:] = 1
    probabilities = ProbabilityMaps(maps, Letterbox(0.5, 0.0, 0.0))
    alone = find_lids(drawn.logs, PUPIL, LIMBUS, drawn.appearance)
    both = find_lids(drawn.logs, PUPIL, LIMBUS, drawn.appearance, probabilities)
    middle = np.abs(alone.x - 160) < 30
    assert both.upper[middle].mean() > alone.upper[middle].mean() + 10
