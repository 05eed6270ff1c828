"""The path from a sample to an event: the decision, its event, and what each of them may show."""

from concurrent.futures import Future
from typing import Any

from agent.encounter.announcements import Announcement, TravellerMessage
from agent.events.event import Category, EventClass, Outcome, ReasonCode
from drivers.sample import Position
from tests.conftest import impression_of, template_of
from tests.rigs.lane_rig import BLANK, LISTED, SOON, TWO_FINGERS, UNLISTED, Make, message_keys, payload_of


def test_a_listed_finger_becomes_a_lead(make: Make) -> None:
    kiosk = make()
    kiosk.add_reference(LISTED)
    kiosk.one.play(impression_of(LISTED, 1))
    decided, announced = kiosk.until_decided()
    assert (decided.outcome, decided.reason.code) == (Outcome.LEAD, ReasonCode.CANDIDATE_ABOVE_THRESHOLD)
    assert message_keys(announced) == ["working", "go_to_officer"]
    (stored,) = kiosk.events()
    lead = payload_of(stored)
    assert str(stored.key) == decided.event
    assert [(c["reference_id"], c["agreement"], c["handling"]) for c in lead["candidates"]] == [
        ("r101", "partner", "border_control")
    ]
    assert lead["presentation_attack_detection"] == "not tested"
    assert {"transfer.right_index", "assess.right_index", "encode.right_index", "search", "total"} <= set(
        lead["timings_ms"]
    )


def test_an_unlisted_finger_leaves_counts_only(make: Make) -> None:
    kiosk = make()
    kiosk.add_reference(LISTED)
    kiosk.one.play(impression_of(UNLISTED, 1))
    decided, announced = kiosk.until_decided()
    assert decided.outcome is Outcome.CLEAR
    assert message_keys(announced) == ["working", "proceed"]
    (stored,) = kiosk.events()
    assert stored.event.event_class is EventClass.ENCOUNTER
    text = stored.event.body.decode()
    for word in ("r101", "score", "rate", "candidates", "template"):
        assert f'"{word}' not in text
    probe = template_of(UNLISTED, 1).data
    assert not any(probe in path.read_bytes() for path in kiosk.config.kiosk.state_dir.iterdir())


def test_the_event_is_durable_before_anybody_is_told(make: Make) -> None:
    kiosk = make()
    kiosk.add_reference(LISTED)
    waiting: list[int] = []

    def look(announcement: Announcement) -> None:
        if isinstance(announcement, TravellerMessage) and announcement.key in ("proceed", "go_to_officer"):
            waiting.append(len(kiosk.events()))

    kiosk.on_announce = look
    kiosk.one.play(impression_of(LISTED, 1))
    kiosk.until_decided()
    assert waiting == [1]


def test_a_protective_entry_goes_to_protection_staff(make: Make) -> None:
    kiosk = make()
    kiosk.add_reference(LISTED, category=Category.MISSING)
    kiosk.one.play(impression_of(LISTED, 1))
    _, announced = kiosk.until_decided()
    assert message_keys(announced)[-1] == "go_to_officer"
    assert payload_of(kiosk.events()[0])["candidates"][0]["handling"] == "protection"


def test_a_lead_and_a_referral_have_the_same_message_for_the_traveller(make: Make) -> None:
    kiosk = make()
    kiosk.add_reference(LISTED)
    kiosk.one.play(impression_of(LISTED, 1))
    _, lead = kiosk.until_decided()
    kiosk.one.play(BLANK, BLANK, BLANK)
    _, refer = kiosk.until_decided()
    assert message_keys(lead)[-1] == message_keys(refer)[-1]


