"""The events that the kiosk sends to the hub. All payload types are defined here; schemas/ is generated from them.

An event is (class, subject, time, body). The outbox gives it its key (kiosk, epoch, class, sequence) when it becomes
durable. A payload never contains a name, a document number or an image; a template only inside `Enrolment.sealed`.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from drivers.sample import Position


class EventClass(StrEnum):
    """Order is kept within a class. Listed from the most to the least urgent: the publisher sends in this order."""

    LEAD = "lead"
    ENROLMENT = "enrolment"
    ENCOUNTER = "encounter"
    LIST = "list"
    AUDIT = "audit"
    CAPTURE = "capture"
    HEALTH = "health"


class EventKey(NamedTuple):
    """The key of a durable event. It is never used again: a new outbox file is a new epoch."""

    kiosk: str
    epoch: str
    event_class: EventClass
    sequence: int

    def __str__(self) -> str:
        """The CloudEvents id."""
        return f"{self.kiosk}/{self.epoch}/{self.event_class}/{self.sequence}"


class Payload(BaseModel):
    """Base class of all payloads: frozen, refuses unknown keys, and no error message quotes the input."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null", hide_input_in_errors=True)


class Direction(StrEnum):
    """The traveller's direction."""

    ENTRY = "entry"
    EXIT = "exit"


class Outcome(StrEnum):
    """What the kiosk decided. RECAPTURE never leaves the kiosk: it captures again and then decides again."""

    CLEAR = "clear"
    LEAD = "lead"
    RECAPTURE = "recapture"
    REFER = "refer"


class ReasonCode(StrEnum):
    """The reason for a decision, one code each; the numbers behind it are in Reason."""

    NO_CANDIDATE = "no_candidate"  # nothing on the list is similar enough
    CANDIDATE_ABOVE_THRESHOLD = "candidate_above_threshold"
    CANDIDATE_UNCERTAIN = "candidate_uncertain"  # near the threshold with a sample of low quality
    FAILURE_TO_CAPTURE = "failure_to_capture"  # no usable sample after all attempts
    SENSOR_UNAVAILABLE = "sensor_unavailable"
    EXCEPTION_DECLARED = "exception_declared"  # missing fingers or eyes: use a lane without a kiosk
    LIST_UNAVAILABLE = "list_unavailable"
    LIST_TOO_OLD = "list_too_old"
    LIST_EXPIRED = "list_expired"  # its signatures expired longer ago than the policy allows
    LIST_INCOMPLETE = "list_incomplete"  # a list that should be here is missing, so nobody can be cleared
    ABANDONED = "abandoned"  # the traveller left, or the kiosk was stopped


class Reason(Payload):
    """A decision's complete, machine-readable reason. It contains no score: only a Lead does."""

    code: ReasonCode
    threshold: float | None = Field(
        default=None, description="the policy's highest false positive identification rate for a lead"
    )
    references: int | None = Field(default=None, description="how many references were searched")
    quality: int | None = Field(default=None, description="the best sample's quality, 0 to 100")
    missing: tuple[Position, ...] = Field(default=(), description="planned positions without a usable sample")
    list_is_stale: bool = False
    list_expired: bool = Field(default=False, description="the signatures of the providers' lists have expired")
    clock_in_doubt: bool = Field(default=False, description="the kiosk's clock disagrees with what was signed")


class ListState(Payload):
    """Which watchlist was searched, and how old it was."""

    revision: int = Field(ge=0)
    age_s: float | None = Field(description="seconds since a provider last confirmed the list; null if never")


class ListConfirmed(Payload):
    """The watchlist in the retained state. A time, not an age, because the state is published only on changes."""

    revision: int = Field(ge=0)
    confirmed_at: datetime | None = Field(description="when a provider last confirmed the list; null if never")


class Category(StrEnum):
    """Why somebody is on a list. PROTECTIVE categories go to protection staff and are never shown as wanted."""

    WANTED = "wanted"
    REFUSED_ENTRY = "refused_entry"
    MISSING = "missing"
    CHILD_AT_RISK = "child_at_risk"
    TRAFFICKING_VICTIM = "trafficking_victim"
    VULNERABLE = "vulnerable"
    LOCAL_TEST = "local_test"

    @property
    def protective(self) -> bool:
        """Whether the entry exists to protect this person."""
        return self in PROTECTIVE


