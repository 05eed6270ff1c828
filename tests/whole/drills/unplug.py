"""Unplug at random bytes of an image: LinkLost each time, an honest state at the hub, reopened soon after replugging.

python -m tests.whole.drills.unplug --times 50
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Callable
from typing import Any

from simulators.kiosk_rig import KioskRig, Watcher
from tests.whole.drills.fingers import enrol, meet, touch

IMAGE_BYTES = 36_864 + 288 * 11  # the payload, and the overhead of its packets of 128
SOON = 20.0


def sensor_states(rig: KioskRig) -> list[str]:
    """Each state of the sensor that the hub was told, in order."""
    return [json.loads(row["body"])["sensors"].get("finger", {}).get("state", "offline") for row in rig.hub.states()]


def lost_events(rig: KioskRig) -> int:
    """How often the hub was told that the sensor is gone."""
    bodies = [json.loads(event["body"]) for event in rig.hub.events() if event["class"] == "health"]
    return sum(body["state"] == "lost" for body in bodies)


def _until(rig: KioskRig, condition: Callable[[], bool], what: str) -> None:
    if not rig.hub.wait(lambda _: condition(), SOON):
        raise TimeoutError(f"the hub never heard: {what}")


def once(rig: KioskRig, byte: int) -> float:
    """Unplug `byte` bytes into an image; returns the seconds from replugging until the hub knows the sensor is back."""
    told = len(sensor_states(rig))
    rig.sensor.unplug(after=max(1, byte))
    rig.sensor.show(touch(1, 1))
    if not rig.sensor.unplugged.wait(SOON):
        raise TimeoutError("the sensor was never unplugged")
    rig.lift()
    _until(rig, lambda: "fault" in sensor_states(rig)[told:], "the sensor is gone")
    start = time.monotonic()
    rig.sensor.replug()
    _until(rig, lambda: sensor_states(rig)[-1] == "ready", "the sensor is back")
    return time.monotonic() - start


def run(times: int, seed: int) -> tuple[list[float], dict[str, Any]]:
    """The whole drill; the last encounter must work."""
    rng = random.Random(seed)
    with KioskRig() as rig, Watcher(rig) as watcher:
        enrol(rig, watcher)
        back = [once(rig, rng.randrange(IMAGE_BYTES)) for _ in range(times)]
        log = rig.log.read_text(encoding="utf-8")
        last = meet(rig, watcher, 0, 1)
        rig.hub.wait(lambda _: lost_events(rig) >= times, SOON)
        return back, {"outcome": last["outcome"], "lost_events": lost_events(rig), "warnings": log.count("WARNING")}


def main() -> int:
    """Run it and say what was seen; 1 when a return took longer than 2 s, or the hub was not told once each time."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--times", type=int, default=50)
    arguments.add_argument("--seed", type=int, default=1)
    asked = arguments.parse_args()
    back, seen = run(asked.times, asked.seed)
    back.sort()
    print(f"{asked.times} times unplugged, seed {asked.seed}; afterwards an encounter: {seen['outcome']}")
    print(f"replugged to known at the hub: median {back[len(back) // 2]:.2f} s, longest {back[-1]:.2f} s")
    print(f"health events 'lost' at the hub: {seen['lost_events']}; warnings in the log: {seen['warnings']}")
    return 1 if back[-1] > 2.0 or seen["outcome"] != "lead" or seen["lost_events"] != asked.times else 0


if __name__ == "__main__":
    sys.exit(main())
