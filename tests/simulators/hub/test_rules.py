"""The hub accepts only what it has checked: keys that agree with the topic, contents that fit the schemas."""

import dataclasses
import json
import re

import pytest

from agent.events.event import EventClass, Payload, Tombstone
from simulators.hub.rules import (
    InvalidContent,
    InvalidKey,
    Message,
    Schemas,
    acknowledged_before,
    read_content,
    read_key,
)
from tests.rigs.events import encounter, enrolment, event, health, lead, list_report, raw
from tests.rigs.hub_messages import changed, message

SCHEMAS = Schemas()


@pytest.mark.parametrize("payload", [lead(), encounter(), enrolment(), list_report(), health()])
def test_what_the_agent_sends_is_believed(payload: Payload) -> None:
    given = message(event(payload, "e-1"))
    key = read_key(given)
    assert str(key) == given.attributes["id"]
    assert read_content(given, key, SCHEMAS) == json.loads(given.body)


GOOD = message(event(lead()), 7)
OTHER_ENCODINGS = ("utf-16", "utf-16-le", "utf-32", "utf-8-sig")  # JSON travels in UTF-8 without a mark (RFC 8259, 8.1)


@pytest.mark.parametrize(
    "bad",
    [
        dataclasses.replace(GOOD, topic="bio/v1/s1/k1/state"),
        dataclasses.replace(GOOD, topic="bio/v1/s1/k2/evt/lead"),
        dataclasses.replace(GOOD, topic="bio/v1/s2/k1/evt/lead"),
        dataclasses.replace(GOOD, topic="bio/v1/s1/k1/evt/encounter"),
        dataclasses.replace(GOOD, attributes={}),
        changed(GOOD, id="k1/other/lead/7"),
        changed(GOOD, id=None),
        changed(GOOD, sequence="8"),
        changed(GOOD, sequence="0"),
        changed(GOOD, sequence="07"),
        changed(GOOD, sequence="1" * 30),
        changed(GOOD, epoch="../../../../etc"),
        changed(GOOD, source="/s1/k2"),
        changed(GOOD, **{"class": "health"}),
    ],
)
def test_a_key_that_contradicts_itself_is_nobodys(bad: Message) -> None:
    with pytest.raises(InvalidKey):
        read_key(bad)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (changed(GOOD, specversion="0.3"), "specversion"),
        (changed(GOOD, type="kiosk.lead.v2"), "type"),
        (changed(GOOD, subject=None), "subject is missing"),
        (changed(GOOD, subject="e-2"), "subject is not the encounter"),
        (changed(GOOD, time="yesterday"), "time is missing or malformed"),
        (changed(GOOD, time="2026-01-01T12:00:00"), "no zone"),
        (changed(GOOD, tombstone="expired"), "tombstone"),
        (changed(dataclasses.replace(GOOD, body=b""), tombstone="lost"), "tombstone"),
        (dataclasses.replace(GOOD, content_type="text/plain"), "content type"),
        (dataclasses.replace(GOOD, body=b"\xff{"), "not JSON"),
        (dataclasses.replace(GOOD, body=b"[" * 100_000), "not JSON"),
        *((dataclasses.replace(GOOD, body=GOOD.body.decode().encode(c)), "UTF-8") for c in OTHER_ENCODINGS),
        (dataclasses.replace(GOOD, body=b"[]"), "breaks kiosk.lead.v1"),
        (dataclasses.replace(GOOD, body=b"{}"), "breaks kiosk.lead.v1"),
        (dataclasses.replace(GOOD, body=GOOD.body[:-1] + b',"surname":"Doe"}'), "additionalProperties"),
        (message(raw(EventClass.AUDIT)), "no schema kiosk.audit.v1 is published"),
    ],
)
def test_a_bad_content_is_named_and_not_quoted(bad: Message, says: str) -> None:
    with pytest.raises(InvalidContent, match=re.escape(says)) as problem:
        read_content(bad, read_key(bad), SCHEMAS)
    assert "Doe" not in str(problem.value)


@pytest.mark.parametrize(
    ("claim", "accepted"), [("4", 4), ("9" * 18, 6), ("9" * 100, 0), ("-1", 0), ("x", 0), (None, 0)]
)
def test_what_was_acknowledged_before_is_below_the_event_itself(claim: str | None, accepted: int) -> None:
    given = changed(GOOD, acknowledged=claim)
    assert acknowledged_before(given, read_key(given)) == accepted


def test_a_tombstone_has_no_content() -> None:
    gone = message(raw(EventClass.HEALTH, b"", "h-1"), 1, tombstone=Tombstone.EXPIRED)
    assert read_content(gone, read_key(gone), SCHEMAS) == {}


def test_a_message_is_represented_without_its_body() -> None:
    assert "body" not in repr(GOOD)
