"""The quality of fingerprints: the score grows with the minutiae, and area and texture decide the flaw."""

import dataclasses

import numpy as np
import pytest

from models.encoder import Flaw
from models.finger.image import Prepared, prepare
from models.finger.minutiae import no_minutiae
from models.finger.quality import ImageMeasures, measure, quality_of
from simulators.people.person import Condition
from tests.conftest import impression_of
from tests.rigs.minutiae import random_minutiae

GOOD = ImageMeasures(area=0.3, skew=-0.25, dark=0.5, coherence=0.85, off_centre=0.0)


def test_a_good_impression_is_worth_reading_and_a_blank_one_is_not() -> None:
    good, blank = (
        measure(prepare(image, 500.0)) for image in (impression_of(1, 1), np.full((288, 256), 255, np.uint8))
    )
    assert good.worth_reading
    assert good.coherence > 0.6
    assert not blank.worth_reading
    assert blank == ImageMeasures(0.0, 0.0, 0.0, 0.0, 0.0)


def test_the_score_grows_with_the_minutiae() -> None:
    scores = [quality_of(GOOD, random_minutiae(1, count)).score for count in (0, 10, 20, 40, 60)]
    assert scores[0] == 0
    assert scores == sorted(set(scores))
    assert scores[-1] <= 100


@pytest.mark.parametrize(
    ("measures", "flaw"),
    [
        (GOOD, None),
        (dataclasses.replace(GOOD, area=0.005), Flaw.EMPTY),
        (dataclasses.replace(GOOD, area=0.1), Flaw.TOO_SMALL),
        (dataclasses.replace(GOOD, skew=-0.7, coherence=0.6), Flaw.TOO_DRY),
        (dataclasses.replace(GOOD, skew=0.15, dark=0.6), Flaw.TOO_WET),
        (dataclasses.replace(GOOD, off_centre=0.5, area=0.1), Flaw.PARTIAL),  # the first that applies
    ],
)
def test_area_and_texture_decide_the_flaw(measures: ImageMeasures, flaw: Flaw | None) -> None:
    assert quality_of(measures, random_minutiae(1, 40)).flaw is flaw


def test_few_minutiae_are_the_flaw_of_an_image_that_has_no_other() -> None:
    quality = quality_of(GOOD, no_minutiae(256, 288))
    assert quality.flaw is Flaw.TOO_FEW_FEATURES
    assert quality.measures["minutiae"] == 0.0


def test_only_a_finger_that_touches_an_edge_is_off_centre() -> None:
    image = np.zeros((100, 100), np.float32)
    at_the_edge = Prepared(image, np.ones((100, 100), bool), 0, 0, 300, 100)
    inside = dataclasses.replace(at_the_edge, left=20)
    assert measure(at_the_edge).off_centre == pytest.approx(1 - 2 * 49.5 / 299)
    assert measure(inside).off_centre == 0.0


def test_skin_narrower_than_its_edge_is_measured_as_a_whole() -> None:
    prepared = prepare(impression_of(1, 1, condition=Condition.NORMAL), 500.0)
    narrow = np.zeros_like(prepared.skin)
    narrow[:, 100:112] = True
    found = measure(dataclasses.replace(prepared, skin=narrow))
    assert found.area == pytest.approx(narrow.sum() / 500**2)
    assert found.coherence > 0
