"""An event as an MQTT message: topics, and CloudEvents 1.0 attributes in binary mode as MQTT 5 user properties."""

from datetime import UTC

from agent.events.event import EventClass, StoredEvent

ROOT = "bio/v1"
CONTENT_TYPE = "application/json"


class Topics:
    """The topics of one kiosk."""

    def __init__(self, site: str, kiosk: str) -> None:
        base = f"{ROOT}/{site}/{kiosk}"
        self.source = f"/{site}/{kiosk}"
        self.state = f"{base}/state"
        self.acknowledgement = f"{base}/ack"
        self._events = f"{base}/evt"

    def event(self, event_class: EventClass) -> str:
        """The topic of events of a class."""
        return f"{self._events}/{event_class}"


def list_topic(name: str) -> str:
    """The topic of the retained message that says that there is something new in the lists of this name."""
    return f"{ROOT}/watchlist/{name}"


def event_type(event_class: EventClass) -> str:
    """The CloudEvents type of a class; also the name of its schema."""
    return f"kiosk.{event_class}.v1"


def attributes(stored: StoredEvent, source: str, acknowledged: int) -> list[tuple[str, str]]:
    """The CloudEvents attributes of an event; the content type is sent as the MQTT property of that name.

    `acknowledged` is the highest sequence that the kiosk has deleted because the hub acknowledged it. It tells a hub
    that has lost its store that these events will not be sent again.
    """
    key, event = stored.key, stored.event
    pairs = [
        ("specversion", "1.0"),
        ("id", str(key)),
        ("source", source),
        ("type", event_type(key.event_class)),
        ("subject", event.subject),
        ("time", event.time.astimezone(UTC).isoformat().replace("+00:00", "Z")),
        ("epoch", key.epoch),
        ("class", key.event_class.value),
        ("sequence", str(key.sequence)),
        ("acknowledged", str(acknowledged)),
    ]
    return [*pairs, ("tombstone", stored.tombstone.value)] if stored.tombstone else pairs
