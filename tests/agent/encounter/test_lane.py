"""The lane serves one traveller or one job at a time, and answers everybody even when it is stopped."""

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest

from agent.clock import SystemClock
from agent.config import Step
from agent.encounter import lane as lane_module
from agent.encounter.announcements import Decided, TravellerMessage
from agent.encounter.enrolment import EnrolmentRequest
from agent.encounter.lane import JobContext
from agent.encounter.station import Station
from agent.errors import ControlError, StoreError
from agent.events.event import Category, Outcome, ReasonCode
from agent.hub.outbox import Outbox
from agent.watchlist.reference import Reference, ReferenceInfo
from agent.watchlist.watchlist import Watchlist
from drivers.errors import CaptureRetry, Retry
from drivers.sample import Position, Sample
from simulators.polling import wait_until
from tests.conftest import impression_of, template_of
from tests.rigs.lane_rig import LISTED, SOON, TWO_FINGERS, UNLISTED, LaneRig, Make, drained, enrol, message_keys
from tests.rigs.store_key import TEST_KEY


def test_a_finger_that_is_not_lifted_starts_no_encounter(make: Make) -> None:
    kiosk = make()
    kiosk.add_reference(LISTED)
    kiosk.one.play(CaptureRetry(Retry.LIFT_FINGER), impression_of(UNLISTED, 1))
    decided, announced = kiosk.until_decided()
    assert decided.outcome is Outcome.CLEAR
    assert message_keys(announced)[0] == "lift_finger"
    assert len(kiosk.events()) == 1


def test_stopping_in_the_middle_refers_the_traveller_and_leaves_one_event(make: Make) -> None:
    kiosk = make(TWO_FINGERS)
    kiosk.add_reference(LISTED)
    asked = threading.Event()
    kiosk.on_announce = lambda a: asked.set() if isinstance(a, TravellerMessage) and a.key == "present" else None
    kiosk.one.play(impression_of(UNLISTED, 1))
    assert asked.wait(SOON)
    assert kiosk.lane.stop()
    decided, _ = kiosk.until_decided()
    assert decided.reason.code is ReasonCode.ABANDONED
    assert len(kiosk.events()) == 1


