"""Unplugs the sensor at random bytes of an image.

Each time the hub must receive one event `lost` and the state `fault`, and `ready` soon after replugging.

python -m tests.whole.drills.unplug --times 50
"""

import json
import random
import sys
import time
from collections.abc import Callable
from typing import Any

from simulators.kiosk_rig import KioskRig, Watcher
from tests.conftest import impression_of
from tests.whole.drills.command_line import drill_parser, times_text
from tests.whole.drills.fingers import enrol, run_encounter

IMAGE_BYTES = 36_864 + 288 * 11  # the payload, and the overhead of its packets of 128 bytes
TIMEOUT_S = 20.0
MAX_RETURN_S = 2.0


def sensor_states(rig: KioskRig) -> list[str]:
    """All states of the sensor that the hub received, in order."""
    return [json.loads(row["body"])["sensors"].get("finger", {}).get("state", "offline") for row in rig.hub.states()]


def lost_events(rig: KioskRig) -> int:
    """The number of events at the hub that report a lost sensor."""
    bodies = [json.loads(event["body"]) for event in rig.hub.events() if event["class"] == "health"]
    return sum(body["state"] == "lost" for body in bodies)


def _wait_until(rig: KioskRig, condition: Callable[[], bool], what: str) -> None:
    if not rig.hub.wait(lambda _: condition(), TIMEOUT_S):
        raise TimeoutError(f"the hub received no message: {what}")


def unplug_once(rig: KioskRig, byte: int) -> float:
    """Unplug after `byte` bytes of an image and replug. The seconds from replugging to the state `ready` at the hub."""
    received = len(sensor_states(rig))
    rig.sensor.unplug(after=max(1, byte))
    rig.sensor.show(impression_of(1, 1))
    if not rig.sensor.unplugged.wait(TIMEOUT_S):
        raise TimeoutError("the sensor was not unplugged")
    rig.lift()
    _wait_until(rig, lambda: "fault" in sensor_states(rig)[received:], "the sensor is lost")
    start = time.monotonic()
    rig.sensor.replug()
    _wait_until(rig, lambda: sensor_states(rig)[-1] == "ready", "the sensor is ready")
    return time.monotonic() - start


def run(times: int, seed: int) -> tuple[list[float], dict[str, Any]]:
    """Run the whole drill. The encounter at the end must work."""
    rng = random.Random(seed)
    with KioskRig() as rig, Watcher(rig) as watcher:
        enrol(rig, watcher)
        back = [unplug_once(rig, rng.randrange(IMAGE_BYTES)) for _ in range(times)]
        log = rig.log.read_text(encoding="utf-8")
        last = run_encounter(rig, watcher, 0, 1)
        rig.hub.wait(lambda _: lost_events(rig) >= times, TIMEOUT_S)
        return back, {"outcome": last["outcome"], "lost_events": lost_events(rig), "warnings": log.count("WARNING")}


def main() -> int:
    """Run the drill and print the result.

    Exit status 1 if a return took longer than MAX_RETURN_S, or if the hub did not receive exactly one event each time.
    """
    arguments = drill_parser(__doc__, times=50).parse_args()
    back, seen = run(arguments.times, arguments.seed)
    print(f"unplugged {arguments.times} times, seed {arguments.seed}; outcome at the end: {seen['outcome']}")
    print(f"from replugging to the state 'ready' at the hub: {times_text(back)}")
    print(f"health events 'lost' at the hub: {seen['lost_events']}; warnings in the log: {seen['warnings']}")
    return 1 if max(back) > MAX_RETURN_S or seen["outcome"] != "lead" or seen["lost_events"] != arguments.times else 0


if __name__ == "__main__":
    sys.exit(main())
