"""The score of two irises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.iris.score import GAIN, POWER, compare, counts, score, scores, similarity
from models.iris.template import BITS, COLUMNS, PLANES, SHIFTS, IrisCode, bits_of, empty_code, pack
from models.template import Template, TemplateError
from tests.rigs.iris_codes import columns, noisy, some_code

seeds = st.integers(0, 2**32)


def by_definition(probe: IrisCode, reference: IrisCode) -> float:
    """The definition, bit by bit, without any packing."""
    best = 0.0
    code, mask = columns(reference.code), columns(reference.mask)
    for shift in SHIFTS:
        known = np.roll(columns(probe.mask), shift, axis=0) & mask
        if known.any():
            differing = float((np.roll(columns(probe.code), shift, axis=0) ^ code)[known].mean())
            best = max(best, 0.5 + (0.5 - differing) * (known.sum() / BITS) ** POWER)
    return best or 0.5


@given(seeds, st.sampled_from([0.0, 0.01, 0.3, 1.0]), st.sampled_from([0.1, 0.3, 0.5]))
@settings(max_examples=30, deadline=None)
def test_the_score_is_that_of_the_definition(seed: int, known: float, share: float) -> None:
    one = some_code(seed, 0.7)
    other = noisy(one, seed + 1, share, shift=3, known=known)
    assert score(other, one) == pytest.approx(by_definition(other, one), abs=1e-12)


def test_an_iris_that_is_known_everywhere_has_the_score_1_with_itself() -> None:
    iris = some_code(1, 1.1)
    assert score(iris, iris) == 1.0


@pytest.mark.parametrize("shift", SHIFTS)
def test_a_tilted_head_is_recognised_at_every_shift(shift: int) -> None:
    iris = some_code(3, 1.1)
    assert score(noisy(iris, 0, 0.0, shift), iris) == 1.0


def test_the_score_rises_with_similarity() -> None:
    iris = some_code(5)
    scores = [score(noisy(iris, 1, share), iris) for share in (0.0, 0.1, 0.2, 0.3, 0.4)]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] > score(some_code(6), iris)


def test_a_few_known_bits_cannot_give_a_high_score() -> None:
    iris = some_code(5)
    scores = [score(noisy(iris, 1, 0.1, known=known), iris) for known in (1.0, 0.5, 0.1, 0.01)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] - scores[-1] > 0.15


def test_a_code_without_known_bits_has_the_score_one_half() -> None:
    assert score(empty_code(), some_code(1)) == 0.5
    assert score(some_code(1), empty_code()) == 0.5


def test_templates_are_compared_as_their_codes() -> None:
    one, other = some_code(1), some_code(2)
    assert compare(pack(one), pack(other)) == score(one, other)
    with pytest.raises(TemplateError):
        compare(pack(one), Template("finger-minutiae/1", b""))


def test_the_gain_of_every_number_of_bits_is_finite_and_none_of_no_bits() -> None:
    assert len(GAIN) == BITS + 1
    assert np.isfinite(GAIN).all()
    assert GAIN[0] == 0
    assert similarity(np.zeros(1, np.int64), np.full(1, BITS)) == 0.5


def test_several_references_get_the_scores_of_single_comparisons() -> None:
    probe, others = some_code(1), [noisy(some_code(1), 2, 0.2), some_code(3), empty_code()]
    words = (np.stack([getattr(one, part) for one in others]) for part in ("code", "mask"))
    assert scores(*probe.shifted(), *words).tolist() == [score(probe, one) for one in others]


@given(seeds)
@settings(max_examples=10, deadline=None)
def test_counts_are_those_of_the_bits(seed: int) -> None:
    one, other = some_code(seed), some_code(seed + 1)
    differing, compared = counts(one.code, one.mask, other.code, other.mask)
    known = bits_of(one.mask) & bits_of(other.mask)
    assert compared == known.sum()
    assert differing == (bits_of(one.code) ^ bits_of(other.code))[known].sum()


def test_codes_have_one_column_for_each_angle() -> None:
    assert COLUMNS * PLANES == BITS