def test_a_store_that_cannot_be_written_sends_the_traveller_to_an_officer_and_ends_the_lane(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    kiosk = make()
    kiosk.add_reference(LISTED)

    def full(*_: object) -> None:
        raise StoreError("outbox.db: the disk is full: free some space")

    monkeypatch.setattr(Outbox, "put", full)
    kiosk.one.play(impression_of(UNLISTED, 1))
    name, error = kiosk.crashes.get(timeout=SOON)
    assert (name, str(error)) == ("lane", "outbox.db: the disk is full: free some space")
    announced = drained(kiosk)
    assert message_keys(announced)[-1] == "go_to_officer"
    assert not any(isinstance(a, Decided) for a in announced)


def test_identify_runs_the_same_path_and_shows_candidates(make: Make) -> None:
    kiosk = make()
    kiosk.add_reference(LISTED)
    kiosk.set_attended(attended=False)
    asked: Future[Any] = kiosk.lane.submit(lambda context: context.encounter(None))
    kiosk.one.play(impression_of(LISTED, 1))
    assert [c.reference_id for c in asked.result(timeout=SOON)[1]] == ["r101"]
    assert len(kiosk.events()) == 1
    assert kiosk.lane.encounters == 1


def test_an_enrolment_that_nobody_waits_for_enrols_nobody(make: Make) -> None:
    kiosk = make()
    kiosk.set_attended(attended=False)
    prompted = threading.Event()
    kiosk.on_announce = lambda a: prompted.set() if isinstance(a, TravellerMessage) and a.key == "present" else None
    wanted = EnrolmentRequest((Position.RIGHT_INDEX,), samples=1, into_local_list=True)
    asked: Future[Any] = kiosk.lane.submit(lambda context: context.enroller.run(wanted, context.new_collector()))
    assert prompted.wait(SOON)
    kiosk.lane.withdraw(asked)
    with pytest.raises(ControlError, match="failure to enrol"):
        asked.result(timeout=SOON)
    kiosk.one.play(impression_of(UNLISTED, 0))  # whoever comes next
    assert kiosk.run_job(lambda context: context.watchlist.references()) == ()
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
    kiosk.run_job(lambda _: None)
    assert second.cancelled()
    assert done == []


def test_a_lane_that_has_ended_refuses_jobs(make: Make) -> None:
    kiosk = make()
    assert kiosk.lane.stop()
    with pytest.raises(ControlError, match="being stopped"):
        kiosk.run_job(lambda _: None)


def test_a_local_list_that_was_switched_off_is_gone(make: Make) -> None:
    kiosk = make()
    kiosk.set_attended(attended=False)
    kiosk.one.play(impression_of(LISTED, 0))
    enrol(kiosk, samples=1, into_local_list=True)
    kiosk.add_reference(UNLISTED)
    kiosk.stop()
    assert {r.agreement for r in stored_references(kiosk)} == {"local-test", "partner"}
    again = make(local_list=False)
    assert [r.agreement for r in again.run_job(lambda context: context.watchlist.references())] == ["partner"]


def stored_references(kiosk: LaneRig) -> Sequence[ReferenceInfo]:
    with closing(Watchlist(kiosk.config.kiosk.state_dir / "watchlist.db", SystemClock(), key=TEST_KEY)) as watchlist:
        return watchlist.references()


class Gate:
    """A job that runs until it is opened."""

    def __init__(self, kiosk: LaneRig) -> None:
        self._begun, self._open = threading.Event(), threading.Event()
        self.result: Future[Any] = kiosk.lane.submit(self._wait)
        assert self._begun.wait(SOON)

    def open(self) -> None:
        self._open.set()

    def _wait(self, _: JobContext) -> None:
        self._begun.set()
        self._open.wait(SOON)


def test_jobs_that_wait_when_the_lane_stops_are_refused(make: Make) -> None:
    kiosk = make()
    gate = Gate(kiosk)
    waiting: Future[Any] = kiosk.lane.submit(lambda _: None)
    kiosk.lane.stopping.set()
    gate.open()
    with pytest.raises(ControlError, match="being stopped"):
        waiting.result(timeout=SOON)


def test_a_job_that_is_withdrawn_before_it_captures_captures_nothing(make: Make) -> None:
    kiosk = make()
    kiosk.set_attended(attended=False)
    begun, go_on = threading.Event(), threading.Event()
    wanted = EnrolmentRequest((Position.RIGHT_INDEX,), samples=1, into_local_list=True)

    def enrol_later(context: JobContext) -> None:
        begun.set()
        go_on.wait(SOON)
        context.enroller.run(wanted, context.new_collector())

    result = kiosk.lane.submit(enrol_later)
    assert begun.wait(SOON)
    kiosk.lane.withdraw(result)
    go_on.set()
    with pytest.raises(ControlError, match="failure to enrol: abandoned"):
        result.result(timeout=SOON)


def test_a_job_with_a_mistake_ends_the_lane_and_reports_it(make: Make) -> None:
    kiosk = make()
    with pytest.raises(ZeroDivisionError):
        kiosk.run_job(lambda _: 1 / 0)
    name, error = kiosk.crashes.get(timeout=SOON)
    assert (name, type(error)) == ("lane", ZeroDivisionError)


def test_a_traveller_who_comes_with_a_job_is_served_first(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    kiosk = make()
    kiosk.add_reference(LISTED)
    kiosk.set_attended(attended=False)
    gate, capture, calls = Gate(kiosk), Station.capture, []

    def present_at_once(station: Station, step: Step, timeout: float | None) -> "Future[Sample]":
        future = capture(station, step, timeout)
        calls.append(future)
        if len(calls) == 1:
            future.result(timeout=SOON)  # the sample is there before the lane looks at its jobs
        return future

    monkeypatch.setattr(Station, "capture", present_at_once)
    kiosk.one.play(impression_of(LISTED, 1))
    encounters: Future[int] = kiosk.lane.submit(lambda _: kiosk.lane.encounters)
    kiosk.lane.attended = True
    gate.open()
    assert encounters.result(timeout=SOON) == 1


def test_an_idle_lane_removes_what_has_expired(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane_module, "IDLE_BEAT_S", 0.01)
    kiosk = make()
    kiosk.set_attended(attended=False)
    template = ((Position.RIGHT_INDEX, template_of(LISTED, 0)),)
    soon = SystemClock().now() + timedelta(milliseconds=50)
    reference = Reference("r1", "partner", Category.WANTED, soon, template)
    kiosk.run_job(lambda context: context.watchlist.add(reference, kiosk.config.agreements["partner"]))
    assert wait_until(lambda: kiosk.lane.list_state is not None and kiosk.lane.list_state.revision == 2, SOON)
    assert kiosk.lane.references == 0
