"""Measures how long the agent takes to stop after SIGTERM in each state, and checks that it has no child processes.

python -m tests.whole.drills.stop --rounds 5
"""

import contextlib
import random
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from agent.errors import ControlError
from simulators.kiosk_rig import ANSWER_S, KioskRig, Watcher
from tests.conftest import impression_of
from tests.whole.drills.command_line import drill_parser, times_text
from tests.whole.drills.fingers import enrol

MAX_STOP_S = 2.0


def _press(rig: KioskRig, _: Watcher) -> None:
    rig.sensor.show(impression_of(1, 1))


def _processing(rig: KioskRig, watcher: Watcher) -> None:
    """While the sample is processed."""
    rig.sensor.show(impression_of(1, 1))
    watcher.wait_for("told")


def _second_try(rig: KioskRig, watcher: Watcher) -> None:
    """While the kiosk waits for a second try, after a sample of low quality."""
    rig.sensor.show(impression_of(1, 1) // 64 + 190)
    watcher.wait_for("step")
    rig.lift()


def _enrolment_pending(rig: KioskRig, watcher: Watcher) -> None:
    """While an enrolment waits for a finger."""
    threading.Thread(target=_request_enrolment, args=[rig], daemon=True).start()
    watcher.wait_for("told")


def _request_enrolment(rig: KioskRig) -> None:
    with contextlib.suppress(ControlError, OSError):  # the drill stops the kiosk
        rig.client.ask("enrol", {"samples": 1, "into_local_list": True})


def _two_clients(rig: KioskRig, _: Watcher) -> None:
    """While a second client watches, in addition to the watcher of the drill."""
    listening = threading.Event()
    threading.Thread(target=_watch, args=[rig, listening], daemon=True).start()
    if not listening.wait(ANSWER_S):
        raise RuntimeError("the agent did not accept a second watching client")


def _watch(rig: KioskRig, listening: threading.Event) -> None:
    with contextlib.suppress(ControlError, OSError, ValueError), rig.client.watch() as announcements:
        listening.set()
        for _ in announcements:
            pass


STATES: dict[str, Callable[[KioskRig, Watcher], None]] = {
    "idle": lambda *_: None,
    "an enrolment waits": _enrolment_pending,
    "two clients watch": _two_clients,
    "finger just pressed": _press,
    "processing a sample": _processing,
    "waiting for another try": _second_try,
    "sensor unplugged": lambda rig, _: rig.sensor.unplug(),
    "sensor silent": lambda rig, _: rig.sensor.fault("silent"),
    "broker stopped": lambda rig, _: rig.broker.stop(),
    "broker killed": lambda rig, _: rig.broker.kill(),
    "hub away": lambda rig, _: rig.hub.pause(),
}


def children(pid: int) -> list[str]:
    """The running child processes of a process."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [child for task in tasks for child in task.read_text(encoding="ascii").split()]


def stop_in(state: str) -> float:
    """Bring a kiosk into a state and stop it. The seconds until its process has ended."""
    with KioskRig() as rig, Watcher(rig) as watcher:
        enrol(rig, watcher)
        STATES[state](rig, watcher)
        assert rig.agent is not None
        if started := children(rig.agent.pid):
            raise RuntimeError(f"the agent has child processes: {started}")
        return rig.stop_agent()


def main() -> int:
    """Run the drill and print the times. Exit status 1 if a stop took MAX_STOP_S or more."""
    arguments = drill_parser(__doc__, seed=False, rounds=5).parse_args()
    longest = 0.0
    for state in random.Random(1).sample(list(STATES), len(STATES)):
        seconds = [stop_in(state) for _ in range(arguments.rounds)]
        longest = max(longest, *seconds)
        print(f"{state:<26} {times_text(seconds)}", flush=True)
    return 1 if longest >= MAX_STOP_S else 0


if __name__ == "__main__":
    sys.exit(main())