PROTECTIVE = frozenset({Category.MISSING, Category.CHILD_AT_RISK, Category.TRAFFICKING_VICTIM, Category.VULNERABLE})


class LeadCandidate(Payload):
    """One reference of the candidate list, with the agreement that allows its use."""

    rank: int = Field(ge=1)
    reference_id: str
    agreement: str
    category: Category
    handling: Literal["protection", "border_control"]
    provider: str = Field(default="", description="the authority that has listed this person")
    instruction: str = Field(default="", description="the provider's code of what the officer does")
    positions_swapped: bool = Field(
        default=False, description="similar only with left and right exchanged; the rates count both tries"
    )
    scores: dict[Position, float] = Field(description="comparison score of each position of the probe")
    false_match_rate: Annotated[float, Field(ge=0, le=1)]
    false_positive_identification_rate: float = Field(ge=0, le=1, description="the same, against a list of this size")


class EncounterFacts(Payload):
    """The fields that a lead and an encounter event have in common."""

    encounter_id: str
    direction: Direction
    outcome: Outcome
    reason: Reason
    watchlist: ListState
    models: dict[str, str] = Field(description="model name to sha256")
    timings_ms: dict[str, float]
    attempts: int = Field(ge=0)
    presentation_attack_detection: Literal["not tested"] = "not tested"


class Encounter(EncounterFacts):
    """An encounter that is not a lead. Contains no template, image, score, candidate or reference id."""

    outcome: Literal[Outcome.CLEAR, Outcome.REFER]


class Lead(EncounterFacts):
    """A hit that people must review. Never called a match: it is confirmed by adjudication, not by this kiosk."""

    outcome: Literal[Outcome.LEAD]
    candidates: tuple[LeadCandidate, ...]
    withheld: int = Field(default=0, ge=0, description="candidates whose agreement does not allow this recipient")


class Enrolment(Payload):
    """A reference made at this kiosk. Templates are sent only signed by the kiosk and encrypted for the hub."""

    reference_id: str
    agreement: str
    provider: str = Field(description="the authority responsible for the reference")
    purpose: str
    legal_basis: str
    recipients: tuple[str, ...] = Field(description="who may receive the reference and the leads that it causes")
    expires_at: datetime
    category: Category
    positions: tuple[Position, ...]
    template_formats: tuple[str, ...]
    models: dict[str, str] = Field(description="models that made the templates: model name to sha256")
    quality: dict[Position, int]
    searchable_here: bool
    sealed: str | None = Field(description="JWE(JWS(templates)); null if the hub's encryption key is not configured")


class Health(Payload):
    """A change in the state of the kiosk itself."""

    component: str
    state: Literal["ok", "degraded", "lost"]
    detail: str = ""


class NoEncounter(Payload):
    """What one sensor reported although nobody was there, as far as its images show."""

    false_presentations: int = Field(ge=0, description="a finger or an eye was reported, and the image showed none")
    without_sample: int = Field(ge=0, description="attempts to serve a traveller that gave no usable sample")


class Capture(Payload):
    """Telemetry about presentations that were no encounter: at most one event in ten minutes, which expires."""

    since: datetime
    until: datetime
    sensors: dict[str, NoEncounter]


class ListReportKind(StrEnum):
    """What has happened to a list."""

    UPDATED = "updated"
    REFUSED = "refused"  # a new list was not used; the last good one goes on serving
    WITHDRAWN = "withdrawn"  # references were deleted because the provider has withdrawn them
    EXPIRED = "expired"  # references were deleted because they had expired


class RefusedReference(Payload):
    """An entry of a list that was not used. The rest of the list was."""

    reference_id: str
    reason: str


