"""Two readers of one kind are pulled out and put back in any order, into any socket: each name keeps its reader.

    python -m tests.whole.drills.swaps --rounds 100

The devices are behind the real libusb, by umockdev, so that ports, serial numbers and addresses are looked up as on a
real machine: each plugging in gets another address. By serial number a reader must be found wherever it is; by port,
whatever is plugged in there. The finger on each reader has a grey of its own, which tells whose image it is.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from drivers.errors import LinkLost
from drivers.nb1010.driver import Nb1010
from simulators.transports.remote import SensorRemote
from tests.rigs.umockdev import ROOT, command, missing
from tests.rigs.usb_machines import LEVELS, PORTS, SERIALS

FIND_S = 5.0  # to find a reader again after it was plugged in


def grey_at(url: str) -> int:
    """Open the reader that `url` names, take an image, and say what grey it has."""
    sensor = Nb1010(url, {})
    until = time.monotonic() + FIND_S
    try:
        while True:
            try:
                sensor.open()
                break
            except LinkLost:
                if time.monotonic() > until:
                    raise
        return int(sensor.capture(1.0).image[0, 0])
    finally:
        sensor.close()


class Desk:
    """The two readers and who is plugged in where."""

    def __init__(self, control: Path, seed: int) -> None:
        self.remote = SensorRemote(control=control)
        self.random = random.Random(seed)
        self.at = dict(enumerate(PORTS))  # reader -> socket

    def shuffle(self) -> None:
        """Pull one or both out, and put them back in any order, into the same or the other's socket."""
        pulled = self.random.sample(list(self.at), self.random.choice([1, 2, 2]))
        free = [self.at[reader] for reader in pulled]
        for reader in pulled:
            self.remote.ask("unplug", port=PORTS[reader])
        self.random.shuffle(free)
        self.random.shuffle(pulled)
        for reader, socket in zip(pulled, free, strict=True):
            self.remote.ask("replug", port=PORTS[reader], to=socket)
            self.at[reader] = socket

    def wrong(self) -> int:
        """How many of the four names lead to the wrong reader."""
        named = [(f"serial={SERIALS[reader]}", reader) for reader in self.at]
        named += [(f"port={socket}", reader) for reader, socket in self.at.items()]
        self.random.shuffle(named)
        return sum(grey_at(f"usb:298d:1010?{name}") != LEVELS[reader] for name, reader in named)


def inside(control: Path, rounds: int, seed: int) -> dict[str, int]:
    """The drill itself, on the simulated machine."""
    desk = Desk(control, seed)
    wrong = moved = 0
    for _ in range(rounds):
        before = dict(desk.at)
        desk.shuffle()
        moved += desk.at != before
        wrong += desk.wrong()
    return {"rounds": rounds, "exchanged": moved, "opened": 4 * rounds, "swaps": wrong}


def run(rounds: int, seed: int) -> dict[str, int]:
    """Run the drill in a child under umockdev; what it saw."""
    with tempfile.TemporaryDirectory() as folder:
        control = Path(folder) / "control"
        child = [sys.executable, "-m", "tests.whole.drills.swaps", "--inside", str(control)]
        child += ["--rounds", str(rounds), "--seed", str(seed)]
        whole = command("tests.rigs.usb_machines:readers", control, *child)
        done = subprocess.run(whole, cwd=ROOT, check=True, capture_output=True, text=True)
    seen: dict[str, int] = json.loads(done.stdout)
    return seen


def main() -> int:
    """Run it and say what was seen; 1 when a name ever led to the wrong reader."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=100)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    asked = arguments.parse_args()
    if asked.inside:
        print(json.dumps(inside(asked.inside, asked.rounds, asked.seed)))
        return 0
    if missing():
        print(missing())
        return 1
    began = time.monotonic()
    seen = run(asked.rounds, asked.seed)
    print(f"{seen['rounds']} rounds, seed {asked.seed}, {time.monotonic() - began:.0f} s, behind the real libusb")
    print(f"readers exchanged their sockets {seen['exchanged']} times; {seen['opened']} times one was opened by name")
    print(f"swaps: {seen['swaps']}")
    return 1 if seen["swaps"] else 0


if __name__ == "__main__":
    sys.exit(main())
