"""Travellers with a fingerprint and an iris: both sensors, the drivers and the daemon together, as in the demo."""

from collections.abc import Iterator, Mapping
from typing import Any, TypedDict

import pytest

from drivers.sample import Position
from simulators.kiosk_rig import KioskRig, Watcher
from simulators.people.person import Condition, EyeCondition
from simulators.traveller import Traveller

BOTH = (Position.RIGHT_INDEX, Position.RIGHT_EYE)
EYES = (Position.RIGHT_EYE, Position.LEFT_EYE)
LISTED, UNLISTED = 7, 11


class Conditions(TypedDict):
    """The conditions of a traveller's finger and eye."""

    finger_condition: Condition
    eye_condition: EyeCondition


NORMAL: Conditions = {"finger_condition": Condition.NORMAL, "eye_condition": EyeCondition.NORMAL}


@pytest.fixture(scope="module", name="kiosk")
def _kiosk() -> Iterator[tuple[KioskRig, Watcher]]:
    with KioskRig(positions=BOTH) as rig, Watcher(rig) as watcher:
        yield rig, watcher


def test_a_listed_traveller_is_a_lead_and_another_is_clear(kiosk: tuple[KioskRig, Watcher]) -> None:
    rig, watcher = kiosk
    made = Traveller(rig, watcher, LISTED, **NORMAL).enrol(BOTH, 1, "reference-1")
    assert set(made["quality"]) == {"right_index", "right_eye"}
    assert made["template_formats"] == ["finger-minutiae/1", "iris-code/1"]
    assert set(made["models"]) == {"leader", "iris-encoder"}
    listed = Traveller(rig, watcher, LISTED, first=10, **NORMAL).pass_through()
    assert (listed["outcome"], listed["reason"]["missing"]) == ("lead", [])
    assert Traveller(rig, watcher, UNLISTED, first=10, **NORMAL).pass_through()["outcome"] == "clear"
    status = rig.client.ask("status")
    assert {name: sensor["state"] for name, sensor in status["sensors"].items()} == {
        "finger": "ready",
        "camera": "ready",
    }
    assert rig.camera is not None
    assert rig.hub.wait(lambda hub: {"lead", "encounter", "enrolment"} <= {e["class"] for e in hub.events()}, 20)


class StayingTraveller(Traveller):
    """Stays at the camera after an eye was captured, until the kiosk asks for moving back."""

    def _on_step(self, position: Position, *, usable: bool) -> None:
        """Does not move away."""


def test_two_eyes_at_one_camera() -> None:
    announcements: list[Mapping[str, Any]] = []
    with KioskRig(positions=EYES) as rig, Watcher(rig, announcements.append) as watcher:
        StayingTraveller(rig, watcher, LISTED, **NORMAL).enrol(EYES, 1, "reference-1")
        messages = [(a["key"], a["position"]) for a in announcements if a["kind"] == "told"]
        assert messages.index(("look_away", "left_eye")) < messages.index(("empty", "left_eye"))
        announcements.clear()
        listed = Traveller(rig, watcher, LISTED, first=10, **NORMAL).pass_through()
    assert (listed["outcome"], listed["reason"]["missing"]) == ("lead", [])
    assert [a["position"] for a in announcements if a["kind"] == "step" and a["usable"]] == list(EYES)
    assert "look_away" not in [a["key"] for a in announcements if a["kind"] == "told"]