class ListReport(Payload):
    """A change of a provider's list on this kiosk. Deleted references are named in the receipt only."""

    provider: str = Field(description="whose list; empty if it is about all of them")
    kind: ListReportKind
    revision: int = Field(ge=0)
    previous_revision: int = Field(default=0, ge=0)
    references: int = Field(ge=0, description="how many references the list has now")
    added: int = Field(default=0, ge=0)
    removed: int = Field(default=0, ge=0)
    refused: tuple[RefusedReference, ...] = Field(default=(), description="the first hundred")
    refused_count: int = Field(default=0, ge=0)
    detail: str = Field(default="", description="why a list was refused")
    receipt: str | None = Field(
        default=None, description="JWS (compact) of the kiosk over the deletion: deleted from memory and disk"
    )
    trusted_time: datetime
    clock_in_doubt: bool = False


PAYLOADS: dict[EventClass, type[Payload]] = {
    EventClass.LEAD: Lead,
    EventClass.ENROLMENT: Enrolment,
    EventClass.ENCOUNTER: Encounter,
    EventClass.LIST: ListReport,
    EventClass.CAPTURE: Capture,
    EventClass.HEALTH: Health,
}


@dataclass(frozen=True, slots=True)
class Event:
    """An event before it becomes durable. `body` is the payload's JSON in UTF-8; empty in a tombstone."""

    event_class: EventClass
    subject: str
    time: datetime
    body: bytes

    @classmethod
    def of(cls, payload: Payload, subject: str, time: datetime) -> "Event":
        """The event of a payload. The payload's type determines the class."""
        event_class = next(c for c, t in PAYLOADS.items() if type(payload) is t)
        return cls(event_class, subject, time, payload.model_dump_json().encode())

    def __repr__(self) -> str:
        """Class, subject and size."""
        return f"<Event {self.event_class} {self.subject} {len(self.body)} bytes>"


class Tombstone(StrEnum):
    """Why an event has lost its body but keeps its place in the sequence."""

    EXPIRED = "expired"
    SHED = "shed"  # the disk was full, and this class may be dropped


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """A durable event with its key."""

    key: EventKey
    event: Event
    tombstone: Tombstone | None = None


class Acknowledgement(NamedTuple):
    """The hub has stored every event of this epoch and class up to and including `upto`."""

    epoch: str
    event_class: EventClass
    upto: int


class HoldReason(StrEnum):
    """Why a hub cannot verify an event that it has received."""

    UNKNOWN_KIOSK_KEY = "unknown_kiosk_key"  # the hub does not have the public key of this kiosk
    WRONG_SIGNATURE = "wrong_signature"
    CANNOT_DECRYPT = "cannot_decrypt"  # encrypted for another key, or changed on the way


class Held(NamedTuple):
    """The hub has received an event and cannot verify it. It stays in the outbox, and the later ones of its class."""

    epoch: str
    event_class: EventClass
    sequence: int
    reason: HoldReason


class HeldEvent(Payload):
    """The event that a hub cannot verify, in an acknowledgement."""

    sequence: int = Field(ge=1, lt=1 << 63)
    reason: HoldReason


class AcknowledgementMessage(Payload):
    """An Acknowledgement as the hub sends it (topic …/ack), with the event behind it that the hub cannot verify."""

    epoch: str = Field(max_length=64)
    event_class: EventClass = Field(alias="class")
    sequence: int = Field(ge=0, lt=1 << 63)
    held: HeldEvent | None = None


class SensorState(Payload):
    """One sensor in the retained state."""

    state: Literal["closed", "ready", "fault", "always_present", "never_present"] = Field(
        description="always_present, never_present: it works, but what it reports about presence is not plausible"
    )
    driver: str
    detail: str = ""
    since: datetime


class KioskState(Payload):
    """The retained state (topic …/state). The last will is KioskState(status="offline")."""

    status: Literal["online", "degraded", "offline"]
    since: datetime | None = None
    version: str = ""
    sensors: dict[str, SensorState] = {}
    watchlist: ListConfirmed | None = None
    clock_doubt: str = Field(default="", description="why the kiosk's clock is in doubt; empty if it is not")
    outbox_pending: dict[EventClass, int] = {}
