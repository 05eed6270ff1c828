"""The hub's lines: what happened, and never whom it is about."""

import json
import re
from typing import Any

import pytest

from agent.events.event import EventClass, Payload, Tombstone
from simulators.hub.console import StateLines, event_line, printable, problem_line
from simulators.hub.rules import read_key
from tests.rigs.events import encounter, enrolment, event, health, lead, list_report, raw
from tests.rigs.hub_messages import message

CLOCK = r"\d\d:\d\d:\d\d  "


def line_of(payload: Payload, verdict: str = "stored") -> str:
    given = message(event(payload), 7)
    return event_line(read_key(given), given, json.loads(given.body), verdict)


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (lead(), "lead: candidate_above_threshold, 1 candidate "),
        (encounter(), "clear: no_candidate "),
        (health(), "sensor lost "),
        (enrolment(), "right_index (no templates) "),
        (enrolment("a.b.c"), "right_index (sealed) "),
        (list_report(added=4, removed=1, refused_count=2), "police updated: revision 3, 2 (+4 -1, 2 refused) "),
        (list_report(kind="withdrawn", removed=1, receipt="a.b.c"), "withdrawn: revision 3, 2 (+0 -1), receipt "),
        (list_report(provider="", kind="refused", revision=0), "all lists refused: revision 0, 2 (+0 -0) "),
    ],
)
def test_an_event_is_one_line_that_names_no_reference(payload: Payload, text: str) -> None:
    line = line_of(payload)
    assert re.match(CLOCK, line)
    assert "k1 #7" in line
    assert text in line
    assert line.endswith(" B  stored")
    assert not re.search(r"r-\d|0\.71|a\.b\.c", line)


def test_several_candidates_are_counted() -> None:
    assert ", 2 candidates " in line_of(lead().model_copy(update={"candidates": lead().candidates * 2}))


def test_a_tombstone_says_why_the_body_is_gone() -> None:
    given = message(raw(EventClass.HEALTH, b""), 1, tombstone=Tombstone.SHED)
    assert "body gone: shed" in event_line(read_key(given), given, {}, "stored")


def test_an_event_of_unknown_content_is_still_a_line() -> None:
    given = message(raw(EventClass.AUDIT), 1)
    assert event_line(read_key(given), given, {}, "INVALID: no schema").endswith("2 B  INVALID: no schema")


def state(status: str, **sensors: str) -> dict[str, Any]:
    return {"status": status, "sensors": {name: {"state": each} for name, each in sensors.items()}}


def test_a_state_is_a_line_only_when_it_changes() -> None:
    lines = StateLines()
    assert lines.line("k1", state("online", left="ready")).endswith("k1 online (left ready)")
    assert lines.line("k1", state("online", left="ready")) == ""
    assert lines.line("k2", state("online")).endswith("k2 online")
    assert lines.line("k1", state("degraded", left="fault")).endswith("k1 degraded (left fault)")


def test_a_problem_is_a_line_too() -> None:
    assert re.fullmatch(CLOCK + r"problem    broker: refused", problem_line("broker", "refused"))


def test_the_state_of_a_last_will_is_a_line() -> None:
    assert StateLines().line("k1", {"status": "offline"}).endswith("k1 offline")


def test_signs_that_are_not_printable_are_replaced() -> None:
    assert printable("plain é") == "plain é"
    assert printable("a\x1b[2J\nb\ud800é") == "a\ufffd[2J\ufffdb\ufffdé"


def test_any_number_of_kiosks_takes_no_more_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulators.hub.console.MAX_KIOSKS", 3)
    lines = StateLines()
    for number in range(10):
        assert lines.line(f"k{number}", {"status": "offline"})
    assert len(lines._last) <= 3
