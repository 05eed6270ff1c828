"""What sensors report about presence is judged; what was no encounter is counted and rarely sent."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.config import PresenceConfig
from agent.encounter.presence import (
    LOOK_AGAIN_S,
    LOOK_SOON_S,
    MAX_REST_S,
    OTHERS,
    REPORT_S,
    UNUSABLE,
    NoEncounters,
    PresenceMonitor,
)
from agent.events.event import Capture, EventClass
from agent.hub.outbox import Outbox
from agent.storage.database import StoreFull
from drivers.sample import Modality
from tests.conftest import FakeClock
from tests.rigs.store_key import TEST_KEY

LIMITS = PresenceConfig()
ALWAYS_S = LIMITS.always_after_s
HOUR_S = 3600.0


class Sensor:
    """A monitor on a clock of its own."""

    def __init__(self, modality: Modality = Modality.FINGER, limits: PresenceConfig = LIMITS) -> None:
        self.time = 1000.0
        self.monitors: list[PresenceMonitor] = []
        self.monitor = PresenceMonitor(limits, modality, self.monitors, lambda: self.time)
        self.other = PresenceMonitor(limits, modality, self.monitors, lambda: self.time)

    def after(self, seconds: float) -> PresenceMonitor:
        self.time += seconds
        return self.monitor

    def state(self) -> str:
        found = self.monitor.suspicion()
        return found.state if found else "ready"


def test_a_finger_that_rests_for_a_minute_is_reported_until_it_leaves() -> None:
    sensor = Sensor()
    sensor.monitor.presented()
    sensor.after(5).held()
    sensor.after(ALWAYS_S - 1).held()
    assert sensor.state() == "ready"
    sensor.after(1).held()
    assert (sensor.state(), sensor.monitor.stuck) == ("always_present", True)
    sensor.after(5).absent()
    assert (sensor.state(), sensor.monitor.stuck) == ("ready", False)


def test_travellers_who_each_rest_a_finger_for_a_while_are_no_fault() -> None:
    sensor = Sensor()
    for _ in range(50):
        sensor.after(3).presented()
        for _ in range(8):
            sensor.after(5).held()
        assert sensor.state() == "ready"


def test_false_presentations_for_a_minute_are_reported_until_a_minute_without() -> None:
    sensor = Sensor()
    for _ in range(5):
        assert sensor.state() == "ready"
        sensor.after(10).false_presentation()
        sensor.after(5).absent()
    sensor.after(10).false_presentation()
    assert sensor.state() == "always_present"
    sensor.after(5).absent()
    sensor.after(ALWAYS_S - 1).absent()
    assert sensor.state() == "always_present"
    sensor.after(1).absent()
    assert (sensor.state(), sensor.monitor.false_presentations) == ("ready", 6)


def test_a_finger_in_the_sun_does_not_end_the_warning_but_a_single_shadow_does_not_begin_one() -> None:
    sensor = Sensor()
    for _ in range(100):
        sensor.after(20).false_presentation()
        sensor.after(20).presented()
    assert sensor.state() == "ready"
    for _ in range(20):
        sensor.after(5).false_presentation()
    sensor.after(1).presented()
    assert sensor.state() == "always_present"


def test_few_false_presentations_far_apart_are_only_counted() -> None:
    sensor = Sensor()
    for _ in range(2):
        sensor.after(ALWAYS_S).false_presentation()
    assert sensor.state() == "ready"


def test_rests_after_false_presentations_grow_and_end_with_a_finger() -> None:
    sensor = Sensor()
    rests = [sensor.monitor.false_presentation() for _ in range(100)]
    assert rests[0] < rests[1] < rests[-1] == MAX_REST_S
    sensor.monitor.presented()
    assert (sensor.monitor.false_run, sensor.monitor.false_presentation()) == (0, rests[0])


def test_a_finger_that_does_not_leave_is_looked_at_after_a_minute_and_then_now_and_then() -> None:
    sensor = Sensor()
    assert not sensor.monitor.should_look()
    sensor.monitor.held()
    assert not sensor.after(ALWAYS_S - 1).should_look()
    assert sensor.after(1).should_look()
    sensor.monitor.looked()
    assert not sensor.after(LOOK_AGAIN_S - 1).should_look()
    assert sensor.after(1).should_look()


def test_it_is_looked_at_soon_if_there_were_images_of_nobody_before() -> None:
    sensor = Sensor()
    sensor.monitor.false_presentation()
    sensor.monitor.held()
    assert sensor.after(LOOK_SOON_S).should_look()


@pytest.mark.parametrize(("modality", "what"), [(Modality.FINGER, "finger"), (Modality.IRIS, "eye")])
def test_the_explanation_names_what_is_seen(modality: Modality, what: str) -> None:
    sensor = Sensor(modality)
    sensor.monitor.held()
    sensor.time += ALWAYS_S
    found = sensor.monitor.suspicion()
    assert found is not None
    assert found.detail.startswith(f"sees a{'n' if what == 'eye' else ''} {what} all the time")


def test_a_sensor_that_sees_nobody_while_others_do_is_reported_until_it_does() -> None:
    sensor = Sensor()
    sensor.time += LIMITS.never_after_s
    for _ in range(OTHERS - 1):
        sensor.other.presented()
    assert sensor.state() == "ready"
    sensor.other.presented()
    assert sensor.state() == "never_present"
    sensor.monitor.presented()
    assert sensor.state() == "ready"
    sensor.time += LIMITS.never_after_s
    assert sensor.state() == "ready"


def test_a_sensor_without_company_is_reported_after_a_day_unless_that_is_switched_off() -> None:
    alone, quiet = Sensor(), Sensor(limits=PresenceConfig(unused_after_s=0))
    for sensor in (alone, quiet):
        sensor.time += 23 * HOUR_S
        assert sensor.state() == "ready"
        sensor.time += HOUR_S
    assert (alone.state(), quiet.state()) == ("never_present", "ready")
    found = alone.monitor.suspicion()
    assert found is not None
    assert "24 h" in found.detail


def test_short_limits_are_named_in_seconds() -> None:
    sensor = Sensor(limits=PresenceConfig(unused_after_s=20))
    sensor.time += 20
    found = sensor.monitor.suspicion()
    assert found is not None
    assert "for 20 s" in found.detail


class Desk:
    """The counter of what was no encounter, and its outbox."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.time = 0.0
        self.false: dict[str, int] = {}
        self.counter = NoEncounters(outbox, FakeClock(), lambda: self.false, lambda: self.time)

    def sent(self) -> list[Capture]:
        return [Capture.model_validate_json(e.event.body) for e in self.outbox.pending(EventClass.CAPTURE, 100)]


