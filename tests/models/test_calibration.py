"""From a score to a rate: what the manifest says is of the scores that the code gives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.sample import Modality
from models.calibration import any_of, fuse
from models.finger.template import FORMAT as FINGER
from models.iris.template import FORMAT as IRIS
from models.manifest import calibration_table
from models.training.golden_scores import GOLDEN_SCORES

FORMATS = {Modality.FINGER: FINGER, Modality.IRIS: IRIS}
NEAR = 0.002  # other processors round differently; what moved a calibration was 0.004 and more

rates = st.floats(1e-12, 1.0)


@pytest.mark.parametrize("modality", FORMATS)
def test_a_calibration_is_of_scores_as_they_come_out_now(modality: Modality) -> None:
    """If not: fit it anew (fit_finger.py or fit_iris.py in models/training) and put that into the manifest."""
    remembered = calibration_table(FORMATS[modality])["witness"]
    assert list(GOLDEN_SCORES[modality]()) == pytest.approx(remembered, abs=NEAR)


@given(rate=rates, chances=st.integers(1, 10**6))
def test_more_chances_make_a_false_match_likelier_and_never_more_than_certain(rate: float, chances: int) -> None:
    once = any_of(rate, 1)
    assert once == pytest.approx(rate)
    assert once <= any_of(rate, chances) <= min(1.0, chances * rate * (1 + 1e-9))


def test_tiny_rates_are_not_rounded_away() -> None:
    assert any_of(1e-12, 1000) == pytest.approx(1e-9)


@given(st.lists(rates, min_size=1, max_size=10))
def test_a_probe_that_is_like_anybody_takes_nothing_from_the_others_but_certainty(several: list[float]) -> None:
    assert 0 < fuse(several) <= 1
    assert fuse(several) <= fuse([*several, 1.0]) + 1e-12
    assert fuse([several[0]]) == pytest.approx(several[0])


def test_no_probe_says_nothing_and_no_rate_is_zero() -> None:
    assert fuse([]) == 1.0
    with pytest.raises(ValueError, match="above 0"):
        fuse([0.0])
