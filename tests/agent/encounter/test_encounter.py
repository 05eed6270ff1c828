"""The path from a sample to an event, with a scripted sensor, real stores and the real encoder."""

import json
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pytest_mock import MockerFixture

from agent.clock import SystemClock
from agent.config import AgreementConfig, Config, parse
from agent.encounter import station as station_module
from agent.encounter.announcements import Announcement, Decided, StepDone, TravellerMessage
from agent.encounter.enrolment import EnrolmentRequest, Seal
from agent.encounter.lane import JobContext, Lane, Stores
from agent.encounter.station import Station
from agent.errors import ControlError, StoreError
from agent.events.event import Category, EventClass, Outcome, ReasonCode, StoredEvent
from agent.hub.outbox import Outbox
from agent.watchlist.reference import Reference, ReferenceInfo
from agent.watchlist.watchlist import Watchlist
from drivers.errors import CaptureRetry, LinkLost, ProtocolError, Retry
from drivers.sample import Modality, Position
from models.template import Template
from tests.conftest import finger_encoder, template_of, touch
from tests.rigs.scripted_sensor import ScriptedSensor

LISTED, UNLISTED = 101, 102
BLANK = np.full((288, 256), 240, np.uint8)
SOON = 20.0

CONFIG = """
[kiosk]
site = "s"
name = "k"
state_dir = "{folder}"
[sensors.one]
driver = "ef01"
url = "serial:/dev/null"
[sensors.two]
driver = "ef01"
url = "serial:/dev/null"
[plan]
steps = [{steps}]
step_timeout_s = {step_timeout_s}
[local_list]
enabled = {local_list}
[agreements.partner]
provider = "partner"
purpose = "identification of returnees"
legal_basis = "agreement 1"
recipients = ["hub"]
keep_s = 3600
[agreements.elsewhere]
provider = "partner"
purpose = "p"
legal_basis = "l"
recipients = ["another-hub"]
keep_s = 3600
"""
ONE_FINGER = '{ sensor = "one", position = "right_index" }'
TWO_FINGERS = ONE_FINGER + ', { sensor = "one", position = "right_thumb" }'
TWO_SENSORS = ONE_FINGER + ', { sensor = "two", position = "right_thumb" }'


@dataclass
class Kiosk:
    """A lane with its stations, and what was said."""

    config: Config
    lane: Lane
    one: ScriptedSensor
    two: ScriptedSensor
    stations: dict[str, Station]
    heard: "queue.SimpleQueue[Announcement]" = field(default_factory=queue.SimpleQueue)
    crashes: "queue.SimpleQueue[tuple[str, BaseException]]" = field(default_factory=queue.SimpleQueue)
    on_announce: Callable[[Announcement], None] = lambda _: None

    def announce(self, announcement: Announcement) -> None:
        self.on_announce(announcement)
        self.heard.put(announcement)

    def until_decided(self) -> tuple[Decided, list[Announcement]]:
        """The next decision and all that was said before it."""
        said: list[Announcement] = []
        while not isinstance(announcement := self.heard.get(timeout=SOON), Decided):
            said.append(announcement)
        return announcement, said

    def events(self) -> list[StoredEvent]:
        with Outbox(self.config.kiosk.state_dir / "outbox.db", "k") as outbox:
            return [stored for event_class in EventClass for stored in outbox.pending(event_class, 1000)]

    def ask(self, work: Callable[[JobContext], Any]) -> Any:  # noqa: ANN401 - what work returns
        return self.lane.submit(work).result(timeout=SOON)

    def enlist(self, seed: int, agreement: AgreementConfig | None = None, category: Category = Category.WANTED) -> None:
        reference = Reference(
            f"r{seed}",
            "partner",
            category,
            SystemClock().now() + timedelta(hours=1),
            tuple((p, template_of(seed, 0, p)) for p in (Position.RIGHT_INDEX, Position.RIGHT_THUMB)),
        )
        self.ask(lambda context: context.watchlist.add(reference, agreement or self.config.agreements["partner"]))

    def attend(self, *, attended: bool) -> None:
        """Wait for travellers, or do only what is asked for."""
        self.lane.attended = attended
        self.ask(lambda _: None)  # the lane has looked once more
        if attended:
            self.lane.interrupt()

    def stop(self) -> None:
        assert self.lane.stop()
        assert all(station.stop() for station in self.stations.values())


Make = Callable[..., Kiosk]


