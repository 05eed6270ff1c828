"""The validation of calibration and quality, on scores with a known distribution."""

import dataclasses

import numpy as np
import pytest

from models.calibration import Calibration
from models.finger.cylinders import cylinders
from models.finger.template import unpack
from models.training.fit_finger import Impression, comparisons, fit
from models.training.validation import (
    Comparisons,
    Scores,
    calibration_lines,
    false_non_match_rate,
    observe,
    quality_lines,
)
from tests.conftest import template_of

FINGERS, EACH = 60, 6


def _world(spread: float = 0.0, *, predictive: bool = True) -> Comparisons:
    """Impostor scores fall off exponentially; genuine ones are higher the better the worse of the two impressions.

    With `spread` the fingers differ in their similarity to other fingers. A `predictive` quality is the one that the
    genuine scores come from.
    """
    rng = np.random.default_rng(5)
    finger = np.repeat(np.arange(FINGERS), EACH)
    first, second = np.triu_indices(len(finger), 1)
    usefulness = rng.uniform(0, 1, len(finger))
    similarity = np.exp(spread * rng.normal(size=FINGERS))[finger]
    impostor = rng.exponential(0.1, len(first)) * similarity[first] * similarity[second]
    genuine = np.minimum(usefulness[first], usefulness[second]) * 4
    scores = np.where(finger[first] == finger[second], genuine, impostor)
    quality = usefulness if predictive else rng.uniform(0, 1, len(finger))
    return Comparisons(finger, 100 * quality, first, second, scores)


def test_a_calibration_holds_on_other_fingers_of_the_same_distribution() -> None:
    world = _world()
    for one in observe(world, world.finger % 2 == 0, fit)[:3]:
        assert one.predicted / 2 < one.rate < one.predicted * 2
        assert one.interval[0] < one.rate < one.interval[1]


def test_only_comparisons_within_the_other_half_are_observed() -> None:
    world = _world()
    half = EACH * FINGERS // 2
    expected = half * (half - EACH) // 2
    assert {one.comparisons for one in observe(world, world.finger < FINGERS // 2, fit)} == {expected}


def test_the_fit_uses_only_the_impostor_scores_of_its_half() -> None:
    world, seen = _world(), list[int]()

    def counting(scores: Scores, weights: Scores | None) -> Calibration:
        seen.append(len(scores))
        return fit(scores, weights)

    observe(world, world.finger < 10, counting)
    assert seen == [10 * EACH * 9 * EACH // 2]


def test_a_rate_that_does_not_hold_on_the_other_fingers_is_reported_as_observed() -> None:
    world = _world()
    factors = np.where(world.finger[world.second] >= FINGERS // 2, 3.0, 1.0)
    other = Comparisons(world.finger, world.quality, world.first, world.second, world.scores * factors)
    one = observe(other, other.finger < FINGERS // 2, fit)[2]
    assert one.rate > 10 * one.predicted


def test_a_set_of_many_fingers_does_not_decide_alone() -> None:
    """Of two sets the larger has 98 % of the comparisons; in the smaller, impostor scores are three times as high."""
    rng = np.random.default_rng(1)
    many, few = rng.exponential(1.0, 98_000), 3 * rng.exponential(1.0, 2_000)
    scores, weights = np.concatenate([many, few]), np.repeat([1 / 98_000, 1 / 2_000], [98_000, 2_000])
    at = fit(scores, weights).false_match_rate
    for score in (2.0, 5.0, 9.0):
        both = (np.exp(-score) + np.exp(-score / 3)) / 2
        assert 0.75 * both < at(score) < 1.33 * both
        assert fit(scores).false_match_rate(score) < 0.6 * both


def test_equal_weights_change_nothing() -> None:
    scores = np.random.default_rng(2).exponential(1.0, 5_000)
    even, plain = fit(scores, np.full(5_000, 0.3)), fit(scores)
    assert even.scores == pytest.approx(plain.scores)
    assert even.tail_scale == pytest.approx(plain.tail_scale)
    assert plain.scores[3] == pytest.approx(np.quantile(scores, 0.9))


def test_each_set_is_reported_with_the_calibration_of_the_others() -> None:
    world = _world()
    of_set = (world.finger[world.first] >= FINGERS // 10).astype(np.intp)
    other = dataclasses.replace(world, scores=world.scores * np.where(of_set, 1.0, 3.0), set=of_set)
    lines = [line for line in calibration_lines(other, fit) if "predicted 0.01:" in line and "without set" in line]
    rates = [float(line.split("others ")[1].split()[0]) for line in lines]
    assert rates[0] > 0.05
    assert rates[1] < 0.001
    (one, *_) = observe(other, other.finger % 2 == 0, fit)
    assert one.rate > 1.1 * one.count / one.comparisons  # the smaller set counts as much


def test_leaving_out_low_quality_helps_only_if_the_quality_is_predictive() -> None:
    for predictive in (True, False):
        world = _world(predictive=predictive)
        worst = np.argsort(np.argsort(world.quality)) < len(world.quality) // 10
        threshold = float(np.quantile(world.impostors, 0.999))
        before = false_non_match_rate(world, worst | True, threshold)
        after = false_non_match_rate(world, ~worst, threshold)
        assert (after < 0.9 * before) == predictive


def test_the_lines_report_both_halves_the_spread_and_both_ways_of_leaving_out() -> None:
    lines = [*calibration_lines(_world(0.2), fit), *quality_lines(_world())]
    assert sum("fitted on even" in line for line in lines) == 4
    assert sum("fitted on odd" in line for line in lines) == 4
    assert sum("95 % interval" in line for line in lines) == 8
    assert sum("8 of 10" in line for line in lines) == 4
    assert sum("of lowest quality" in line for line in lines) == 2


def test_impressions_are_compared_only_within_their_set() -> None:
    one, two = (cylinders(unpack(template_of(1, n))) for n in (0, 1))
    impressions = [
        Impression("a", "a/1", 80, one),
        Impression("a", "a/1", 70, two),
        Impression("a", "a/2", 60, two),
        Impression("b", "b/1", 50, one),
    ]
    found = comparisons(impressions)
    assert list(zip(found.first.tolist(), found.second.tolist(), strict=True)) == [(0, 1), (0, 2), (1, 2)]
    assert found.genuine.tolist() == [True, False, False]
    assert found.scores[2] > 0.5  # the same touch
    assert found.quality.tolist() == [80, 70, 60, 50]