@pytest.fixture(name="desk")
def _desk(tmp_path: Path) -> Iterator[Desk]:
    with Outbox(tmp_path / "outbox.db", "k", key=TEST_KEY) as outbox:
        yield Desk(outbox)


def test_nothing_to_report_gives_no_event(desk: Desk) -> None:
    assert desk.counter.report(last=True) == ""
    assert desk.sent() == []


def test_false_presentations_are_reported_at_once_and_then_summed_up(desk: Desk) -> None:
    for number in range(1, 1000):
        desk.false = {"finger": number}
        desk.time += 1.0
        desk.counter.report()
    assert [c.sensors["finger"].false_presentations for c in desk.sent()] == [1, REPORT_S]
    desk.counter.report(last=True)
    assert sum(c.sensors["finger"].false_presentations for c in desk.sent()) == 999
    assert desk.counter.report(last=True) == ""


def test_an_encounter_with_a_usable_sample_is_one(desk: Desk) -> None:
    assert desk.counter.began("finger", usable=True, somebody=True)
    assert desk.counter.without_sample == 0


def test_an_encounter_without_any_image_of_somebody_is_none(desk: Desk) -> None:
    assert not desk.counter.began("finger", usable=False, somebody=False)
    key = desk.counter.report()
    assert key.endswith("/capture/1")
    assert desk.sent()[0].sensors["finger"].without_sample == 1


def test_travellers_who_cannot_be_read_are_believed_but_not_for_ever(desk: Desk) -> None:
    believed = [desk.counter.began("finger", usable=False, somebody=True) for _ in range(UNUSABLE + 5)]
    assert believed == [True] * UNUSABLE + [False] * 5
    assert desk.counter.began("finger", usable=True, somebody=True)
    assert desk.counter.began("finger", usable=False, somebody=True)


def test_without_room_the_event_is_dropped_and_its_numbers_come_with_the_next(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise StoreFull("outbox.db: full")

    desk.false = {"finger": 3}
    with monkeypatch.context() as context:
        context.setattr(Outbox, "put", full)
        assert desk.counter.report() == ""
    assert "no room for telemetry" in caplog.text
    desk.counter.report()
    assert [c.sensors["finger"].false_presentations for c in desk.sent()] == [3]
