"""Messages as the agent sends them to the hub, and what no kiosk would send."""

import dataclasses

from agent.events.cloudevents import attributes
from agent.events.event import Event, EventKey, StoredEvent, Tombstone
from simulators.hub.rules import Message
from tests.rigs.events import event, lead

EPOCH = "00112233aabbccdd"


def message(
    made: Event, sequence: int = 1, acknowledged: int = 0, tombstone: Tombstone | None = None, epoch: str = EPOCH
) -> Message:
    """As the agent's own code would send it."""
    stored = StoredEvent(EventKey("k1", epoch, made.event_class, sequence), made, tombstone)
    topic = f"bio/v1/s1/k1/evt/{made.event_class}"
    return Message(topic, made.body, dict(attributes(stored, "/s1/k1", acknowledged)), "application/json")


def changed(given: Message, **attributes: str | None) -> Message:
    """With attributes set, or left out where None."""
    merged = {**given.attributes, **attributes}
    return dataclasses.replace(given, attributes={k: v for k, v in merged.items() if v is not None})


def leads(*sequences: int) -> list[Message]:
    return [message(event(lead(n), f"e-{n}"), n) for n in sequences]
