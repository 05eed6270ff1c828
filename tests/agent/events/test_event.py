"""Events and their payloads: what they refuse, and what no representation or error of theirs quotes."""

import pytest
from pydantic import ValidationError

from agent.events.event import PAYLOADS, PROTECTIVE, Category, Encounter, EventClass, EventKey, Outcome, Payload
from tests.rigs.events import NOON, encounter, enrolment, event, health, lead


@pytest.mark.parametrize(
    ("payload", "event_class"),
    [
        (lead(), EventClass.LEAD),
        (enrolment(), EventClass.ENROLMENT),
        (encounter(), EventClass.ENCOUNTER),
        (health(), EventClass.HEALTH),
    ],
)
def test_an_event_has_the_class_of_its_payload_and_its_json(payload: Payload, event_class: EventClass) -> None:
    made = event(payload, "e-1")
    assert (made.event_class, made.subject, made.time) == (event_class, "e-1", NOON)
    assert PAYLOADS[event_class].model_validate_json(made.body) == payload


def test_an_event_is_represented_without_its_body() -> None:
    made = event(lead(), "e-1")
    assert repr(made) == f"<Event lead e-1 {len(made.body)} bytes>"


def test_the_id_of_an_event_names_kiosk_epoch_class_and_sequence() -> None:
    assert str(EventKey("k1", "0" * 16, EventClass.LEAD, 3)) == "k1/0000000000000000/lead/3"


def test_the_categories_that_protect_a_person() -> None:
    assert {category for category in Category if category.protective} == PROTECTIVE
    assert not Category.WANTED.protective


def test_a_payload_refuses_a_key_that_it_does_not_know_and_does_not_quote_it() -> None:
    content = health().model_dump() | {"surname": "Doe"}
    with pytest.raises(ValidationError, match="surname") as refused:
        type(health()).model_validate(content)
    assert "Doe" not in str(refused.value)


def test_a_payload_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        health().component = "another"


def test_an_encounter_event_is_never_a_lead() -> None:
    with pytest.raises(ValidationError, match="outcome"):
        Encounter.model_validate(encounter().model_dump() | {"outcome": Outcome.LEAD})
