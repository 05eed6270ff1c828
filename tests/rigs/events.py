"""Events as the agent makes them, for the tests of their path to the hub."""

from datetime import UTC, datetime
from typing import Any

from agent.events.event import (
    Capture,
    Category,
    Direction,
    Encounter,
    Enrolment,
    Event,
    EventClass,
    Health,
    Lead,
    LeadCandidate,
    ListReport,
    ListReportKind,
    ListState,
    NoEncounter,
    Outcome,
    Payload,
    Reason,
    ReasonCode,
    RefusedReference,
)
from drivers.sample import Position

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LIST = ListState(revision=3, age_s=12.5)
CANDIDATE = LeadCandidate(
    rank=1,
    reference_id="r-1",
    agreement="a-1",
    category=Category.MISSING,
    handling="protection",
    scores={Position.RIGHT_INDEX: 0.71},
    false_match_rate=1e-6,
    false_positive_identification_rate=1e-4,
)


def health(component: str = "sensor") -> Health:
    return Health(component=component, state="lost")


def capture() -> Capture:
    return Capture(since=NOON, until=NOON, sensors={"right": NoEncounter(false_presentations=9, without_sample=2)})


def list_report(**fields: Any) -> ListReport:  # noqa: ANN401 - fields of the payload
    refused = (RefusedReference(reference_id="r-9", reason="necessity: missing"),)
    facts = {"provider": "police", "kind": ListReportKind.UPDATED, "revision": 3, "references": 2, "refused": refused}
    return ListReport.model_validate(facts | {"trusted_time": NOON} | fields)


def encounter(number: int = 1, code: ReasonCode = ReasonCode.NO_CANDIDATE) -> Encounter:
    return Encounter(
        encounter_id=f"e-{number}",
        direction=Direction.ENTRY,
        outcome=Outcome.CLEAR,
        reason=Reason(code=code),
        watchlist=LIST,
        models={"leader": "a" * 64},
        timings_ms={"capture": 12.0},
        attempts=1,
    )


def lead(number: int = 1) -> Lead:
    return Lead(
        encounter_id=f"e-{number}",
        direction=Direction.ENTRY,
        outcome=Outcome.LEAD,
        reason=Reason(code=ReasonCode.CANDIDATE_ABOVE_THRESHOLD, threshold=0.001),
        watchlist=LIST,
        models={"leader": "a" * 64},
        timings_ms={"capture": 12.0},
        attempts=2,
        candidates=(CANDIDATE,),
    )


def enrolment(sealed: str | None = None) -> Enrolment:
    return Enrolment(
        reference_id="r-9",
        agreement="local-test",
        provider="p-1",
        purpose="test",
        legal_basis="consent",
        recipients=("hub",),
        expires_at=NOON,
        category=Category.LOCAL_TEST,
        positions=(Position.RIGHT_INDEX,),
        template_formats=("leader-1",),
        models={"leader": "a" * 64},
        quality={Position.RIGHT_INDEX: 70},
        searchable_here=False,
        sealed=sealed,
    )


def event(payload: Payload, subject: str = "e-1", time: datetime = NOON) -> Event:
    return Event.of(payload, subject, time)


def raw(event_class: EventClass, body: bytes = b"{}", subject: str = "s", time: datetime = NOON) -> Event:
    """An event whose body is not read."""
    return Event(event_class, subject, time, body)
