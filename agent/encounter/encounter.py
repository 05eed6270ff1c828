"""THE path, from a sample to an event. One encounter: one traveller, one candidate list, one decision, one event."""

import uuid
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime

from agent.clock import Clock
from agent.config import Config
from agent.encounter.announcements import Announce, Decided, Started, tell_traveller
from agent.encounter.capture import Collection, Collector, Stopwatch
from agent.encounter.decision import Decision, DecisionInput, decide
from agent.encounter.messages import OUTCOME_MESSAGES
from agent.events.event import Encounter, Event, Lead, LeadCandidate, ListState, Outcome
from agent.hub.outbox import Outbox
from agent.watchlist.candidate import Candidate, CandidateList
from agent.watchlist.watchlist import Watchlist
from drivers.errors import CaptureRetry, Retry, SensorError
from drivers.sample import Modality, Sample
from models.encoder import Encoder, models_of


@dataclass(frozen=True, slots=True)
class EncounterPath:
    """The parts that an encounter runs through. One thread owns them."""

    config: Config
    encoders: Mapping[Modality, Encoder]
    watchlist: Watchlist
    outbox: Outbox
    announce: Announce
    clock: Clock

    def run(self, collector: Collector, first: "Future[Sample] | None" = None) -> Decision:
        """One encounter, begun by the presentation of `first` if given. Its event is durable when this returns."""
        try:
            return self._run(collector, first)
        finally:
            self.watchlist.discard_presearches()  # whatever ends it, nothing of the traveller stays

    def _run(self, collector: Collector, first: "Future[Sample] | None") -> Decision:
        plan, policy = self.config.plan, self.config.policy
        encounter_id, began = str(uuid.uuid4()), self._began(first)
        taken = Collection()
        watch = Stopwatch(taken.timings_ms)
        self.announce(Started(encounter_id=encounter_id, direction=plan.direction))

        # Capture, assess, encode; and search for a probe while the next one is awaited.
        ahead = self.watchlist.presearch
        collector.collect(plan.steps, taken, plan.attempts, policy.min_quality, first, meanwhile=ahead)
        candidates, decision = self._search_and_decide(taken)
        while decision.outcome is Outcome.RECAPTURE:
            again, before = (taken.weakest.step,), taken.tries
            collector.collect(again, taken, plan.attempts, policy.min_quality, ask=Retry.MOVED)
            candidates, decision = self._search_and_decide(taken, left=taken.tries == before)

        watch.since("total", None, began, self.clock.now())
        payload = self._payload(encounter_id, decision, candidates, taken)
        with watch.measured("store"):
            key = self.outbox.put(Event.of(payload, encounter_id, self.clock.now()))  # durable before visible
        self._answer(encounter_id, decision, taken, str(key))
        return decision

    def _search_and_decide(self, taken: Collection, *, left: bool = False) -> tuple[CandidateList, Decision]:
        policy = self.config.policy
        with Stopwatch(taken.timings_ms).measured("search"):
            candidates = self.watchlist.search(taken.probes, policy.candidates)
        return candidates, decide(self._evidence(candidates, taken, left=left), policy)

    def _began(self, first: "Future[Sample] | None") -> datetime:
        """When the traveller's first sample was taken; now, where none came of it."""
        if first is None or isinstance(first.exception(), CaptureRetry | SensorError):
            return self.clock.now()
        return first.result().captured_at

    def _evidence(self, candidates: CandidateList, taken: Collection, *, left: bool) -> DecisionInput:
        """`left`: the traveller was asked again and did not come: decide on what there is."""
        weakest = taken.weakest.step.position if taken.captured else None
        return DecisionInput(
            candidates=candidates,
            quality=taken.quality,
            missing=tuple(taken.missing),
            gap=taken.gap,
            may_recapture=not left and weakest is not None and taken.attempts[weakest] < self.config.plan.attempts,
        )

    def _payload(
        self, encounter_id: str, decision: Decision, candidates: CandidateList, taken: Collection
    ) -> Encounter | Lead:
        facts = {
            "encounter_id": encounter_id,
            "direction": self.config.plan.direction,
            "outcome": decision.outcome,
            "reason": decision.reason,
            "watchlist": ListState(revision=candidates.revision, age_s=candidates.age_s),
            "models": models_of(self.encoders.values()),
            "timings_ms": dict(taken.timings_ms),
            "attempts": taken.tries,
        }
        if decision.outcome is not Outcome.LEAD:
            return Encounter.model_validate(facts)
        shown = self.shown(decision)
        return Lead.model_validate(facts | {"candidates": shown, "withheld": len(decision.leads) - len(shown)})

    def shown(self, decision: Decision) -> tuple[LeadCandidate, ...]:
        """The candidates that this hub, and whoever works for it at the kiosk, may see under their agreements."""
        recipient = self.config.hub.recipient
        allowed = (c for c in decision.leads if recipient in self.watchlist.recipients(c.agreement))
        return tuple(_lead_candidate(rank, c, decision.rates[c.reference_id]) for rank, c in enumerate(allowed, 1))

    def _answer(self, encounter_id: str, decision: Decision, taken: Collection, event: str) -> None:
        tell_traveller(self.announce, OUTCOME_MESSAGES[decision.outcome])
        self.announce(
            Decided(
                encounter_id=encounter_id,
                outcome=decision.outcome,
                reason=decision.reason,
                timings_ms=dict(taken.timings_ms),
                event=event,
            )
        )


def _lead_candidate(rank: int, candidate: Candidate, rate: float) -> LeadCandidate:
    """A candidate as a lead shows it: protective entries go to protection staff."""
    return LeadCandidate(
        rank=rank,
        reference_id=candidate.reference_id,
        agreement=candidate.agreement,
        category=candidate.category,
        handling="protection" if candidate.category.protective else "border_control",
        scores=dict(candidate.scores),
        false_match_rate=candidate.false_match_rate,
        false_positive_identification_rate=rate,
    )
