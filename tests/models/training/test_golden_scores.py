"""Golden scores: means of mated and non-mated scores, and the line for the manifest."""

import numpy as np
import pytest

from drivers.sample import Modality
from models.training.golden_scores import GOLDEN_SCORES, GoldenScores


def test_mated_scores_are_those_of_the_same_person() -> None:
    scores = np.array([[0.9, 0.1, 0.2], [0.3, 0.8, 0.0], [0.1, 0.5, 0.7]])
    found = GoldenScores.of(scores)
    assert found.mated == pytest.approx(0.8)
    assert found.non_mated == pytest.approx(0.2)


def test_the_line_has_the_key_of_the_manifest() -> None:
    assert GoldenScores(0.123456, 0.5).line() == "witness = [0.12346, 0.5]"


@pytest.mark.parametrize("modality", GOLDEN_SCORES)
def test_both_modalities_give_mated_comparisons_far_higher_scores(modality: Modality) -> None:
    found = GOLDEN_SCORES[modality]()
    assert found.mated > found.non_mated + 0.1
