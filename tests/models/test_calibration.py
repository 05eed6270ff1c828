"""The calibration: scores to false match rates, several rates to one, and a manifest that belongs to the code."""

from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from drivers.sample import Modality
from models.calibration import Calibration, any_of, fuse, load_calibration
from models.finger.template import FORMAT as FINGER
from models.iris.template import FORMAT as IRIS
from models.manifest import MANIFEST, ModelError, calibration_table
from models.training.golden_scores import GOLDEN_SCORES

FORMATS = {Modality.FINGER: FINGER, Modality.IRIS: IRIS}
NEAR = 0.002  # other processors round differently; changes that moved a calibration were 0.004 and more

rates = st.floats(1e-12, 1.0)
several_rates = st.lists(st.floats(1e-9, 1.0), min_size=1, max_size=10)


@pytest.mark.parametrize("modality", FORMATS)
def test_the_manifest_has_the_golden_scores_that_the_code_gives(modality: Modality) -> None:
    """If not, fit the calibration again (models/training/fit_finger.py or fit_iris.py) and put it into the manifest."""
    golden = calibration_table(FORMATS[modality])["witness"]
    assert list(GOLDEN_SCORES[modality]()) == pytest.approx(golden, abs=NEAR)


@given(rate=rates, chances=st.integers(1, 10**6))
def test_more_chances_make_a_false_match_likelier_and_never_more_than_certain(rate: float, chances: int) -> None:
    once = any_of(rate, 1)
    assert once == pytest.approx(rate)
    assert once <= any_of(rate, chances) <= min(1.0, chances * rate * (1 + 1e-9))


def test_tiny_rates_are_not_rounded_away() -> None:
    assert any_of(1e-12, 1000) == pytest.approx(1e-9)


@given(st.lists(rates, min_size=1, max_size=10))
def test_a_probe_of_rate_1_raises_the_rate_of_the_others(several: list[float]) -> None:
    assert 0 < fuse(several) <= 1
    assert fuse(several) <= fuse([*several, 1.0]) + 1e-12
    assert fuse([several[0]]) == pytest.approx(several[0])


def test_no_probe_gives_rate_1_and_a_rate_of_0_is_refused() -> None:
    assert fuse([]) == 1.0
    with pytest.raises(ValueError, match="above 0"):
        fuse([0.0])


@pytest.fixture(name="calibration", scope="module")
def _calibration() -> Calibration:
    return load_calibration(FINGER)


def test_the_false_match_rate_falls_from_one_to_the_floor(calibration: Calibration) -> None:
    scores = np.linspace(0, 1, 2001)
    rates = np.array([calibration.false_match_rate(float(score)) for score in scores])
    assert rates[0] == 1
    assert np.all(np.diff(rates) <= 0)
    assert rates[-1] == calibration.floor


def test_no_rate_is_claimed_far_below_what_was_counted(calibration: Calibration) -> None:
    comparisons = int(calibration_table(FINGER)["comparisons"])
    assert calibration.floor >= 1 / (100 * comparisons) * 0.95  # rounded in the manifest


def test_the_tail_continues_where_the_counts_end(calibration: Calibration) -> None:
    end = calibration.scores[-1]
    assert calibration.false_match_rate(end + 1e-9) == pytest.approx(calibration.rates[-1], rel=1e-4)
    assert calibration.false_match_rate(end + calibration.tail_scale) == pytest.approx(calibration.rates[-1] / np.e)


def test_a_score_that_is_no_number_is_refused(calibration: Calibration) -> None:
    with pytest.raises(ValueError, match="is a number"):
        calibration.false_match_rate(float("nan"))


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("tail_scale = ", "tail_scale = -"),
        ("floor = ", "flaw = "),
        ("rates = [1.0", "rates = [1.5"),
        ("scores = [", "scores = [9.0, "),
        ("scores = [0.05641, 0.22664", "scores = [0.22664, 0.05641"),
    ],
)
def test_a_calibration_that_cannot_be_right_is_refused(tmp_path: Path, was: str, becomes: str) -> None:
    manifest = tmp_path / "manifest.toml"
    text = MANIFEST.read_text(encoding="utf-8")
    assert was in text
    manifest.write_text(text.replace(was, becomes), encoding="utf-8")
    with pytest.raises(ModelError, match="calibration of"):
        load_calibration(FINGER, manifest)


@given(several_rates)
def test_fusing_is_fishers_method(several: list[float]) -> None:
    assert fuse(several) == pytest.approx(stats.combine_pvalues(several, method="fisher").pvalue, rel=1e-6, abs=1e-300)


@given(several_rates, st.randoms())
def test_fusing_does_not_depend_on_the_order(several: list[float], random: Random) -> None:
    shuffled = several.copy()
    random.shuffle(shuffled)
    assert fuse(shuffled) == pytest.approx(fuse(several))


def test_one_rate_is_itself_and_none_is_one() -> None:
    assert fuse([0.01]) == pytest.approx(0.01)
    assert fuse([]) == 1
    assert fuse([1.0, 1.0, 1.0]) == 1


def test_two_fingers_that_agree_say_more_and_a_second_that_does_not_says_less() -> None:
    assert fuse([1e-4, 1e-4]) < 1e-6
    assert fuse([1e-4, 1.0]) > 1e-4
