"""Topics, and the CloudEvents attributes of an event."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from agent.events.cloudevents import Topics, attributes, event_type, list_topic
from agent.events.event import Event, EventClass, EventKey, StoredEvent, Tombstone
from tests.rigs.events import NOON, raw

EPOCH = "00112233aabbccdd"


def stored(made: Event, tombstone: Tombstone | None = None) -> StoredEvent:
    return StoredEvent(EventKey("k1", EPOCH, made.event_class, 7), made, tombstone)


def test_every_topic_of_a_kiosk_begins_with_its_site_and_name() -> None:
    topics = Topics("s1", "k1")
    assert topics.source == "/s1/k1"
    assert topics.state == "bio/v1/s1/k1/state"
    assert topics.acknowledgement == "bio/v1/s1/k1/ack"
    assert topics.event(EventClass.LEAD) == "bio/v1/s1/k1/evt/lead"


def test_the_topic_of_new_lists_is_the_same_for_all_kiosks_of_a_name() -> None:
    assert list_topic("main") == "bio/v1/watchlist/main"


def test_the_attributes_of_an_event() -> None:
    given = attributes(stored(raw(EventClass.LEAD, subject="e-1")), "/s1/k1", 5)
    assert given == [
        ("specversion", "1.0"),
        ("id", f"k1/{EPOCH}/lead/7"),
        ("source", "/s1/k1"),
        ("type", event_type(EventClass.LEAD)),
        ("subject", "e-1"),
        ("time", "2026-01-01T12:00:00Z"),
        ("epoch", EPOCH),
        ("class", "lead"),
        ("sequence", "7"),
        ("acknowledged", "5"),
    ]


@pytest.mark.parametrize("tombstone", Tombstone)
def test_only_a_tombstone_has_an_attribute_for_it(tombstone: Tombstone) -> None:
    gone = stored(raw(EventClass.HEALTH, b""), tombstone)
    assert attributes(gone, "/s1/k1", 0)[-1] == ("tombstone", tombstone.value)


def test_the_time_is_sent_in_utc() -> None:
    local = datetime(2026, 1, 1, 13, tzinfo=timezone(timedelta(hours=1)))
    given = dict(attributes(stored(raw(EventClass.HEALTH, time=local)), "/s1/k1", 0))
    assert given["time"] == "2026-01-01T12:00:00Z"
    assert local.astimezone(UTC) == NOON
