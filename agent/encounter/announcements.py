"""What the lane's screen and the technician's terminal hear while an encounter runs; streamed over the control socket.

`Told` is for the traveller. The others are for staff: never a template, an image or a candidate.
"""

from collections.abc import Callable
from typing import Literal

from pydantic import Field

from agent.encounter.messages import say
from agent.events.event import Direction, Outcome, Payload, Reason
from drivers.sample import Position


class TravellerTold(Payload):
    """Words for the traveller, with their message key."""

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
    """One sample was taken and judged."""

    kind: Literal["step"] = "step"
    position: Position
    attempt: int
    usable: bool
    quality: int | None = None
    reason: str | None = None
    timings_ms: dict[str, float] = Field(default_factory=dict)


class Decided(Payload):
    """The kiosk's answer. Its event was durable before this was said."""

    kind: Literal["decided"] = "decided"
    encounter_id: str
    outcome: Outcome
    reason: Reason
    timings_ms: dict[str, float]
    event: str


Announcement = TravellerTold | Started | StepDone | Decided
Announce = Callable[[Announcement], None]


def tell(announce: Announce, key: str, position: Position = Position.UNKNOWN) -> None:
    """Say a message key to the traveller."""
    announce(TravellerTold(key=key, text=say(key, position), position=position))
