"""Unplugs two readers of one model and plugs them in again in any port. Each URL must still open the correct reader.

The devices are behind the real libusb, by umockdev, so ports, serial numbers and addresses are looked up as on a real
computer. A device gets another address each time it is plugged in. A URL with a serial number must find this reader in
any port. A URL with a port must find the reader that is plugged in there. The fingers on the two readers have different
grey values, so an image shows which reader it is from.

python -m tests.whole.drills.swaps --rounds 100
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
from tests.whole.drills.command_line import drill_parser

FIND_S = 5.0  # time to find a reader after it was plugged in


def captured_grey(url: str) -> int:
    """Open the reader of a URL and capture an image. The grey value of the image."""
    sensor = Nb1010(url, {})
    deadline = time.monotonic() + FIND_S
    try:
        while True:
            try:
                sensor.open()
                break
            except LinkLost:
                if time.monotonic() > deadline:
                    raise
        return int(sensor.capture(1.0).image[0, 0])
    finally:
        sensor.close()


class TwoReaders:
    """The two readers and the port of each."""

    def __init__(self, control: Path, seed: int) -> None:
        self.remote = SensorRemote(control=control)
        self.random = random.Random(seed)
        self.at = dict(enumerate(PORTS))  # reader -> port

    def shuffle(self) -> None:
        """Unplug one or both readers, and plug them in again in any order, into the same or the other port."""
        pulled = self.random.sample(list(self.at), self.random.choice([1, 2, 2]))
        free = [self.at[reader] for reader in pulled]
        for reader in pulled:
            self.remote.ask("unplug", port=PORTS[reader])
        self.random.shuffle(free)
        self.random.shuffle(pulled)
        for reader, port in zip(pulled, free, strict=True):
            self.remote.ask("replug", port=PORTS[reader], to=port)
            self.at[reader] = port

    def count_wrong(self) -> int:
        """How many of the four URLs open the wrong reader."""
        queries = [(f"serial={SERIALS[reader]}", reader) for reader in self.at]
        queries += [(f"port={port}", reader) for reader, port in self.at.items()]
        self.random.shuffle(queries)
        return sum(captured_grey(f"usb:298d:1010?{query}") != LEVELS[reader] for query, reader in queries)


def run_rounds(control: Path, rounds: int, seed: int) -> dict[str, int]:
    """The drill itself, in the child process on the simulated USB host."""
    readers = TwoReaders(control, seed)
    wrong = moved = 0
    for _ in range(rounds):
        before = dict(readers.at)
        readers.shuffle()
        moved += readers.at != before
        wrong += readers.count_wrong()
    return {"rounds": rounds, "exchanged": moved, "opened": 4 * rounds, "swaps": wrong}


def run(rounds: int, seed: int) -> dict[str, int]:
    """Run the drill in a child process under umockdev. The counts that it prints."""
    with tempfile.TemporaryDirectory() as folder:
        control = Path(folder) / "control"
        child = [sys.executable, "-m", "tests.whole.drills.swaps", "--inside", str(control)]
        child += ["--rounds", str(rounds), "--seed", str(seed)]
        whole = command("tests.rigs.usb_machines:readers", control, *child)
        done = subprocess.run(whole, cwd=ROOT, check=True, capture_output=True, text=True)
    counts: dict[str, int] = json.loads(done.stdout)
    return counts


def main() -> int:
    """Run the drill and print the counts. Exit status 1 if a URL opened the wrong reader."""
    parser = drill_parser(__doc__, rounds=100)
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        print(json.dumps(run_rounds(arguments.inside, arguments.rounds, arguments.seed)))
        return 0
    if missing():
        print(missing())
        return 1
    began = time.monotonic()
    counts = run(arguments.rounds, arguments.seed)
    print(f"{counts['rounds']} rounds, seed {arguments.seed}, {time.monotonic() - began:.0f} s, behind the real libusb")
    print(f"the readers changed ports {counts['exchanged']} times and were opened {counts['opened']} times")
    print(f"wrong reader opened: {counts['swaps']} times")
    return 1 if counts["swaps"] else 0


if __name__ == "__main__":
    sys.exit(main())
