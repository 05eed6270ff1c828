"""SIGTERM to exit in every state of the kiosk, and no process left behind.

python -m tests.whole.drills.stop --rounds 5
"""

import argparse
import contextlib
import random
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from agent.errors import ControlError
from simulators.kiosk_rig import ANSWER_S, KioskRig, Watcher
from tests.whole.drills.fingers import enrol, touch


def _press(rig: KioskRig, _: Watcher) -> None:
    rig.sensor.show(touch(1, 1))


def _in_the_middle(rig: KioskRig, watcher: Watcher) -> None:
    """While the image is judged."""
    rig.sensor.show(touch(1, 1))
    watcher.wait_for("told")


def _asked_again(rig: KioskRig, watcher: Watcher) -> None:
    """While a traveller whose finger was not good stands there."""
    rig.sensor.show(touch(1, 1) // 64 + 190)
    watcher.wait_for("step")
    rig.lift()


def _enrolment_waits(rig: KioskRig, watcher: Watcher) -> None:
    """Somebody has asked for an enrolment, and nobody has touched the sensor."""
    asking = threading.Thread(target=_ask_in_vain, args=[rig], daemon=True)
    asking.start()
    watcher.wait_for("told")


def _ask_in_vain(rig: KioskRig) -> None:
    with contextlib.suppress(ControlError, OSError):  # the kiosk is being stopped
        rig.client.ask("enrol", {"samples": 1, "into_local_list": True})


def _two_watch(rig: KioskRig, _: Watcher) -> None:
    """A second client beside the watcher of the drill; it ends with the agent."""
    listening = threading.Event()
    threading.Thread(target=_listen, args=[rig, listening], daemon=True).start()
    if not listening.wait(ANSWER_S):
        raise RuntimeError("the agent lets no second client watch")


def _listen(rig: KioskRig, listening: threading.Event) -> None:
    with contextlib.suppress(ControlError, OSError, ValueError), rig.client.watch() as announcements:
        listening.set()
        for _ in announcements:
            pass


STATES: dict[str, Callable[[KioskRig, Watcher], None]] = {
    "idle": lambda *_: None,
    "an enrolment waits": _enrolment_waits,
    "two clients watch": _two_watch,
    "finger just pressed": _press,
    "judging a sample": _in_the_middle,
    "waiting for another try": _asked_again,
    "sensor unplugged": lambda rig, _: rig.sensor.unplug(),
    "sensor silent": lambda rig, _: rig.sensor.fault("silent"),
    "broker stopped": lambda rig, _: rig.broker.stop(),
    "broker killed": lambda rig, _: rig.broker.kill(),
    "hub away": lambda rig, _: rig.hub.pause(),
}


def children(pid: int) -> list[str]:
    """Processes that a process has started and that still live."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [child for task in tasks for child in task.read_text(encoding="ascii").split()]


def once(state: str) -> float:
    """Bring a kiosk into a state and stop it; returns the seconds until its process was gone."""
    with KioskRig() as rig, Watcher(rig) as watcher:
        enrol(rig, watcher)
        STATES[state](rig, watcher)
        assert rig.agent is not None
        if started := children(rig.agent.pid):
            raise RuntimeError(f"the agent has child processes: {started}")
        return rig.stop_agent()


def main() -> int:
    """Run it and say what was seen; 1 when a stop took 2 s or more."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    asked = arguments.parse_args()
    longest = 0.0
    for state in random.Random(1).sample(list(STATES), len(STATES)):
        seconds = [once(state) for _ in range(asked.rounds)]
        longest = max(longest, *seconds)
        print(
            f"{state:<26} median {sorted(seconds)[len(seconds) // 2]:.2f} s, longest {max(seconds):.2f} s", flush=True
        )
    return 1 if longest >= 2.0 else 0


if __name__ == "__main__":
    sys.exit(main())
