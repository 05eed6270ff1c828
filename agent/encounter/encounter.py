"""The path from a sample to an event. One encounter: one traveller, one candidate list, one decision, one event."""

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
from agent.encounter.presence import NoEncounters
from agent.events.event import Encounter, Event, Lead, LeadCandidate, ListState, Outcome
from agent.hub.outbox import Outbox
from agent.watchlist.candidate import Candidate, CandidateList
from agent.watchlist.watchlist import Watchlist
from drivers.errors import CaptureRetry, Retry, SensorError
from drivers.sample import Modality, Sample
from models.encoder import Encoder, models_of


@dataclass(frozen=True, slots=True)
class EncounterPath:
    """The parts that an encounter uses. One thread owns them."""

    config: Config
    encoders: Mapping[Modality, Encoder]
    watchlist: Watchlist
    outbox: Outbox
    announce: Announce
    clock: Clock
    no_encounters: NoEncounters | None = None  # None: every presentation begins an encounter

    def run(self, collector: Collector, first: "Future[Sample] | None" = None) -> Decision:
        """Run one encounter, begun by the presentation of `first` if given. Its event is durable when this returns."""
        try:
            return self._run(collector, first)
        finally:
            self.watchlist.discard_presearches()  # however the encounter ends, no data of the traveller stays

    def _run(self, collector: Collector, first: "Future[Sample] | None") -> Decision:
        plan, policy = self.config.plan, self.config.policy
        encounter_id, began = str(uuid.uuid4()), self._start_time(first)
        collection = Collection()
        watch = Stopwatch(collection.timings_ms)
        self.announce(Started(encounter_id=encounter_id, direction=plan.direction))

        # Capture, assess, encode; and search for a probe while the next one is awaited.
        presearch = self.watchlist.presearch
        collector.collect(plan.steps, collection, plan.attempts, policy.min_quality, first, meanwhile=presearch)
        candidates, decision = self._search_and_decide(collection)
        while decision.outcome is Outcome.RECAPTURE:
            again, before = (collection.weakest.step,), collection.total_attempts
            collector.collect(again, collection, plan.attempts, policy.min_quality, prompt=Retry.MOVED)
            candidates, decision = self._search_and_decide(collection, abandoned=collection.total_attempts == before)

        watch.record("total", None, began, self.clock.now())
        payload = self._payload(encounter_id, decision, candidates, collection)
        with watch.measured("store"):
            if self._nobody_began(first, collection, collector):
                key = self.no_encounters.report() if self.no_encounters else ""
            else:
                key = str(self.outbox.put(Event.of(payload, encounter_id, self.clock.now())))  # durable before visible
        self._announce_decision(encounter_id, decision, collection, key)
        return decision

    def _nobody_began(self, first: "Future[Sample] | None", collection: Collection, collector: Collector) -> bool:
        """Whether this was no encounter: a sensor reported a finger or an eye, and no image showed one."""
        if first is None or self.no_encounters is None:
            return False  # somebody at the kiosk has asked for it
        sensor = self.config.plan.steps[0].sensor
        if self.no_encounters.began(sensor, usable=bool(collection.captured), somebody=collection.somebody):
            return False
        collector.nobody_was_there(sensor)
        return True

    def _search_and_decide(self, collection: Collection, *, abandoned: bool = False) -> tuple[CandidateList, Decision]:
        policy = self.config.policy
        with Stopwatch(collection.timings_ms).measured("search"):
            candidates = self.watchlist.search(collection.probes, policy.candidates)
        return candidates, decide(self._decision_input(candidates, collection, abandoned=abandoned), policy)

    def _start_time(self, first: "Future[Sample] | None") -> datetime:
        """When the traveller's first sample was taken; now if there is no sample."""
        if first is None or isinstance(first.exception(), CaptureRetry | SensorError):
            return self.clock.now()
        return first.result().captured_at

    def _decision_input(self, candidates: CandidateList, collection: Collection, *, abandoned: bool) -> DecisionInput:
        """`abandoned`: the traveller was asked again and did not come, so the decision uses the samples there are."""
        weakest = collection.weakest.step.position if collection.captured else None
        attempts_left = weakest is not None and collection.attempts[weakest] < self.config.plan.attempts
        return DecisionInput(
            candidates=candidates,
            quality=collection.quality,
            missing=tuple(collection.missing),
            gap=collection.gap,
            may_recapture=attempts_left and not abandoned,
        )

    def _payload(
        self, encounter_id: str, decision: Decision, candidates: CandidateList, collection: Collection
    ) -> Encounter | Lead:
        facts = {
            "encounter_id": encounter_id,
            "direction": self.config.plan.direction,
            "outcome": decision.outcome,
            "reason": decision.reason,
            "watchlist": ListState(revision=candidates.revision, age_s=candidates.age_s),
            "models": models_of(self.encoders.values()),
            "timings_ms": dict(collection.timings_ms),
            "attempts": collection.total_attempts,
        }
        if decision.outcome is not Outcome.LEAD:
            return Encounter.model_validate(facts)
        visible = self.visible_candidates(decision)
        return Lead.model_validate(facts | {"candidates": visible, "withheld": len(decision.leads) - len(visible)})

    def visible_candidates(self, decision: Decision) -> tuple[LeadCandidate, ...]:
        """The candidates that this hub, and its staff at the kiosk, may see under their agreements."""
        recipient = self.config.hub.recipient
        leads = zip(decision.leads, decision.rates, strict=True)
        allowed = ((candidate, rate) for candidate, rate in leads if recipient in candidate.recipients)
        return tuple(_lead_candidate(rank, candidate, rate) for rank, (candidate, rate) in enumerate(allowed, 1))

    def _announce_decision(self, encounter_id: str, decision: Decision, collection: Collection, event: str) -> None:
        tell_traveller(self.announce, OUTCOME_MESSAGES[decision.outcome])
        self.announce(
            Decided(
                encounter_id=encounter_id,
                outcome=decision.outcome,
                reason=decision.reason,
                timings_ms=dict(collection.timings_ms),
                event=event,
            )
        )


def _lead_candidate(rank: int, candidate: Candidate, rate: float) -> LeadCandidate:
    """A candidate as it appears in a lead: protective entries go to protection staff."""
    return LeadCandidate(
        rank=rank,
        reference_id=candidate.reference_id,
        agreement=candidate.agreement,
        category=candidate.category,
        handling="protection" if candidate.category.protective else "border_control",
        provider=candidate.provider,
        instruction=candidate.instruction,
        positions_swapped=candidate.positions_swapped,
        scores=dict(candidate.scores),
        false_match_rate=candidate.false_match_rate,
        false_positive_identification_rate=rate,
    )
