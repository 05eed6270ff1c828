"""The published JSON Schemas are current, valid, and describe what the agent writes."""

import json
from importlib import resources
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from agent.events import schemagen
from agent.events.cloudevents import event_type
from agent.events.event import (
    PAYLOADS,
    AcknowledgementMessage,
    EventClass,
    KioskState,
    ListConfirmed,
    Payload,
    SensorState,
)
from tests.rigs.events import NOON, capture, encounter, enrolment, health, lead, list_report

STATE = KioskState(
    status="online",
    since=NOON,
    version="0.1.0",
    sensors={"right": SensorState(state="ready", driver="ef01", since=NOON)},
    watchlist=ListConfirmed(revision=3, confirmed_at=NOON),
    outbox_pending={EventClass.LEAD: 2},
)
ACKNOWLEDGEMENT = AcknowledgementMessage.model_validate({"epoch": "0" * 16, "class": "lead", "sequence": 3})
EXAMPLES: list[tuple[str, Payload]] = [
    *(
        (event_type(c), p)
        for c, p in zip(
            PAYLOADS, (lead(), enrolment("a.b"), encounter(), list_report(), capture(), health()), strict=True
        )
    ),
    ("kiosk.state.v1", STATE),
    ("kiosk.state.v1", KioskState(status="offline")),
    ("kiosk.state.v1", KioskState(status="online", watchlist=ListConfirmed(revision=0, confirmed_at=None))),
    ("kiosk.acknowledgement.v1", ACKNOWLEDGEMENT),
]


def published() -> dict[str, str]:
    folder = resources.files("agent") / "events" / "schemas"
    return {file.name: file.read_text("utf-8") for file in folder.iterdir()}


def schema(name: str) -> dict[str, Any]:
    content = json.loads(published()[f"{name}.json"])
    assert isinstance(content, dict)
    return content


def test_the_committed_schemas_are_what_the_generator_writes() -> None:
    assert published() == schemagen.texts(), "run: python -m agent.events.schemagen"


@pytest.mark.parametrize("name", sorted(published()))
def test_each_is_a_valid_schema_that_refuses_what_it_does_not_know(name: str) -> None:
    content = json.loads(published()[name])
    Draft202012Validator.check_schema(content)
    assert content["additionalProperties"] is False
    assert content["$id"].endswith(name.removesuffix(".json"))


@pytest.mark.parametrize(("name", "payload"), EXAMPLES)
def test_what_the_agent_writes_fits_its_schema(name: str, payload: BaseModel) -> None:
    content = json.loads(payload.model_dump_json(by_alias=True))
    assert list(Draft202012Validator(schema(name)).iter_errors(content)) == []


@pytest.mark.parametrize(("name", "payload"), EXAMPLES)
def test_a_key_more_or_less_does_not_fit(name: str, payload: BaseModel) -> None:
    content = json.loads(payload.model_dump_json(by_alias=True))
    validator = Draft202012Validator(schema(name))
    assert not validator.is_valid({**content, "surname": "x"})
    for key in content:
        less = {k: v for k, v in content.items() if k != key}
        assert not validator.is_valid(less) or key not in schema(name)["required"]


def test_an_encounter_that_carries_candidates_or_is_a_lead_does_not_fit() -> None:
    content = json.loads(encounter().model_dump_json())
    validator = Draft202012Validator(schema("kiosk.encounter.v1"))
    assert validator.is_valid(content)
    assert not validator.is_valid({**content, "candidates": []})
    assert not validator.is_valid({**content, "outcome": "lead"})


def test_writing_removes_what_is_published_no_more(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("schemas")
    (folder / "kiosk.old.v1.json").write_text("{}")
    schemagen.write(folder)
    assert {file.name for file in folder.iterdir()} == set(schemagen.texts())