@pytest.fixture(name="make")
def _make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    monkeypatch.setattr(station_module, "BACKOFF_S", {LinkLost: (0.01, 0.02), ProtocolError: (0.01, 0.02)})
    made: list[Kiosk] = []

    def make(
        steps: str = ONE_FINGER,
        *,
        step_timeout_s: float = SOON,
        local_list: bool = True,
        seal: Seal | None = None,
        policy: str = "",
    ) -> Kiosk:
        text = CONFIG.format(
            folder=tmp_path, steps=steps, step_timeout_s=step_timeout_s, local_list=str(local_list).lower()
        )
        config = parse(f"{text}\n[policy]\n{policy}", "test")
        kiosk: Kiosk
        one, two = ScriptedSensor(), ScriptedSensor()
        stations = {
            name: Station(name, "scripted", sensor, lambda *_: None, lambda *crash: kiosk.crashes.put(crash))
            for name, sensor in (("one", one), ("two", two))
        }
        lane = Lane(
            config,
            stations=stations,
            encoders={Modality.FINGER: finger_encoder()},
            stores=Stores(
                lambda: Watchlist(tmp_path / "watchlist.db", SystemClock()),
                lambda: Outbox(tmp_path / "outbox.db", "k"),
            ),
            seal=seal,
            announce=lambda announcement: kiosk.announce(announcement),  # noqa: PLW0108 - kiosk is made below
            clock=SystemClock(),
            on_crash=lambda *crash: kiosk.crashes.put(crash),
        )
        kiosk = Kiosk(config, lane, one, two, stations)
        made.append(kiosk)
        for worker in (*stations.values(), lane):
            worker.start()
        return kiosk

    yield make
    for kiosk in made:
        kiosk.stop()


def told(said: list[Announcement]) -> list[str]:
    return [a.key for a in said if isinstance(a, TravellerMessage)]


def body(stored: StoredEvent) -> dict[str, Any]:
    content = json.loads(stored.event.body)
    assert isinstance(content, dict)
    return content


def test_a_listed_finger_becomes_a_lead(make: Make) -> None:
    kiosk = make()
    kiosk.enlist(LISTED)
    kiosk.one.play(touch(LISTED, 1))
    decided, said = kiosk.until_decided()
    assert (decided.outcome, decided.reason.code) == (Outcome.LEAD, ReasonCode.CANDIDATE_ABOVE_THRESHOLD)
    assert told(said) == ["working", "go_to_officer"]
    (stored,) = kiosk.events()
    lead = body(stored)
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
    kiosk.enlist(LISTED)
    kiosk.one.play(touch(UNLISTED, 1))
    decided, said = kiosk.until_decided()
    assert decided.outcome is Outcome.CLEAR
    assert told(said) == ["working", "proceed"]
    (stored,) = kiosk.events()
    assert stored.event.event_class is EventClass.ENCOUNTER
    text = stored.event.body.decode()
    for word in ("r101", "score", "rate", "candidates", "template"):
        assert f'"{word}' not in text
    probe = template_of(UNLISTED, 1).data
    assert not any(probe in path.read_bytes() for path in kiosk.config.kiosk.state_dir.iterdir())


def test_the_event_is_durable_before_anybody_is_told(make: Make) -> None:
    kiosk = make()
    kiosk.enlist(LISTED)
    waiting: list[int] = []

    def look(announcement: Announcement) -> None:
        if isinstance(announcement, TravellerMessage) and announcement.key in ("proceed", "go_to_officer"):
            waiting.append(len(kiosk.events()))

    kiosk.on_announce = look
    kiosk.one.play(touch(LISTED, 1))
    kiosk.until_decided()
    assert waiting == [1]


def test_a_protective_entry_goes_to_protection_staff(make: Make) -> None:
    kiosk = make()
    kiosk.enlist(LISTED, category=Category.MISSING)
    kiosk.one.play(touch(LISTED, 1))
    _, said = kiosk.until_decided()
    assert told(said)[-1] == "go_to_officer"
    assert body(kiosk.events()[0])["candidates"][0]["handling"] == "protection"


def test_a_lead_and_a_referral_read_the_same_to_the_traveller(make: Make) -> None:
    kiosk = make()
    kiosk.enlist(LISTED)
    kiosk.one.play(touch(LISTED, 1))
    _, lead = kiosk.until_decided()
    kiosk.one.play(BLANK, BLANK, BLANK)
    _, refer = kiosk.until_decided()
    assert told(lead)[-1] == told(refer)[-1]


