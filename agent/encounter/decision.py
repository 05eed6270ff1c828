"""decide(), a pure function: from candidates, qualities and a policy of error rates to an outcome with its reason."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agent.config import PolicyConfig
from agent.events.event import Outcome, Reason, ReasonCode
from agent.watchlist.candidate import Candidate, CandidateList
from drivers.sample import Position


@dataclass(frozen=True, slots=True)
class DecisionInput:
    """Everything that a decision depends on.

    `quality` has the usable probes only; `missing` the positions of the plan without one; `gap` why they are missing;
    `may_recapture` is False once the traveller has made all allowed attempts.
    """

    candidates: CandidateList
    quality: Mapping[Position, int]
    missing: tuple[Position, ...] = ()
    gap: ReasonCode = ReasonCode.FAILURE_TO_CAPTURE
    may_recapture: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What the kiosk does next, and why.

    `leads` are the candidates that justify a LEAD, else empty; `rates` their false positive identification rates in the
    same order, which leave the kiosk only in a lead. Two lists may have references of the same id.
    """

    outcome: Outcome
    reason: Reason
    leads: tuple[Candidate, ...] = ()
    rates: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class _Case:
    """The input with the numbers that the rules compare."""

    given: DecisionInput
    policy: PolicyConfig
    rates: tuple[float, ...]

    @property
    def best_rate(self) -> float:
        return min(self.rates, default=1.0)

    @property
    def best_quality(self) -> int | None:
        return max(self.given.quality.values(), default=None)

    @property
    def nothing_to_search(self) -> bool:
        """There is no list, or it has become empty: to clear without any search would be a silent failure."""
        return self.given.candidates.age_s is None or not self.given.candidates.references

    @property
    def stale(self) -> bool:
        age = self.given.candidates.age_s
        return age is None or age > self.policy.stale_after_s

    @property
    def uncertain(self) -> bool:
        """The best candidate is near the threshold, and a better sample could decide."""
        limit = self.policy.max_false_positive_identification_rate * self.policy.uncertain_factor
        return self.best_rate <= limit and min(self.given.quality.values()) < self.policy.good_quality


_Rule = tuple[Callable[[_Case], bool], Outcome, Callable[[_Case], ReasonCode]]

# The first rule that applies decides. A lead comes before any gap, so that a missing second finger never hides a lead.
# CLEAR comes last: somebody is cleared only when no other rule applies.
_RULES: tuple[_Rule, ...] = (
    (lambda c: not c.given.quality, Outcome.REFER, lambda c: c.given.gap),
    (lambda c: c.nothing_to_search, Outcome.REFER, lambda _: ReasonCode.LIST_UNAVAILABLE),
    (
        lambda c: c.best_rate <= c.policy.max_false_positive_identification_rate,
        Outcome.LEAD,
        lambda _: ReasonCode.CANDIDATE_ABOVE_THRESHOLD,
    ),
    (
        lambda c: c.uncertain and c.given.may_recapture,
        Outcome.RECAPTURE,
        lambda _: ReasonCode.CANDIDATE_UNCERTAIN,
    ),
    (lambda c: c.uncertain, Outcome.REFER, lambda _: ReasonCode.CANDIDATE_UNCERTAIN),
    (lambda c: bool(c.given.missing), Outcome.REFER, lambda c: c.given.gap),
    (lambda c: c.given.candidates.list_incomplete, Outcome.REFER, lambda _: ReasonCode.LIST_INCOMPLETE),
    (lambda c: c.given.candidates.list_unusable, Outcome.REFER, lambda _: ReasonCode.LIST_EXPIRED),
    (
        lambda c: c.stale and c.policy.when_stale == "refer",
        Outcome.REFER,
        lambda _: ReasonCode.LIST_TOO_OLD,
    ),
    (lambda _: True, Outcome.CLEAR, lambda _: ReasonCode.NO_CANDIDATE),
)


def decide(given: DecisionInput, policy: PolicyConfig) -> Decision:
    """The outcome of an encounter. The same input and policy always give the same decision."""
    listed = given.candidates
    rates = tuple(listed.false_positive_identification_rate(c) for c in listed.candidates)
    case = _Case(given, policy, rates)
    outcome, code = next((outcome, code(case)) for holds, outcome, code in _RULES if holds(case))
    threshold = policy.max_false_positive_identification_rate
    leads = tuple(c for c, rate in zip(listed.candidates, rates, strict=True) if rate <= threshold)
    reason = Reason(
        code=code,
        threshold=threshold,
        references=listed.references,
        quality=case.best_quality,
        missing=given.missing,
        list_is_stale=case.stale,
        list_expired=listed.list_expired,
        clock_in_doubt=listed.clock_in_doubt,
    )
    if outcome is not Outcome.LEAD:
        return Decision(outcome, reason)
    return Decision(outcome, reason, leads, tuple(rate for rate in rates if rate <= threshold))
