"""Announcements about a running encounter for the lane's screen and the technician's terminal, over the control socket.

`TravellerMessage` is for the traveller. The others are for staff. None contains a template, an image or a candidate.
"""

from collections.abc import Callable
from typing import Literal

from pydantic import Field

from agent.encounter.messages import message_text
from agent.events.event import Direction, Outcome, Payload, Reason
from drivers.sample import Position


class TravellerMessage(Payload):
    """A text for the traveller, with its message key."""

    kind: Literal["told"] = "told"
    key: str
    text: str
    position: Position = Position.UNKNOWN


class Started(Payload):
    """Somebody presented a finger or an eye."""

    kind: Literal["started"] = "started"
    encounter_id: str
    direction: Direction


class StepDone(Payload):
    """One sample was taken and assessed."""

    kind: Literal["step"] = "step"
    position: Position
    attempt: int
    usable: bool
    quality: int | None = None
    reason: str | None = None
    timings_ms: dict[str, float] = Field(default_factory=dict)


class Decided(Payload):
    """The kiosk's decision. Its event was durable before this announcement."""

    kind: Literal["decided"] = "decided"
    encounter_id: str
    outcome: Outcome
    reason: Reason
    timings_ms: dict[str, float]
    event: str


Announcement = TravellerMessage | Started | StepDone | Decided
Announce = Callable[[Announcement], None]


def tell_traveller(announce: Announce, key: str, position: Position = Position.UNKNOWN) -> None:
    """Announce the message with this key."""
    announce(TravellerMessage(key=key, text=message_text(key, position), position=position))