def test_what_a_recipient_may_not_have_is_withheld_from_it(make: Make) -> None:
    kiosk = make()
    kiosk.enlist(LISTED, kiosk.config.agreements["elsewhere"])
    kiosk.one.play(touch(LISTED, 1))
    assert kiosk.until_decided()[0].outcome is Outcome.LEAD
    lead = body(kiosk.events()[0])
    assert (lead["candidates"], lead["withheld"]) == ([], 1)
    text = kiosk.events()[0].event.body.decode()
    for word in ("r101", "rate", "score"):
        assert f'"{word}' not in text


def test_the_answer_to_identify_withholds_the_same(make: Make) -> None:
    kiosk = make()
    kiosk.attend(attended=False)
    kiosk.enlist(LISTED, kiosk.config.agreements["elsewhere"])
    asked: Future[Any] = kiosk.lane.submit(lambda context: context.encounter(None))
    kiosk.one.play(touch(LISTED, 1))
    decision, shown = asked.result(timeout=SOON)
    assert (decision.outcome, shown) == (Outcome.LEAD, ())


def test_an_unreadable_finger_is_asked_for_again_and_then_referred(make: Make) -> None:
    kiosk = make()
    kiosk.enlist(LISTED)
    kiosk.one.play(BLANK, CaptureRetry(Retry.MOVED), BLANK)
    decided, said = kiosk.until_decided()
    assert (decided.outcome, decided.reason.code) == (Outcome.REFER, ReasonCode.FAILURE_TO_CAPTURE)
    assert decided.reason.missing == (Position.RIGHT_INDEX,)
    steps = [a for a in said if isinstance(a, StepDone)]
    assert [(s.attempt, s.usable) for s in steps] == [(1, False), (2, False), (3, False)]
    assert len(kiosk.events()) == 1


def test_a_second_try_that_is_good_is_searched(make: Make) -> None:
    kiosk = make()
    kiosk.enlist(LISTED)
    kiosk.one.play(BLANK, touch(LISTED, 1))
    decided, said = kiosk.until_decided()
    assert decided.outcome is Outcome.LEAD
    assert "empty" in told(said)


# Stricter than any score can reach, and then a wide belt below it in which only a better sample would tell.
UNCERTAIN = "max_false_positive_identification_rate = 1e-9\nuncertain_factor = 1e6\ngood_quality = 100"


def test_an_uncertain_candidate_is_captured_again_and_then_referred(make: Make) -> None:
    kiosk = make(policy=UNCERTAIN)
    kiosk.enlist(LISTED)
    kiosk.one.play(touch(LISTED, 1), touch(LISTED, 2), touch(LISTED, 3))
    decided, said = kiosk.until_decided()
    assert (decided.outcome, decided.reason.code) == (Outcome.REFER, ReasonCode.CANDIDATE_UNCERTAIN)
    assert told(said) == ["working", "moved", "working", "moved", "working", "go_to_officer"]
    assert len(kiosk.events()) == 1
    assert body(kiosk.events()[0])["attempts"] == 3


def test_who_leaves_when_asked_again_is_decided_on_what_there_is(make: Make) -> None:
    kiosk = make(policy=UNCERTAIN, step_timeout_s=0.1)
    kiosk.enlist(LISTED)
    kiosk.one.play(touch(LISTED, 1))
    assert kiosk.until_decided()[0].reason.code is ReasonCode.CANDIDATE_UNCERTAIN
    assert len(kiosk.events()) == 1


def test_a_list_that_has_become_empty_clears_nobody(make: Make) -> None:
    kiosk = make()
    kiosk.enlist(LISTED)
    kiosk.ask(lambda context: context.watchlist.remove([f"r{LISTED}"]))
    kiosk.one.play(touch(UNLISTED, 1))
    assert kiosk.until_decided()[0].reason.code is ReasonCode.LIST_UNAVAILABLE


def test_without_any_list_nobody_is_cleared(make: Make) -> None:
    kiosk = make()
    kiosk.one.play(touch(UNLISTED, 1))
    assert kiosk.until_decided()[0].reason.code is ReasonCode.LIST_UNAVAILABLE


def test_a_finger_left_on_after_a_poor_sample_is_told_to_lift_and_waited_for(make: Make) -> None:
    kiosk = make()
    kiosk.enlist(LISTED)
    lift = CaptureRetry(Retry.LIFT_FINGER)
    kiosk.one.play(BLANK, lift, lift, touch(LISTED, 1))
    decided, said = kiosk.until_decided()
    assert decided.outcome is Outcome.LEAD
    assert told(said).count("lift_finger") == 1


