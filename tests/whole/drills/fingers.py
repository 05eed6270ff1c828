"""Who comes to the kiosk in a drill: synthetic people, some on the local list, pressed on the simulated sensor."""

import threading
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivers.sample import Position
from simulators.kiosk_rig import ANSWER_S, KioskRig, Watcher
from simulators.people.person import Condition, Person

LISTED, PEOPLE = 0, (0, 1, 2, 3)
FINGER = Position.RIGHT_INDEX


@cache
def touch(person: int, impression: int) -> NDArray[np.uint8]:
    """An impression at the size of the simulated sensor."""
    return Person(person).finger(FINGER).impression(impression, condition=Condition.NORMAL)


def enrol(rig: KioskRig, watcher: Watcher, person: int = LISTED) -> None:
    """Put a person on the local list. RuntimeError when that did not work."""
    answer: list[Any] = []
    wanted = {"samples": 1, "into_local_list": True, "reference_id": f"person-{person}"}
    asking = threading.Thread(target=lambda: answer.append(rig.client.ask("enrol", wanted)))
    asking.start()
    watcher.wait_for("told")
    rig.sensor.show(touch(person, 0))
    watcher.wait_for("step")
    rig.lift()
    asking.join(ANSWER_S)
    if not answer:
        raise RuntimeError("the enrolment failed")


def meet(rig: KioskRig, watcher: Watcher, person: int, impression: int, timeout: float = ANSWER_S) -> dict[str, Any]:
    """One traveller: press, wait for the answer, lift. TimeoutError when the kiosk gave none."""
    rig.sensor.show(touch(person, impression))
    try:
        return dict(watcher.wait_for("decided", timeout))
    finally:
        rig.lift()
