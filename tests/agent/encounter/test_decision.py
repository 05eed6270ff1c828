"""decide(): a table of inputs and their decisions, and properties that hold for all inputs."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config import PolicyConfig
from agent.encounter.decision import DecisionInput, decide
from agent.events.event import Category, Outcome, ReasonCode
from agent.watchlist.candidate import Candidate, CandidateList
from drivers.sample import Position

INDEX, THUMB = Position.RIGHT_INDEX, Position.RIGHT_THUMB
POLICY = PolicyConfig(
    max_false_positive_identification_rate=0.001, uncertain_factor=10, good_quality=50, stale_after_s=3600
)
REFUSING = POLICY.model_copy(update={"when_stale": "refer"})


def candidate(rate: float, reference_id: str = "r1") -> Candidate:
    return Candidate(reference_id, "agreement", Category.WANTED, {INDEX: 0.5}, rate)


def listed(*rates: float, references: int = 1, age_s: float | None = 60.0, **state: bool) -> CandidateList:
    found = tuple(candidate(rate, f"r{n}") for n, rate in enumerate(sorted(rates)))
    return CandidateList(found, references, 3, age_s, **state)


@dataclass(frozen=True)
class Case:
    name: str
    outcome: Outcome
    code: ReasonCode
    candidates: CandidateList = field(default_factory=listed)
    quality: dict[Position, int] = field(default_factory=lambda: {INDEX: 80})
    missing: tuple[Position, ...] = ()
    gap: ReasonCode = ReasonCode.FAILURE_TO_CAPTURE
    may_recapture: bool = False
    policy: PolicyConfig = POLICY


CASES = (
    Case("no similar reference is cleared", Outcome.CLEAR, ReasonCode.NO_CANDIDATE),
    Case("a hardly similar reference is cleared", Outcome.CLEAR, ReasonCode.NO_CANDIDATE, listed(0.3)),
    Case("a very similar reference is a lead", Outcome.LEAD, ReasonCode.CANDIDATE_ABOVE_THRESHOLD, listed(1e-6)),
    Case("just within the threshold is a lead", Outcome.LEAD, ReasonCode.CANDIDATE_ABOVE_THRESHOLD, listed(0.00099)),
    Case(
        "the same similarity in a long list is no lead",
        Outcome.CLEAR,
        ReasonCode.NO_CANDIDATE,
        listed(1e-6, references=1_000_000),
    ),
    Case(
        "near the threshold with a poor sample asks again",
        Outcome.RECAPTURE,
        ReasonCode.CANDIDATE_UNCERTAIN,
        listed(0.005),
        {INDEX: 30},
        may_recapture=True,
    ),
    Case(
        "near the threshold with a poor sample and no tries left refers",
        Outcome.REFER,
        ReasonCode.CANDIDATE_UNCERTAIN,
        listed(0.005),
        {INDEX: 30},
    ),
    Case("near the threshold with a good sample is cleared", Outcome.CLEAR, ReasonCode.NO_CANDIDATE, listed(0.005)),
    Case("no sample refers", Outcome.REFER, ReasonCode.FAILURE_TO_CAPTURE, quality={}, missing=(INDEX,)),
    Case(
        "no sensor refers and says so",
        Outcome.REFER,
        ReasonCode.SENSOR_UNAVAILABLE,
        quality={},
        missing=(INDEX,),
        gap=ReasonCode.SENSOR_UNAVAILABLE,
    ),
    Case("a missing second finger refers", Outcome.REFER, ReasonCode.FAILURE_TO_CAPTURE, missing=(THUMB,)),
    Case(
        "a missing second finger never hides a lead",
        Outcome.LEAD,
        ReasonCode.CANDIDATE_ABOVE_THRESHOLD,
        listed(1e-9),
        missing=(THUMB,),
    ),
    Case("an empty list refers", Outcome.REFER, ReasonCode.LIST_UNAVAILABLE, listed(references=0)),
    Case("a list that was never there refers", Outcome.REFER, ReasonCode.LIST_UNAVAILABLE, listed(age_s=None)),
    Case("an old list degrades", Outcome.CLEAR, ReasonCode.NO_CANDIDATE, listed(age_s=7200)),
    Case(
        "an old list refers where policy says so",
        Outcome.REFER,
        ReasonCode.LIST_TOO_OLD,
        listed(age_s=7200),
        policy=REFUSING,
    ),
    Case(
        "an old list still gives leads",
        Outcome.LEAD,
        ReasonCode.CANDIDATE_ABOVE_THRESHOLD,
        listed(1e-9, age_s=7200),
        policy=REFUSING,
    ),
    Case("an expired list degrades", Outcome.CLEAR, ReasonCode.NO_CANDIDATE, listed(list_expired=True)),
    Case(
        "a list that expired too long ago clears nobody",
        Outcome.REFER,
        ReasonCode.LIST_EXPIRED,
        listed(list_expired=True, list_unusable=True),
    ),
    Case(
        "a list that expired too long ago still gives leads",
        Outcome.LEAD,
        ReasonCode.CANDIDATE_ABOVE_THRESHOLD,
        listed(1e-9, list_expired=True, list_unusable=True),
    ),
    Case("an incomplete list clears nobody", Outcome.REFER, ReasonCode.LIST_INCOMPLETE, listed(list_incomplete=True)),
    Case(
        "an incomplete list still gives leads",
        Outcome.LEAD,
        ReasonCode.CANDIDATE_ABOVE_THRESHOLD,
        listed(1e-9, list_incomplete=True),
    ),
    Case("a clock in doubt clears", Outcome.CLEAR, ReasonCode.NO_CANDIDATE, listed(clock_in_doubt=True)),
)


def input_of(case: Case) -> DecisionInput:
    return DecisionInput(case.candidates, case.quality, case.missing, case.gap, case.may_recapture)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_table(case: Case) -> None:
    decision = decide(input_of(case), case.policy)
    assert (decision.outcome, decision.reason.code) == (case.outcome, case.code)


def test_the_reason_says_how_old_the_list_was() -> None:
    assert decide(DecisionInput(listed(age_s=7200), {INDEX: 80}), POLICY).reason.list_is_stale
    assert not decide(input_of(CASES[0]), POLICY).reason.list_is_stale


@pytest.mark.parametrize("state", ["clock_in_doubt", "list_expired"])
@pytest.mark.parametrize("rate", [1e-9, 0.5])
def test_every_decision_says_that_the_clock_is_in_doubt_or_the_list_has_expired(state: str, rate: float) -> None:
    for value in (True, False):
        reason = decide(DecisionInput(listed(rate, **{state: value}), {INDEX: 80}), POLICY).reason
        assert getattr(reason, state) is value


def test_only_candidates_above_the_threshold_are_leads() -> None:
    decision = decide(DecisionInput(listed(1e-9, 1e-7, 0.2), {INDEX: 80}), POLICY)
    assert [c.reference_id for c in decision.leads] == ["r0", "r1"]


rates = st.floats(0, 1)
inputs = st.builds(
    DecisionInput,
    candidates=st.builds(
        lambda found, more, age, state: listed(*found, references=len(found) + more, age_s=age, **state),
        st.lists(rates, max_size=5),
        st.integers(0, 10**6),
        st.none() | st.floats(0, 1e7),
        st.dictionaries(st.sampled_from(["list_incomplete", "list_unusable", "list_expired"]), st.booleans()),
    ),
    quality=st.dictionaries(st.sampled_from([INDEX, THUMB]), st.integers(0, 100)),
    missing=st.lists(st.sampled_from([Position.LEFT_INDEX]), max_size=1).map(tuple),
    may_recapture=st.booleans(),
)


@given(inputs)
def test_nobody_without_a_usable_sample_or_without_a_list_is_cleared(drawn: DecisionInput) -> None:
    decision = decide(drawn, POLICY)
    if not drawn.quality or drawn.candidates.age_s is None or not drawn.candidates.references:
        assert decision.outcome is Outcome.REFER


@given(inputs)
def test_nobody_is_cleared_against_a_list_that_is_not_whole_or_not_valid(drawn: DecisionInput) -> None:
    if drawn.candidates.list_incomplete or drawn.candidates.list_unusable:
        assert decide(drawn, POLICY).outcome is not Outcome.CLEAR


@given(inputs)
def test_a_lead_has_candidates_and_nothing_else_has(drawn: DecisionInput) -> None:
    decision = decide(drawn, POLICY)
    assert bool(decision.leads) == (decision.outcome is Outcome.LEAD)


@given(inputs, st.floats(0, 1))
def test_a_more_likely_candidate_never_turns_a_lead_into_something_else(drawn: DecisionInput, rate: float) -> None:
    if decide(drawn, POLICY).outcome is not Outcome.LEAD:
        return
    old = drawn.candidates
    best = candidate(min(rate, *(c.false_match_rate for c in old.candidates)), "better")
    longer = CandidateList((best, *old.candidates), old.references, old.revision, old.age_s)
    assert decide(DecisionInput(longer, drawn.quality), POLICY).outcome is Outcome.LEAD


@given(inputs)
def test_recapture_is_asked_for_only_while_it_may_be(drawn: DecisionInput) -> None:
    if decide(drawn, POLICY).outcome is Outcome.RECAPTURE:
        assert drawn.may_recapture


def test_two_references_of_the_same_id_in_two_lists_keep_their_own_rates() -> None:
    found = CandidateList((candidate(1e-6, "r1"), candidate(1e-4, "r1")), 1, 3, 60.0)
    decision = decide(DecisionInput(found, {INDEX: 80}), POLICY)
    assert decision.rates == pytest.approx((1e-6, 1e-4))
