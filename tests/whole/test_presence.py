"""A touch sensor in the sun: nobody is referred, the kiosk says what is wrong, and travellers are served."""

import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest

from agent.encounter import presence, station
from agent.encounter.announcements import Announcement, Decided, Started, StepDone
from agent.events.event import Capture, EventClass, Outcome, SensorState, StoredEvent
from agent.kiosk import Kiosk, open_outbox
from drivers.ef01 import driver as ef01
from drivers.sample import Position
from simulators.people.person import Condition, Person
from simulators.polling import wait_until
from simulators.sensors.common.touch_rig import TouchRig
from simulators.sensors.ef01 import rig as ef01_rig
from simulators.sensors.nb1010 import rig as nb1010_rig
from simulators.sensors.sfm import rig as sfm_rig
from simulators.sensors.uru4000 import rig as uru4000_rig
from tests.rigs.simulated_kiosk import config_of

Announced = TypeVar("Announced", Started, StepDone, Decided)

QUICKER = 6.0  # than in the field: the time of everything that these tests would only wait for
TIMES = {
    presence: ("FIRST_REST_S", "MAX_REST_S", "LOOK_SOON_S", "LOOK_AGAIN_S"),
    station: ("SLICE_S",),
    ef01: ("MESSY_S",),
}
ALWAYS_S = 2.0 / QUICKER  # 60 s in the field
SOON = 30.0

RIGS: dict[str, Callable[[Path], TouchRig]] = {
    "ef01": ef01_rig.default_rig,
    "nb1010": nb1010_rig.default_rig,
    "sfm": sfm_rig.default_rig,
    "uru4000": uru4000_rig.default_rig,
}


@pytest.fixture(autouse=True)
def _quicker(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, names in TIMES.items():
        for name in names:
            monkeypatch.setattr(module, name, getattr(module, name) / QUICKER)


@dataclass
class Lane:
    """One kiosk in this process, with a simulated sensor."""

    kiosk: Kiosk
    sensor: TouchRig
    states: list[SensorState]
    announced: "queue.SimpleQueue[Announcement]" = field(default_factory=queue.SimpleQueue)

    def state(self) -> str:
        return self.states[-1].state if self.states else ""

    def press(self, seed: int, condition: Condition = Condition.NORMAL) -> None:
        view = self.sensor.view
        finger = Person(seed).finger(Position.RIGHT_INDEX)
        self.sensor.show(finger.impression(0, view.width, view.height, view.ppi, condition))

    def next(self, kind: type[Announced]) -> Announced:
        """The next announcement of a kind; the others before it are dropped."""
        while not isinstance(announcement := self.announced.get(timeout=SOON), kind):
            pass
        return announcement

    def decided(self) -> Decided:
        return self.next(Decided)

    def begun(self) -> int:
        """How many encounters began since the last question."""
        number = 0
        while not self.announced.empty():
            number += isinstance(self.announced.get(), Started)
        return number

    def events(self) -> dict[EventClass, list[StoredEvent]]:
        with open_outbox(self.kiosk.config, self.kiosk.store_key) as outbox:
            return {each: outbox.pending(each, 100) for each in EventClass}


@contextmanager
def lane(folder: Path, driver: str) -> Iterator[Lane]:
    with RIGS[driver](folder / "sensor") as sensor:
        options = ", ".join(f'{key} = "{value}"' for key, value in sensor.kind.options.items())
        presence = f"[presence]\nalways_after_s = {ALWAYS_S}"
        config = config_of(folder, sensor.url, driver=driver, options=options, more=presence)
        states: list[SensorState] = []
        crashes: list[object] = []
        announced: queue.SimpleQueue[Announcement] = queue.SimpleQueue()
        kiosk = Kiosk(
            config, announced.put, lambda _, state: states.append(state), lambda *crash: crashes.append(crash)
        )
        kiosk.start()
        try:
            yield Lane(kiosk, sensor, states, announced)
        finally:
            assert kiosk.stop(SOON)
            assert not crashes


@pytest.mark.parametrize("driver", RIGS)
def test_constant_sunlight_starts_no_encounter_and_a_finger_in_it_does(tmp_path: Path, driver: str) -> None:
    with lane(tmp_path, driver) as it:
        it.sensor.fault("sunlight")
        assert wait_until(lambda: it.state() == "always_present", SOON)
        assert "shade it from the sun" in it.states[-1].detail
        assert it.begun() == 0
        it.press(11)
        assert it.decided().outcome is Outcome.REFER  # the list is empty
        it.sensor.lift()
        it.sensor.clear()
        assert wait_until(lambda: it.state() == "ready", SOON)
        it.press(12)
        it.decided()
    events = it.events()
    assert len(events[EventClass.ENCOUNTER]) == 2
    counted = [Capture.model_validate_json(e.event.body) for e in events[EventClass.CAPTURE]]
    assert 1 <= len(counted) <= 2  # the first, and what was left at the end
    assert sum(c.sensors["finger"].false_presentations for c in counted) >= 3


def test_sunlight_that_comes_and_goes_starts_no_encounter(tmp_path: Path) -> None:
    with lane(tmp_path, "ef01") as it:
        it.sensor.fault("sunlight", seconds=0.4)
        assert wait_until(lambda: it.state() == "always_present", SOON)
        assert it.begun() == 0
    assert not it.events()[EventClass.ENCOUNTER]


def test_a_finger_that_rests_on_the_sensor_is_reported_and_the_kiosk_works_once_it_is_lifted(tmp_path: Path) -> None:
    with lane(tmp_path, "ef01") as it:
        it.press(11)
        it.decided()
        assert wait_until(lambda: it.state() == "always_present", SOON)
        assert it.begun() == 0
        it.sensor.lift()
        assert wait_until(lambda: it.state() == "ready", SOON)
        it.press(12)
        it.decided()
    assert len(it.events()[EventClass.ENCOUNTER]) == 2


def test_the_sun_that_comes_while_a_finger_is_there_does_not_make_the_kiosk_deaf(tmp_path: Path) -> None:
    """The sensor never reports a lift, but the images show that the finger has left."""
    with lane(tmp_path, "ef01") as it:
        it.press(11)
        it.decided()
        it.sensor.fault("sunlight")
        it.sensor.lift()
        assert wait_until(lambda: it.state() == "always_present", SOON)
        assert wait_until(lambda: it.kiosk.lane.false_presentations()["finger"] > 0, SOON)
        it.press(12)
        it.decided()
    assert len(it.events()[EventClass.ENCOUNTER]) == 2


def test_a_sensor_that_refuses_its_images_gives_telemetry_and_no_encounter(tmp_path: Path) -> None:
    with lane(tmp_path, "ef01") as it:
        it.sensor.fault("messy", times=0)
        it.press(11)
        for _ in range(2):
            assert it.decided().outcome is Outcome.REFER
        it.sensor.lift()
        it.sensor.clear()
        assert it.kiosk.lane.encounters == 0
    events = it.events()
    assert not events[EventClass.ENCOUNTER]
    assert 1 <= len(events[EventClass.CAPTURE]) <= 2


def test_a_traveller_whose_finger_cannot_be_read_has_an_encounter(tmp_path: Path) -> None:
    with lane(tmp_path, "ef01") as it:
        for _ in range(3):
            it.press(3, Condition.UNREADABLE)
            it.next(StepDone)
            it.sensor.lift()
            it.sensor.wait_until_lift_noticed(SOON)
        assert it.decided().outcome is Outcome.REFER
    assert len(it.events()[EventClass.ENCOUNTER]) == 1
