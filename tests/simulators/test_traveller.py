"""A synthetic traveller does what a scripted kiosk asks: presents, removes, presents again, and then leaves."""

import threading
from collections.abc import Mapping
from typing import Any

import pytest

from drivers.sample import Position
from simulators.kiosk_rig import KioskRig, Watcher
from simulators.people.person import Condition, EyeCondition
from simulators.traveller import Traveller

FINGER, EYE = Position.RIGHT_INDEX, Position.RIGHT_EYE
Json = Mapping[str, Any]


class ScriptedKiosk:
    """The rig, its client and its watcher in one: gives the announcements of a script, and notes what is presented."""

    def __init__(self, *announcements: Json, positions: tuple[Position, ...] = (FINGER, EYE)) -> None:
        self.positions = positions
        self.done: list[tuple[object, ...]] = []
        self._announcements = list(announcements)
        self._ended = threading.Event()
        self.client = self

    def traveller(self, **options: Any) -> Traveller:  # noqa: ANN401 - those of Traveller
        rig: KioskRig = self  # type: ignore[assignment]
        watcher: Watcher = self  # type: ignore[assignment]
        return Traveller(rig, watcher, 7, **options)

    def press(self, seed: int, position: Position, impression: int, condition: Condition | None) -> None:
        self.done.append(("press", seed, position, impression, condition))

    def look(self, seed: int, position: Position, condition: EyeCondition | None) -> None:
        self.done.append(("look", seed, position, condition))

    def take_away(self, position: Position) -> None:
        self.done.append(("remove", position))

    def discard_pending(self) -> None:
        """Nothing is pending."""

    def next(self, timeout: float) -> Json:
        if not self._announcements:
            self._ended.set()
            raise TimeoutError(timeout)
        return self._announcements.pop(0)

    def ask(self, name: str, arguments: Json) -> Json:
        assert self._ended.wait(10)
        return {"name": name, **arguments}


def told(key: str, position: Position = Position.UNKNOWN) -> Json:
    return {"kind": "told", "key": key, "position": position.value}


def step(position: Position, *, usable: bool) -> Json:
    return {"kind": "step", "position": position.value, "usable": usable}


DECIDED = {"kind": "decided", "outcome": "clear"}


def test_it_presents_what_is_asked_for_and_removes_what_was_accepted() -> None:
    kiosk = ScriptedKiosk(
        told("working", FINGER), step(FINGER, usable=True), told("present", EYE), told("too_far", EYE),
        step(EYE, usable=True), told("proceed"), DECIDED,
    )  # fmt: skip
    assert kiosk.traveller(first=10, eye_condition=EyeCondition.NORMAL).pass_through() == DECIDED
    assert kiosk.done == [
        ("press", 7, FINGER, 10, None),
        ("remove", FINGER),
        ("look", 7, EYE, EyeCondition.NORMAL),
        ("remove", EYE),
    ]


def test_a_finger_that_was_not_good_enough_is_lifted_and_placed_again_but_an_eye_stays() -> None:
    kiosk = ScriptedKiosk(
        step(FINGER, usable=False), told("too_dry", FINGER), told("lift_finger", FINGER), told("present", EYE),
        step(EYE, usable=False), DECIDED,
    )  # fmt: skip
    said: list[str] = []
    kiosk.traveller(finger_condition=Condition.DRY, show=said.append).pass_through()
    assert kiosk.done == [
        ("press", 7, FINGER, 0, Condition.DRY),
        ("remove", FINGER),
        ("press", 7, FINGER, 1, Condition.DRY),
        ("remove", FINGER),
        ("look", 7, EYE, None),
        ("remove", EYE),
    ]
    assert said[0] == "person 7 presses the right index finger (impression 0)"
    assert said[2] == "person 7 looks into the camera with the right eye"


def test_an_enrolment_ends_with_the_answer_of_the_kiosk() -> None:
    kiosk = ScriptedKiosk(told("present", FINGER))
    answer = kiosk.traveller().enrol([FINGER], 2, "r-1")
    assert (answer["name"], answer["samples"], answer["reference_id"]) == ("enrol", 2, "r-1")
    assert kiosk.done == [("press", 7, FINGER, 0, None), ("remove", FINGER)]


@pytest.mark.parametrize("position", [FINGER, EYE])
def test_what_was_not_presented_cannot_be_removed(position: Position) -> None:
    kiosk = ScriptedKiosk()
    kiosk.traveller().remove(position)
    assert kiosk.done == []
