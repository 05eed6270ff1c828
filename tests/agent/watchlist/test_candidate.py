"""The candidate list: what a rate per comparison means against a list of its size."""

import pytest

from agent.events.event import Category
from agent.watchlist.candidate import Candidate, CandidateList
from drivers.sample import Position

CANDIDATE = Candidate("r1", "agreement-1", Category.WANTED, {Position.RIGHT_INDEX: 0.7}, 1e-6)


@pytest.mark.parametrize(("references", "rate"), [(1, 1e-6), (1000, 1e-3), (10**9, 1.0)])
def test_a_longer_list_has_more_chances_of_a_false_candidate(references: int, rate: float) -> None:
    listed = CandidateList((CANDIDATE,), references, 1, 60.0)
    assert listed.false_positive_identification_rate(CANDIDATE) == pytest.approx(rate, rel=1e-3)
