"""An enrolment: several samples of the same finger, under an agreement, reported before it is searched."""

import json
from typing import Any

import pytest

from agent.errors import ControlError, StoreError
from agent.events.event import Category, EventClass, Outcome
from agent.hub.outbox import Outbox
from drivers.sample import Position
from tests.conftest import impression_of
from tests.rigs.lane_rig import BLANK, LISTED, UNLISTED, Make, drained, enrol, message_keys


def test_an_enrolment_into_the_local_list_is_found_immediately(make: Make) -> None:
    kiosk = make()
    kiosk.set_attended(attended=False)
    kiosk.one.play(impression_of(LISTED, 0), BLANK, impression_of(LISTED, 2))
    made = enrol(kiosk, samples=2, into_local_list=True)
    assert (made.agreement, made.searchable_here) == ("local-test", True)
    kiosk.set_attended(attended=True)
    kiosk.one.play(impression_of(LISTED, 1))
    assert kiosk.until_decided()[0].outcome is Outcome.LEAD
    assert [s.event.event_class for s in kiosk.events()] == [EventClass.LEAD, EventClass.ENROLMENT]


def test_one_finger_is_not_enrolled_as_two(make: Make) -> None:
    kiosk = make()
    kiosk.set_attended(attended=False)
    kiosk.one.play(impression_of(LISTED, 0), impression_of(LISTED, 1), impression_of(LISTED, 0, Position.RIGHT_THUMB))
    made = enrol(kiosk, Position.RIGHT_INDEX, Position.RIGHT_THUMB, samples=1, into_local_list=True)
    assert set(made.quality) == {Position.RIGHT_INDEX, Position.RIGHT_THUMB}
    announced = drained(kiosk)
    assert "same_again" in message_keys(announced)


def test_an_enrolment_under_an_agreement_goes_to_the_hub_sealed_and_is_not_searched(make: Make) -> None:
    sealed: list[bytes] = []

    def seal(plaintext: bytes) -> str:
        sealed.append(plaintext)
        return "sealed"

    kiosk = make(seal=seal)
    kiosk.set_attended(attended=False)
    kiosk.one.play(impression_of(LISTED, 0))
    made = enrol(kiosk, samples=1, agreement="partner", category=Category.MISSING)
    assert (made.searchable_here, made.sealed) == (False, "sealed")
    assert (made.agreement, made.provider, made.legal_basis, made.recipients) == (
        "partner", "partner", "agreement 1", ("hub",)
    )  # fmt: skip
    assert json.loads(sealed[0])["templates"][0]["position"] == "right_index"
    assert kiosk.run_job(lambda context: context.watchlist.references()) == ()


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no agreement": ({}, "needs an agreement.*elsewhere, partner"),
    "an agreement that is not there": ({"agreement": "x"}, "needs an agreement"),
    "a recipient that is not allowed": ({"agreement": "elsewhere"}, "does not allow the recipient hub"),
    "no key to seal it with": ({"agreement": "partner"}, "encryption_key is not configured"),
    "the local list under an agreement": (
        {"agreement": "partner", "into_local_list": True},
        "takes no other agreement",
    ),
    "the local list for somebody wanted": (
        {"category": Category.WANTED, "into_local_list": True},
        "no other category",
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_an_enrolment_without_grounds_is_refused_before_anything_is_captured(make: Make, why: str) -> None:
    request, message = REFUSED[why]
    kiosk = make()
    with pytest.raises(ControlError, match=message):
        enrol(kiosk, **request)
    assert kiosk.events() == []


def test_the_local_list_must_be_switched_on(make: Make) -> None:
    kiosk = make(local_list=False)
    with pytest.raises(ControlError, match=r"local_list\.enabled"):
        enrol(kiosk, into_local_list=True)


def test_two_different_fingers_make_no_reference(make: Make) -> None:
    kiosk = make()
    kiosk.set_attended(attended=False)
    kiosk.one.play(impression_of(LISTED, 0), impression_of(UNLISTED, 0))
    with pytest.raises(ControlError, match="not of the same finger"):
        enrol(kiosk, samples=2, into_local_list=True)
    assert kiosk.run_job(lambda context: context.watchlist.references()) == ()
    assert kiosk.events() == []


def test_a_failure_to_enrol_is_an_error_message(make: Make) -> None:
    kiosk = make()
    kiosk.set_attended(attended=False)
    kiosk.one.play(BLANK, BLANK, BLANK)
    with pytest.raises(ControlError, match="failure to enrol"):
        enrol(kiosk, samples=1, into_local_list=True)
    assert kiosk.events() == []


def test_a_reference_is_searched_only_once_its_event_is_durable(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    kiosk = make()
    kiosk.set_attended(attended=False)

    def full(*_: object) -> None:
        raise StoreError("outbox.db: the disk is full: free some space")

    monkeypatch.setattr(Outbox, "put", full)
    kiosk.one.play(impression_of(LISTED, 0))
    with pytest.raises(StoreError, match="full"):
        enrol(kiosk, samples=1, into_local_list=True)
    assert kiosk.run_job(lambda context: context.watchlist.references()) == ()


def test_a_reference_id_is_given_once(make: Make) -> None:
    kiosk = make()
    kiosk.add_reference(LISTED)
    with pytest.raises(ControlError, match="reference r101 is already on the list"):
        enrol(kiosk, reference_id="r101", into_local_list=True)


def test_an_eye_needs_a_sensor_in_the_plan_that_captures_eyes(make: Make) -> None:
    with pytest.raises(ControlError, match="no sensor in this kiosk's plan captures left_eye"):
        enrol(make(), Position.LEFT_EYE, into_local_list=True)
