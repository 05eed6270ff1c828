"""A finger and an eye of one traveller, through sensor, camera, drivers and the daemon, as the demo has them."""

from collections.abc import Iterator
from typing import TypedDict

import pytest

from drivers.sample import Position
from simulators.people import Condition, EyeCondition
from simulators.rig import KioskRig, Watcher
from simulators.visitor import Visitor

BOTH = (Position.RIGHT_INDEX, Position.RIGHT_EYE)
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
    made = Visitor(rig, watcher, LISTED, **well).enrol(BOTH, 1, "reference-1")
    assert set(made["quality"]) == {"right_index", "right_eye"}
    assert made["template_formats"] == ["finger-minutiae/1", "iris-code/1"]
    listed = Visitor(rig, watcher, LISTED, first=10, **well).pass_through()
    assert (listed["outcome"], listed["reason"]["missing"]) == ("lead", [])
    assert Visitor(rig, watcher, UNLISTED, first=10, **well).pass_through()["outcome"] == "clear"
    status = rig.client.ask("status")
    assert {name: sensor["state"] for name, sensor in status["sensors"].items()} == {
        "finger": "ready",
        "camera": "ready",
    }
    assert rig.camera is not None
    assert rig.hub.wait(lambda hub: {"lead", "encounter", "enrolment"} <= {e["class"] for e in hub.events()}, 20)
