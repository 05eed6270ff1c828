"""Memory of the daemon over many encounters.

python -m tests.whole.drills.memory --encounters 2000
"""

import argparse
import sys
import time
from pathlib import Path

from simulators.kiosk_rig import KioskRig, Watcher
from tests.whole.drills.fingers import PEOPLE, enrol, meet

WARM_UP = 0.1  # the share of encounters after which memory must no longer grow
ALLOWED_MB = 8.0


def status(pid: int) -> dict[str, int]:
    """Resident memory (kB), threads and open files of a process."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    fields = dict(line.split(":", 1) for line in text.splitlines())
    return {
        "rss_kb": int(fields["VmRSS"].split()[0]),
        "threads": int(fields["Threads"]),
        "files": len(list(Path(f"/proc/{pid}/fd").iterdir())),
    }


def run(encounters: int, every: int) -> list[tuple[int, dict[str, int]]]:
    """(encounter, status) at regular distances."""
    seen = []
    with KioskRig() as rig, Watcher(rig) as watcher:
        enrol(rig, watcher)
        assert rig.agent is not None
        for number in range(encounters + 1):
            if number % every == 0:
                seen.append((number, status(rig.agent.pid)))
            meet(rig, watcher, PEOPLE[number % len(PEOPLE)], 1 + number % 8)
    return seen


def main() -> int:
    """Run it and say what was seen; 1 when memory, threads or files grew after the warm-up."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--encounters", type=int, default=2000)
    asked = arguments.parse_args()
    start = time.monotonic()
    seen = run(asked.encounters, max(1, asked.encounters // 20))
    for number, at in seen:
        print(f"{number:>6}  {at['rss_kb'] / 1024:7.1f} MB  {at['threads']} threads  {at['files']} files")
    warm = [at for number, at in seen if number >= WARM_UP * asked.encounters]
    growth = (warm[-1]["rss_kb"] - warm[0]["rss_kb"]) / 1024
    leaked = max(at["threads"] for at in warm) > warm[0]["threads"] or warm[-1]["files"] > warm[0]["files"]
    print(f"{asked.encounters} encounters in {time.monotonic() - start:.0f} s: {growth:+.1f} MB after the warm-up")
    return 1 if growth > ALLOWED_MB or leaked else 0


if __name__ == "__main__":
    sys.exit(main())
