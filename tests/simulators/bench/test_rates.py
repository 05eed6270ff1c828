"""The comparisons of an accuracy test, and the error rates from their scores."""

from pathlib import Path

import numpy as np
import pytest

from simulators.bench.compare_finger import ImageFile, Pair
from simulators.bench.rates import equal_error_rate, pairs_of, rates_of


def test_every_two_impressions_are_genuine_and_first_ones_of_others_are_impostors(set_of_two: Path) -> None:
    pairs = pairs_of(set_of_two, "few", 500.0)
    assert sum(pair.label == "genuine" for pair in pairs) == 2
    assert sum(pair.label == "impostor" for pair in pairs) == 4
    assert {pair.reference.path for pair in pairs} == {"few/1_1.png", "few/2_1.png"}


def test_an_image_that_cannot_be_used_is_a_false_non_match(set_of_two: Path) -> None:
    pairs = pairs_of(set_of_two, "few", 500.0)
    scores = [None if pair.label == "genuine" else 0.1 for pair in pairs]
    rates = rates_of(pairs, scores)
    assert (rates.fnmr, rates.fnir0) == (100.0, 100.0)


def test_a_mate_below_the_highest_stranger_is_not_identified() -> None:
    def pair(probe: str, reference: str, label: str) -> Pair:
        return Pair(ImageFile(probe, 500.0), ImageFile(reference, 500.0), label)

    pairs = [pair("a2", "a1", "genuine"), pair("b2", "b1", "genuine")]
    pairs += [pair("a2", "b1", "impostor"), pair("b2", "a1", "impostor")]
    assert rates_of(pairs, [0.9, 0.4, 0.1, 0.3]).fnir0 == 0
    assert rates_of(pairs, [0.9, 0.4, 0.5, 0.3]).fnir0 == 50


def test_errors_are_equal_where_the_curves_meet() -> None:
    others, mates = np.arange(100.0), np.arange(90.0, 190.0)
    assert equal_error_rate(mates, others) == pytest.approx(0.05, abs=0.006)
    assert equal_error_rate(mates + 100, others) == 0


def test_a_set_of_one_finger_or_of_one_impression_each_gives_no_rates(set_of_two: Path) -> None:
    for name, files in (("one", ("1_1.png", "1_2.png")), ("once", ("1_1.png", "2_1.png")), ("none", ())):
        (set_of_two / name).mkdir()
        for file in files:
            (set_of_two / name / file).write_bytes((set_of_two / "few" / file).read_bytes())
        with pytest.raises(ValueError, match=rf"{name} has .* two fingers and two impressions"):
            pairs_of(set_of_two, name, 500.0)
