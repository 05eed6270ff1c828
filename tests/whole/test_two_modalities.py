"""A finger and an eye of one traveller, through sensor, camera, drivers and the daemon, as the demo has them."""

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


class Well(TypedDict):
    """Nothing is the matter with finger and eye."""

    finger_condition: Condition
    eye_condition: EyeCondition


@pytest.fixture(scope="module", name="kiosk")
def _kiosk() -> Iterator[tuple[KioskRig, Watcher]]:
    with KioskRig(positions=BOTH) as rig, Watcher(rig) as watcher:
        yield rig, watcher


def test_a_listed_traveller_is_a_lead_and_another_is_clear(kiosk: tuple[KioskRig, Watcher]) -> None:
    rig, watcher = kiosk
    well: Well = {"finger_condition": Condition.NORMAL, "eye_condition": EyeCondition.NORMAL}
    made = Traveller(rig, watcher, LISTED, **well).enrol(BOTH, 1, "reference-1")
    assert set(made["quality"]) == {"right_index", "right_eye"}
    assert made["template_formats"] == ["finger-minutiae/1", "iris-code/1"]
    assert set(made["models"]) == {"leader", "iris-encoder"}
    listed = Traveller(rig, watcher, LISTED, first=10, **well).pass_through()
    assert (listed["outcome"], listed["reason"]["missing"]) == ("lead", [])
    assert Traveller(rig, watcher, UNLISTED, first=10, **well).pass_through()["outcome"] == "clear"
    status = rig.client.ask("status")
    assert {name: sensor["state"] for name, sensor in status["sensors"].items()} == {
        "finger": "ready",
        "camera": "ready",
    }
    assert rig.camera is not None
    assert rig.hub.wait(lambda hub: {"lead", "encounter", "enrolment"} <= {e["class"] for e in hub.events()}, 20)


class Stayer(Traveller):
    """Goes on looking into the camera when an eye was taken, until told to move back."""

    def _on_step(self, position: Position, *, usable: bool) -> None:
        """Stays."""


def test_one_eye_after_the_other_before_one_camera() -> None:
    well: Well = {"finger_condition": Condition.NORMAL, "eye_condition": EyeCondition.NORMAL}
    heard: list[Mapping[str, Any]] = []
    with KioskRig(positions=EYES) as rig, Watcher(rig, heard.append) as watcher:
        Stayer(rig, watcher, LISTED, **well).enrol(EYES, 1, "reference-1")
        told = [(a["key"], a["position"]) for a in heard if a["kind"] == "told"]
        assert told.index(("look_away", "left_eye")) < told.index(("empty", "left_eye"))
        heard.clear()
        listed = Traveller(rig, watcher, LISTED, first=10, **well).pass_through()
    assert (listed["outcome"], listed["reason"]["missing"]) == ("lead", [])
    assert [a["position"] for a in heard if a["kind"] == "step" and a["usable"]] == list(EYES)
    assert "look_away" not in [a["key"] for a in heard if a["kind"] == "told"]