def test_a_finger_that_is_never_lifted_ends_with_the_step(make: Make) -> None:
    kiosk = make(step_timeout_s=0.2)
    kiosk.enlist(LISTED)
    kiosk.one.play(BLANK, *(CaptureRetry(Retry.LIFT_FINGER) for _ in range(100_000)))
    assert kiosk.until_decided()[0].reason.code is ReasonCode.ABANDONED


def test_who_leaves_in_the_middle_is_referred_with_one_event(make: Make) -> None:
    kiosk = make(TWO_FINGERS, step_timeout_s=0.1)
    kiosk.enlist(LISTED)
    kiosk.one.play(touch(UNLISTED, 1))
    decided, said = kiosk.until_decided()
    assert (decided.outcome, decided.reason.code) == (Outcome.REFER, ReasonCode.ABANDONED)
    assert "present" in told(said)
    assert len(kiosk.events()) == 1


def test_two_fingers_of_one_plan_are_searched_together(make: Make) -> None:
    kiosk = make(TWO_FINGERS)
    kiosk.enlist(LISTED)
    kiosk.one.play(touch(LISTED, 1), touch(LISTED, 1, Position.RIGHT_THUMB))
    assert kiosk.until_decided()[0].outcome is Outcome.LEAD
    assert set(body(kiosk.events()[0])["candidates"][0]["scores"]) == {"right_index", "right_thumb"}


def test_a_finger_is_searched_for_while_the_next_is_awaited(make: Make, mocker: MockerFixture) -> None:
    kiosk = make(TWO_FINGERS)
    kiosk.enlist(LISTED)
    asked: list[Position] = []

    def presearch(_: Watchlist, position: Position, __: Template) -> None:
        if not asked:
            kiosk.one.play(touch(LISTED, 1, Position.RIGHT_THUMB))  # comes only now
        asked.append(position)

    mocker.patch.object(Watchlist, "presearch", autospec=True, side_effect=presearch)
    kiosk.one.play(touch(LISTED, 1))
    assert kiosk.until_decided()[0].outcome is Outcome.LEAD
    assert set(asked) == {Position.RIGHT_INDEX}


def test_one_finger_shown_as_two_is_asked_for_again(make: Make) -> None:
    kiosk = make(TWO_FINGERS)
    kiosk.enlist(LISTED)
    kiosk.one.play(touch(LISTED, 1), touch(LISTED, 2), touch(LISTED, 1, Position.RIGHT_THUMB))
    decided, said = kiosk.until_decided()
    assert decided.outcome is Outcome.LEAD
    steps = [(a.position, a.usable, a.reason) for a in said if isinstance(a, StepDone)]
    assert [usable for _, usable, _ in steps] == [True, False, True]
    assert steps[1][2] == "same_again"
    assert "That finger has already been read. Please use your right thumb now." in [
        a.text for a in said if isinstance(a, TravellerMessage)
    ]


def test_one_finger_shown_as_two_at_every_attempt_is_a_failure_to_capture(make: Make) -> None:
    kiosk = make(TWO_FINGERS)
    kiosk.enlist(LISTED)
    kiosk.one.play(*[touch(LISTED, number) for number in range(4)])
    decided, _ = kiosk.until_decided()
    assert decided.reason.missing == (Position.RIGHT_THUMB,)
    assert body(kiosk.events()[0])["attempts"] == 4


def test_two_sensors_work_side_by_side(make: Make) -> None:
    kiosk = make(TWO_SENSORS)
    kiosk.enlist(LISTED)
    kiosk.two.play(touch(LISTED, 1, Position.RIGHT_THUMB))  # waits there before the first finger comes
    kiosk.one.play(touch(LISTED, 1))
    assert kiosk.until_decided()[0].outcome is Outcome.LEAD


def test_a_sensor_that_comes_back_in_time_costs_nothing(make: Make) -> None:
    kiosk = make(TWO_FINGERS)
    kiosk.enlist(LISTED)
    kiosk.one.play(touch(LISTED, 1), LinkLost("unplugged"), touch(LISTED, 1, Position.RIGHT_THUMB))
    assert kiosk.until_decided()[0].outcome is Outcome.LEAD
    assert kiosk.one.opened == 2


def test_a_sensor_that_stays_away_is_named_as_the_reason(make: Make) -> None:
    kiosk = make(TWO_SENSORS, step_timeout_s=0.2)
    kiosk.enlist(LISTED)
    kiosk.two.play(*[LinkLost("unplugged")] * 1000)
    kiosk.one.play(touch(UNLISTED, 1))
    decided, _ = kiosk.until_decided()
    assert (decided.outcome, decided.reason.code) == (Outcome.REFER, ReasonCode.SENSOR_UNAVAILABLE)