def test_a_candidate_that_the_recipient_may_not_receive_is_withheld(make: Make) -> None:
    kiosk = make()
    kiosk.add_reference(LISTED, kiosk.config.agreements["elsewhere"])
    kiosk.one.play(impression_of(LISTED, 1))
    assert kiosk.until_decided()[0].outcome is Outcome.LEAD
    lead = payload_of(kiosk.events()[0])
    assert (lead["candidates"], lead["withheld"]) == ([], 1)
    text = kiosk.events()[0].event.body.decode()
    for word in ("r101", "rate", "score"):
        assert f'"{word}' not in text


def test_the_answer_to_identify_withholds_the_same(make: Make) -> None:
    kiosk = make()
    kiosk.set_attended(attended=False)
    kiosk.add_reference(LISTED, kiosk.config.agreements["elsewhere"])
    asked: Future[Any] = kiosk.lane.submit(lambda context: context.encounter(None))
    kiosk.one.play(impression_of(LISTED, 1))
    decision, shown = asked.result(timeout=SOON)
    assert (decision.outcome, shown) == (Outcome.LEAD, ())


# A threshold that no score can reach, and below it a wide range in which only a better sample could decide.
UNCERTAIN = "max_false_positive_identification_rate = 1e-9\nuncertain_factor = 1e6\ngood_quality = 100"


def test_an_uncertain_candidate_is_captured_again_and_then_referred(make: Make) -> None:
    kiosk = make(policy=UNCERTAIN)
    kiosk.add_reference(LISTED)
    kiosk.one.play(impression_of(LISTED, 1), impression_of(LISTED, 2), impression_of(LISTED, 3))
    decided, announced = kiosk.until_decided()
    assert (decided.outcome, decided.reason.code) == (Outcome.REFER, ReasonCode.CANDIDATE_UNCERTAIN)
    assert message_keys(announced) == ["working", "moved", "working", "moved", "working", "go_to_officer"]
    assert len(kiosk.events()) == 1
    assert payload_of(kiosk.events()[0])["attempts"] == 3


def test_a_traveller_who_leaves_before_a_recapture_is_decided_on_the_first_sample(make: Make) -> None:
    kiosk = make(policy=UNCERTAIN, step_timeout_s=0.1)
    kiosk.add_reference(LISTED)
    kiosk.one.play(impression_of(LISTED, 1))
    assert kiosk.until_decided()[0].reason.code is ReasonCode.CANDIDATE_UNCERTAIN
    assert len(kiosk.events()) == 1


def test_a_list_that_has_become_empty_clears_nobody(make: Make) -> None:
    kiosk = make()
    kiosk.add_reference(LISTED)
    kiosk.run_job(lambda context: context.watchlist.remove([f"r{LISTED}"]))
    kiosk.one.play(impression_of(UNLISTED, 1))
    assert kiosk.until_decided()[0].reason.code is ReasonCode.LIST_UNAVAILABLE


def test_without_any_list_nobody_is_cleared(make: Make) -> None:
    kiosk = make()
    kiosk.one.play(impression_of(UNLISTED, 1))
    assert kiosk.until_decided()[0].reason.code is ReasonCode.LIST_UNAVAILABLE


def test_a_traveller_who_leaves_early_is_referred_with_one_event(make: Make) -> None:
    kiosk = make(TWO_FINGERS, step_timeout_s=0.1)
    kiosk.add_reference(LISTED)
    kiosk.one.play(impression_of(UNLISTED, 1))
    decided, announced = kiosk.until_decided()
    assert (decided.outcome, decided.reason.code) == (Outcome.REFER, ReasonCode.ABANDONED)
    assert "present" in message_keys(announced)
    assert len(kiosk.events()) == 1


def test_two_fingers_of_one_plan_are_searched_together(make: Make) -> None:
    kiosk = make(TWO_FINGERS)
    kiosk.add_reference(LISTED)
    kiosk.one.play(impression_of(LISTED, 1), impression_of(LISTED, 1, Position.RIGHT_THUMB))
    assert kiosk.until_decided()[0].outcome is Outcome.LEAD
    assert set(payload_of(kiosk.events()[0])["candidates"][0]["scores"]) == {"right_index", "right_thumb"}
