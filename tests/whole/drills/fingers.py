"""Synthetic travellers for the drills. They use the simulated fingerprint sensor, and one is on the local list."""

import threading
from typing import Any

from simulators.kiosk_rig import ANSWER_S, KioskRig, Watcher
from tests.conftest import impression_of

LISTED, PEOPLE = 0, (0, 1, 2, 3)


def enrol(rig: KioskRig, watcher: Watcher, person: int = LISTED) -> None:
    """Put a person on the local list. RuntimeError if the enrolment fails."""
    answer: list[Any] = []
    wanted = {"samples": 1, "into_local_list": True, "reference_id": f"person-{person}"}
    request = threading.Thread(target=lambda: answer.append(rig.client.ask("enrol", wanted)))
    request.start()
    watcher.wait_for("told")
    rig.sensor.show(impression_of(person, 0))
    watcher.wait_for("step")
    rig.lift()
    request.join(ANSWER_S)
    if not answer:
        raise RuntimeError("the enrolment failed")


def run_encounter(
    rig: KioskRig, watcher: Watcher, person: int, impression: int, timeout: float = ANSWER_S
) -> dict[str, Any]:
    """One traveller presses a finger, waits for the decision and lifts. TimeoutError if the kiosk does not decide."""
    rig.sensor.show(impression_of(person, impression))
    try:
        return dict(watcher.wait_for("decided", timeout))
    finally:
        rig.lift()
