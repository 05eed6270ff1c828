"""Measures memory, threads and open files of the daemon over many encounters.

python -m tests.whole.drills.memory --encounters 2000
"""

import sys
import time
from pathlib import Path

from simulators.kiosk_rig import KioskRig, Watcher
from tests.whole.drills.command_line import drill_parser
from tests.whole.drills.fingers import PEOPLE, enrol, run_encounter

WARM_UP = 0.1  # share of the encounters after which memory must not grow any more
MAX_GROWTH_MB = 8.0


def process_status(pid: int) -> dict[str, int]:
    """Resident memory (kB), threads and open files of a process."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    fields = dict(line.split(":", 1) for line in text.splitlines())
    return {
        "rss_kb": int(fields["VmRSS"].split()[0]),
        "threads": int(fields["Threads"]),
        "files": len(list(Path(f"/proc/{pid}/fd").iterdir())),
    }


def run(encounters: int, every: int) -> list[tuple[int, dict[str, int]]]:
    """(encounter, status of the agent), once every `every` encounters."""
    readings = []
    with KioskRig() as rig, Watcher(rig) as watcher:
        enrol(rig, watcher)
        assert rig.agent is not None
        for number in range(encounters + 1):
            if number % every == 0:
                readings.append((number, process_status(rig.agent.pid)))
            run_encounter(rig, watcher, PEOPLE[number % len(PEOPLE)], 1 + number % 8)
    return readings


def main() -> int:
    """Run the drill and print the readings. Exit status 1 if memory, threads or files grew after the warm-up."""
    arguments = drill_parser(__doc__, seed=False, encounters=2000).parse_args()
    start = time.monotonic()
    readings = run(arguments.encounters, max(1, arguments.encounters // 20))
    for number, at in readings:
        print(f"{number:>6}  {at['rss_kb'] / 1024:7.1f} MB  {at['threads']} threads  {at['files']} files")
    warm = [at for number, at in readings if number >= WARM_UP * arguments.encounters]
    growth = (warm[-1]["rss_kb"] - warm[0]["rss_kb"]) / 1024
    leaked = max(at["threads"] for at in warm) > warm[0]["threads"] or warm[-1]["files"] > warm[0]["files"]
    print(f"{arguments.encounters} encounters in {time.monotonic() - start:.0f} s: {growth:+.1f} MB after the warm-up")
    return 1 if growth > MAX_GROWTH_MB or leaked else 0


if __name__ == "__main__":
    sys.exit(main())