def test_a_finger_that_is_not_lifted_starts_no_encounter(make: Make) -> None:
    kiosk = make()
    kiosk.enlist(LISTED)
    kiosk.one.play(CaptureRetry(Retry.LIFT_FINGER), touch(UNLISTED, 1))
    decided, said = kiosk.until_decided()
    assert decided.outcome is Outcome.CLEAR
    assert told(said)[0] == "lift_finger"
    assert len(kiosk.events()) == 1


def test_stopping_in_the_middle_refers_the_traveller_and_leaves_one_event(make: Make) -> None:
    kiosk = make(TWO_FINGERS)
    kiosk.enlist(LISTED)
    asked = threading.Event()
    kiosk.on_announce = lambda a: asked.set() if isinstance(a, TravellerMessage) and a.key == "present" else None
    kiosk.one.play(touch(UNLISTED, 1))
    assert asked.wait(SOON)
    assert kiosk.lane.stop()
    decided, _ = kiosk.until_decided()
    assert decided.reason.code is ReasonCode.ABANDONED
    assert len(kiosk.events()) == 1


def test_a_store_that_cannot_be_written_sends_the_traveller_to_an_officer_and_ends_the_lane(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    kiosk = make()
    kiosk.enlist(LISTED)

    def full(*_: object) -> None:
        raise StoreError("outbox.db: the disk is full: free some space")

    monkeypatch.setattr(Outbox, "put", full)
    kiosk.one.play(touch(UNLISTED, 1))
    name, error = kiosk.crashes.get(timeout=SOON)
    assert (name, str(error)) == ("lane", "outbox.db: the disk is full: free some space")
    said = []
    while not kiosk.heard.empty():
        said.append(kiosk.heard.get())
    assert told(said)[-1] == "go_to_officer"
    assert not any(isinstance(a, Decided) for a in said)


def enrol(kiosk: Kiosk, *positions: Position, **request: Any) -> Any:  # noqa: ANN401 - fields of EnrolmentRequest
    wanted = EnrolmentRequest(positions or (Position.RIGHT_INDEX,), **request)
    return kiosk.ask(lambda context: context.enroller.run(wanted, context.new_collector()))


def test_an_enrolment_into_the_local_list_is_found_at_once(make: Make) -> None:
    kiosk = make()
    kiosk.attend(attended=False)
    kiosk.one.play(touch(LISTED, 0), BLANK, touch(LISTED, 2))
    made = enrol(kiosk, samples=2, into_local_list=True)
    assert (made.agreement, made.searchable_here) == ("local-test", True)
    kiosk.attend(attended=True)
    kiosk.one.play(touch(LISTED, 1))
    assert kiosk.until_decided()[0].outcome is Outcome.LEAD
    assert [s.event.event_class for s in kiosk.events()] == [EventClass.LEAD, EventClass.ENROLMENT]


def test_one_finger_is_not_enrolled_as_two(make: Make) -> None:
    kiosk = make()
    kiosk.attend(attended=False)
    kiosk.one.play(touch(LISTED, 0), touch(LISTED, 1), touch(LISTED, 0, Position.RIGHT_THUMB))
    made = enrol(kiosk, Position.RIGHT_INDEX, Position.RIGHT_THUMB, samples=1, into_local_list=True)
    assert set(made.quality) == {Position.RIGHT_INDEX, Position.RIGHT_THUMB}
    said = []
    while not kiosk.heard.empty():
        said.append(kiosk.heard.get())
    assert "same_again" in told(said)


def test_an_enrolment_under_an_agreement_goes_to_the_hub_sealed_and_is_not_searched(make: Make) -> None:
    sealed: list[bytes] = []

    def seal(plaintext: bytes) -> str:
        sealed.append(plaintext)
        return "sealed"

    kiosk = make(seal=seal)
    kiosk.attend(attended=False)
    kiosk.one.play(touch(LISTED, 0))
    made = enrol(kiosk, samples=1, agreement="partner", category=Category.MISSING)
    assert (made.searchable_here, made.sealed) == (False, "sealed")
    assert (made.agreement, made.provider, made.legal_basis, made.recipients) == (
        "partner", "partner", "agreement 1", ("hub",)
    )  # fmt: skip
    assert json.loads(sealed[0])["templates"][0]["position"] == "right_index"
    assert kiosk.ask(lambda context: context.watchlist.references()) == ()


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
    kiosk.attend(attended=False)
    kiosk.one.play(touch(LISTED, 0), touch(UNLISTED, 0))
    with pytest.raises(ControlError, match="not of the same finger"):
        enrol(kiosk, samples=2, into_local_list=True)
    assert kiosk.ask(lambda context: context.watchlist.references()) == ()
    assert kiosk.events() == []


def test_a_finger_that_cannot_be_enrolled_is_an_outcome_in_words(make: Make) -> None:
    kiosk = make()
    kiosk.attend(attended=False)
    kiosk.one.play(BLANK, BLANK, BLANK)
    with pytest.raises(ControlError, match="failure to enrol"):
        enrol(kiosk, samples=1, into_local_list=True)
    assert kiosk.events() == []


def test_identify_runs_the_same_path_and_shows_candidates(make: Make) -> None:
    kiosk = make()
    kiosk.enlist(LISTED)
    kiosk.attend(attended=False)
    asked: Future[Any] = kiosk.lane.submit(lambda context: context.encounter(None))
    kiosk.one.play(touch(LISTED, 1))
    assert [c.reference_id for c in asked.result(timeout=SOON)[1]] == ["r101"]
    assert len(kiosk.events()) == 1
    assert kiosk.lane.encounters == 1


def test_an_enrolment_that_nobody_waits_for_enrols_nobody(make: Make) -> None:
    kiosk = make()
    kiosk.attend(attended=False)
    prompted = threading.Event()
    kiosk.on_announce = lambda a: prompted.set() if isinstance(a, TravellerMessage) and a.key == "present" else None
    wanted = EnrolmentRequest((Position.RIGHT_INDEX,), samples=1, into_local_list=True)
    asked: Future[Any] = kiosk.lane.submit(lambda context: context.enroller.run(wanted, context.new_collector()))
    assert prompted.wait(SOON)
    kiosk.lane.withdraw(asked)
    with pytest.raises(ControlError, match="failure to enrol"):
        asked.result(timeout=SOON)
    kiosk.one.play(touch(UNLISTED, 0))  # whoever comes next
    assert kiosk.ask(lambda context: context.watchlist.references()) == ()
    assert kiosk.events() == []


def test_a_job_that_is_withdrawn_before_its_turn_is_never_done(make: Make) -> None:
    kiosk = make()
    begun, go_on = threading.Event(), threading.Event()

    def wait(_: JobContext) -> None:
        begun.set()
        go_on.wait(SOON)

    first: Future[Any] = kiosk.lane.submit(wait)
    assert begun.wait(SOON)
    done: list[int] = []
    second: Future[Any] = kiosk.lane.submit(lambda _: done.append(1))
    kiosk.lane.withdraw(second)
    go_on.set()
    first.result(timeout=SOON)
    kiosk.ask(lambda _: None)
    assert second.cancelled()
    assert done == []


def test_a_lane_that_has_ended_refuses_jobs(make: Make) -> None:
    kiosk = make()
    assert kiosk.lane.stop()
    with pytest.raises(ControlError, match="being stopped"):
        kiosk.ask(lambda _: None)


def test_a_local_list_that_was_switched_off_is_gone(make: Make) -> None:
    kiosk = make()
    kiosk.attend(attended=False)
    kiosk.one.play(touch(LISTED, 0))
    enrol(kiosk, samples=1, into_local_list=True)
    kiosk.enlist(UNLISTED)
    kiosk.stop()
    assert {r.agreement for r in kiosk_list(kiosk)} == {"local-test", "partner"}
    again = make(local_list=False)
    assert [r.agreement for r in again.ask(lambda context: context.watchlist.references())] == ["partner"]


def kiosk_list(kiosk: Kiosk) -> Sequence[ReferenceInfo]:
    with closing(Watchlist(kiosk.config.kiosk.state_dir / "watchlist.db", SystemClock())) as watchlist:
        return watchlist.references()


def test_a_reference_is_searched_only_once_its_event_is_durable(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    kiosk = make()
    kiosk.attend(attended=False)

    def full(*_: object) -> None:
        raise StoreError("outbox.db: the disk is full: free some space")

    monkeypatch.setattr(Outbox, "put", full)
    kiosk.one.play(touch(LISTED, 0))
    with pytest.raises(StoreError, match="full"):
        enrol(kiosk, samples=1, into_local_list=True)
    assert kiosk.ask(lambda context: context.watchlist.references()) == ()
