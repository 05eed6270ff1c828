"""The comparison score: high for one finger, low for two, symmetric, independent of shift and rotation."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.sample import Position
from models.calibration import load_calibration
from models.finger.compare.local_similarity import local_similarity
from models.finger.compare.score import compare, score
from models.finger.cylinder_kernel import cylinders_of
from models.finger.cylinders import Rows
from models.finger.minutiae import Minutiae
from models.finger.template import FORMAT, pack
from models.template import Template, TemplateError
from simulators.bench.search_finger import template_of as template_of_rows
from simulators.people.finger_minutiae import another_impression
from tests.conftest import template_of
from tests.rigs.fingers import finger_rows, half_of
from tests.rigs.minutiae import moved, random_minutiae

SEEDS = range(1, 9)
ROWS = finger_rows(11, 60)
MATED, NON_MATED = 1e-5, 1e-3  # rates: below the first two fingers count as one, above the second they do not


def _score(one: Minutiae, other: Minutiae) -> float:
    return compare(pack(one), pack(other))


def _rate(score: float) -> float:
    """The share of different fingers that reach this score."""
    return load_calibration(FORMAT).false_match_rate(score)


def test_mated_comparisons_score_far_above_the_others() -> None:
    mated = [compare(template_of(seed, 1), template_of(seed, 2)) for seed in SEEDS]
    others = [compare(template_of(a, 1), template_of(b, 2)) for a in SEEDS for b in SEEDS if a != b]
    *most, nearest = sorted(others)
    assert _rate(min(mated)) < MATED
    assert _rate(max(most)) > NON_MATED
    assert _rate(nearest) > MATED  # of 56 one may reach a rate of 1e-3: persons 6 and 7 are made similar
    assert min(mated) > nearest


def test_fingers_of_one_person_are_different_fingers() -> None:
    assert _rate(compare(template_of(1, 1), template_of(1, 1, Position.LEFT_INDEX))) > NON_MATED
    assert _rate(compare(template_of(1, 1), template_of(1, 2))) < MATED


@given(st.integers(0, 999), st.integers(0, 999), st.integers(0, 60), st.integers(0, 60))
@settings(max_examples=60, deadline=None)
def test_a_comparison_is_symmetric_and_between_0_and_1(a: int, b: int, first: int, second: int) -> None:
    one, other = random_minutiae(a, first), random_minutiae(b, second)
    score = _score(one, other)
    assert score == _score(other, one)
    assert 0 <= score <= 1


def test_a_template_is_most_similar_to_itself() -> None:
    finger = random_minutiae(1)
    itself = _score(finger, finger)
    again = _score(finger, moved(finger, 0, (0, 0), noise=2))
    assert itself > again > _score(finger, random_minutiae(2))
    assert _rate(again) < MATED


@pytest.mark.parametrize("degrees", [0, 15, -30, 55])
def test_shift_and_rotation_cost_little(degrees: float) -> None:
    finger = random_minutiae(3)
    assert _score(finger, moved(finger, degrees, (40, -60))) > 0.95 * _score(finger, finger)


def test_an_impossible_rotation_gives_no_similarity() -> None:
    finger = random_minutiae(3)
    assert _rate(_score(finger, moved(finger, 180, (0, 0)))) > NON_MATED


def test_similarity_falls_with_noise() -> None:
    finger = random_minutiae(4)
    scores = [_score(finger, moved(finger, 10, (5, 5), noise)) for noise in (0, 2, 4, 8)]
    assert scores == sorted(scores, reverse=True)


def test_a_mirrored_finger_is_another_finger() -> None:
    finger = random_minutiae(5)
    mirrored = dataclasses.replace(
        finger,
        x=(finger.width - 1 - finger.x).astype(np.uint16),
        direction=((32_768 - finger.direction.astype(int)) % 65_536).astype(np.uint16),
    )
    assert _rate(_score(finger, mirrored)) > NON_MATED


def test_half_of_a_finger_is_still_similar_to_the_whole() -> None:
    finger = random_minutiae(6, count=60)
    half = finger.take(finger.y < finger.height // 2)
    assert _rate(_score(finger, half)) < MATED


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_too_few_minutiae_score_0_even_with_themselves(count: int) -> None:
    few = random_minutiae(7, count)
    assert _score(few, few) == 0
    assert _score(few, random_minutiae(7)) == 0


def test_a_few_minutiae_never_score_like_many() -> None:
    scores = [_score(random_minutiae(seed, 6), random_minutiae(seed + 1000, 50)) for seed in range(60)]
    assert _rate(max(scores)) > 1e-4


def test_hostile_templates_are_compared_and_score_low() -> None:
    """Everything on one spot, on one line, in one direction, or as many as fit."""
    finger = random_minutiae(8)
    spot = dataclasses.replace(finger, x=finger.x * 0, y=finger.y * 0, direction=finger.direction * 0)
    line = dataclasses.replace(finger, y=finger.y * 0)
    grid = random_minutiae(9, 255)
    for hostile in (spot, line, grid):
        for honest in (finger, random_minutiae(10)):
            if hostile is not line or honest is not finger:
                assert _rate(_score(hostile, honest)) > NON_MATED


def test_another_format_cannot_be_compared() -> None:
    with pytest.raises(TemplateError, match="iris-code/1"):
        compare(pack(random_minutiae(1)), Template("iris-code/1", b""))


def test_two_halves_of_a_finger_are_told_from_halves_of_different_fingers() -> None:
    def rate(one: Rows, other: Rows) -> float:
        halves = half_of(one, upper=True, shared=160), half_of(other, upper=False, shared=160)
        return _rate(compare(*map(template_of_rows, halves)))

    mated = [rate(rows, rows) for rows in ROWS if len(rows) > 40]
    non_mated = [rate(one, other) for one, other in zip(ROWS[:30], ROWS[30:], strict=True)]
    assert np.median(mated) < 1e-4
    assert min(non_mated) > 1e-4


@given(st.integers(0, 59), st.integers(0, 59), st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_a_score_is_symmetric_whatever_is_compared(a: int, b: int, seed: int) -> None:
    one, other = cylinders_of(another_impression(np.random.default_rng(seed), ROWS[a])), cylinders_of(ROWS[b])
    assert score(one, other) == score(other, one)
    assert local_similarity(one, other) == local_similarity(other, one)


def test_the_score_without_numba_is_that_of_compiled_code(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [tuple(map(cylinders_of, rows)) for rows in itertools.pairwise(ROWS[:6])]
    expected = [score(one, other) for one, other in pairs]
    monkeypatch.setattr("models.finger.compare.score.NUMBA", None)
    assert [score(one, other) for one, other in pairs] == pytest.approx(expected, abs=1e-9)
