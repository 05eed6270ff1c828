"""Ends updates of the lists at random moments: by kill -9, and by a power cut. After each, the kiosk is started again.

Two providers publish three times: the first lists, a change, a withdrawal. After each end, the start must succeed, the
kiosk must have the old lists or the new ones, and never a mixture. Then the update is made again: the kiosk must have
the new lists, nothing of what was withdrawn on the disk, and receipts for all of it.

For kill -9, a process makes the update on real files and is killed. For the power cut, what the update writes was
recorded once; what was not synced is left wholly, in part, or not at all (tests/rigs/power_cut.py). A cache of a disk
that says falsely that it has written is not part of it.

python -m tests.whole.drills.watchlist --ends 500 --seed 1
"""

import argparse
import hashlib
import multiprocessing
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from agent.watchlist.list_format import ListEntry
from agent.watchlist.receipt import verify_receipt
from agent.watchlist.segment import LOCAL
from simulators.provider.provider import ListProvider
from tests.conftest import FakeClock
from tests.rigs import strace
from tests.rigs.decrypted_pages import pages_of
from tests.rigs.list_keeper import KIOSK_KEY, KeeperRig, entry_of, make_provider
from tests.rigs.power_cut import Step, leave, record
from tests.rigs.store_key import TEST_KEY
from tests.whole.drills.command_line import drill_parser, report_problems

ROOT = Path(__file__).parents[3]
PROVIDERS = ("border", "police")
STAGES = ("the first lists", "a change", "a withdrawal")
TEMPLATES = 4  # synthetic persons whose templates the references share
HOUR_S = 3600.0

Lists = tuple[tuple[str, str], ...]  # the name of each list, and a hash of all that it has


@dataclass
class Result:
    """What happened."""

    ends: Counter[str] = field(default_factory=Counter)  # by kind, stage, and which lists were there after the start
    problems: list[str] = field(default_factory=list)


def clock_at(stage: int) -> FakeClock:
    """The time of a stage."""
    clock = FakeClock()
    clock.advance(HOUR_S * (stage + 1))
    return clock


def persons(provider: str, numbers: range) -> Iterator[ListEntry]:
    """Entries of a provider."""
    for number in numbers:
        entry = entry_of(number % TEMPLATES, clock_at(0).now())
        yield entry.model_copy(update={"reference_id": f"{provider}-{number}-id"})


class Repositories:
    """What the providers have published after each stage, and what a kiosk has then."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        self.withdrawn = [f"{name}-{number}-id" for name in PROVIDERS for number in range(0, size, 3)]
        with make_provider(folder / "lists", FakeClock(), *PROVIDERS) as lists:
            (folder / "root.json").write_bytes(lists.root_bytes())
            for stage in range(len(STAGES)):
                self._publish(lists, stage, size)
                shutil.copytree(lists.public, self.public(stage))
        self.content: list[Lists] = [()]
        for stage in range(len(STAGES)):
            if stage:
                shutil.copytree(self.kiosk(stage - 1), self.kiosk(stage))
            update(self.kiosk(stage), self, stage)
            with self.rig(self.kiosk(stage), stage) as rig:
                self.content.append(content_of(rig))

    def public(self, stage: int) -> Path:
        """The published folder after a stage."""
        return self.folder / f"public-{stage}"

    def kiosk(self, stage: int) -> Path:
        """The folder of a kiosk that has made the update of a stage. There is none before the first."""
        return self.folder / f"kiosk-{stage}"

    def rig(self, kiosk: Path, stage: int) -> KeeperRig:
        """A kiosk that is started."""
        return KeeperRig(kiosk, str(self.public(stage)), (self.folder / "root.json").read_bytes(), clock_at(stage))

    def _publish(self, lists: ListProvider, stage: int, size: int) -> None:
        if stage == 2:
            for name in PROVIDERS:
                lists.withdraw([one for one in self.withdrawn if one.startswith(name)], name)
        else:
            numbers = (range(size), range(size - size // 10, size + size // 10))[stage]
            for name in PROVIDERS:
                entries = list(persons(name, numbers))
                if stage:
                    entries = [one.model_copy(update={"instruction": "H-2"}) for one in entries]
                lists.put(entries, name)
        lists.publish(now=clock_at(stage).now())


def content_of(rig: KeeperRig) -> Lists:
    """A hash of everything that is searched, by list."""
    found = []
    for name, stored in sorted(rig.watchlist.in_memory.view.segments.items()):
        digest = hashlib.sha256(stored.segment.table.packed())
        digest.update(str(stored.segment.revision).encode())
        for kind, gallery in sorted(stored.segment.galleries.items()):
            digest.update(kind.encode())
            for block in gallery.blocks:
                digest.update(block.packed())
        if name != LOCAL:
            found.append((name, digest.hexdigest()))
    return tuple(found)


def update(kiosk: Path, repositories: Repositories, stage: int) -> None:
    """Start a kiosk, make the update of a stage and everything that is owed for it."""
    with repositories.rig(kiosk, stage) as rig:
        rig.keeper.tick()
        rig.keeper.tick()


def update_in_process(kiosk: Path, repositories: Repositories, stage: int, started: Connection) -> None:
    """update() in a process that is killed."""
    started.send(True)
    update(kiosk, repositories, stage)


class Drill:
    """Ends the updates."""

    def __init__(self, folder: Path, seed: int, size: int) -> None:
        self.folder, self.random, self.result = folder, random.Random(seed), Result()
        self.repositories = Repositories(folder, size)
        self._processes = multiprocessing.get_context("forkserver")
        self._processes.set_forkserver_preload([__name__])
        self._durations = [self._measure(stage) for stage in range(len(STAGES))]

    def kill(self, stage: int) -> None:
        """Kill the process that makes an update."""
        kiosk = self._before(stage)
        process = self._start(kiosk, stage)
        process.join(self.random.uniform(0, self._durations[stage]))
        process.kill()
        process.join()
        self._check("kill -9", kiosk, stage)

    def cut(self, stage: int, steps: list[Step]) -> None:
        """Cut the power during an update that was recorded."""
        kiosk = self.folder / "kiosk"
        before = self.folder / "none" if stage == 0 else self.repositories.kiosk(stage - 1)
        steps = steps[: self.random.randint(0, len(steps))]
        leave(steps, before, self.folder / f"recorded-{stage}", kiosk, self.random)
        self._check(f"power cut after {len(steps)} steps", kiosk, stage)

    def record(self, stage: int) -> list[Step]:
        """What an update does to the files."""
        kiosk = self._before(stage, f"recorded-{stage}")
        command = [sys.executable, "-m", "tests.whole.drills.watchlist", "--inside", str(self.folder)]
        return record([*command, "--stage", str(stage)], kiosk, self.folder / "strace.log", ROOT)

    def _measure(self, stage: int) -> float:
        kiosk = self._before(stage)
        process, began = self._start(kiosk, stage), time.monotonic()
        process.join()
        duration = time.monotonic() - began
        assert process.exitcode == 0
        shutil.rmtree(kiosk)
        return duration

    def _start(self, kiosk: Path, stage: int) -> ForkServerProcess:
        receiving, sending = self._processes.Pipe(duplex=False)
        process = self._processes.Process(target=update_in_process, args=(kiosk, self.repositories, stage, sending))
        process.start()
        sending.close()
        with receiving:
            receiving.recv()
        return process

    def _before(self, stage: int, name: str = "kiosk") -> Path:
        kiosk = self.folder / name
        if stage:
            shutil.copytree(self.repositories.kiosk(stage - 1), kiosk)
        return kiosk

    def _check(self, how: str, kiosk: Path, stage: int) -> None:
        kind, which = how.split(" after ", maxsplit=1)[0], "a start that fails"
        old, new = self.repositories.content[stage : stage + 2]
        try:
            with self.repositories.rig(kiosk, stage) as rig:
                found = content_of(rig)
                which = {old: "old", new: "new"}.get(found, "a mixture")
                rig.keeper.tick()
                rig.keeper.tick()
                problems = [*self._problems(rig, stage, new), *([which] if found not in (old, new) else [])]
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a result
            problems = [f"{which}: {type(error).__name__}: {error}"]
        self.result.ends[f"{kind}, {STAGES[stage]}: {which}"] += 1
        self.result.problems += [f"{how} in {STAGES[stage]}: {problem}" for problem in problems]
        shutil.rmtree(kiosk, ignore_errors=True)

    def _problems(self, rig: KeeperRig, stage: int, new: Lists) -> Iterator[str]:
        if content_of(rig) != new:
            yield f"the new lists are not there after the next check: {rig.keeper.problems}"
        receipts = [report.receipt for report in rig.reports() if report.receipt is not None]
        told = {one for receipt in receipts for one in verify_receipt(receipt, KIOSK_KEY.public()).reference_ids}
        expected = set(self.repositories.withdrawn) if stage == 2 else set()
        if told != expected:
            yield f"receipts for {len(told)} references instead of {len(expected)}"
        if rig.store.unused_segments():
            yield "blocks that no list uses are left"
        pages = pages_of(rig.folder / "watchlist.db", TEST_KEY)
        left = [one for one in expected if one.encode() in pages]
        if left:
            yield f"{len(left)} withdrawn references are still on the disk"


def run(ends: int, seed: int, size: int = 300) -> Result:
    """End updates so many times, half of them by kill -9 and half by a power cut if strace works here."""
    with tempfile.TemporaryDirectory() as name:
        drill = Drill(Path(name), seed, size)
        stages = range(len(STAGES))
        steps = [drill.record(stage) for stage in stages] if strace.works() else []
        for number in range(ends):
            stage = drill.random.choice(stages)
            if steps and number % 2:
                drill.cut(stage, steps[stage])
            else:
                drill.kill(stage)
        return drill.result


def main() -> int:
    """Run the drill and print what was there after each kind of end. Exit status 1 if there are problems."""
    parser = drill_parser(__doc__, ends=500)
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--stage", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        repositories = Repositories.__new__(Repositories)
        repositories.folder = arguments.inside
        update(arguments.inside / f"recorded-{arguments.stage}", repositories, arguments.stage)
        return 0
    began = time.monotonic()
    result = run(arguments.ends, arguments.seed)
    print(f"{arguments.ends} ends, seed {arguments.seed}, {timedelta(seconds=round(time.monotonic() - began))}")
    if not strace.works():
        print("strace does not work here: the power was not cut, all ends were kill -9")
    for what, count in sorted(result.ends.items()):
        print(f"{count:4} {what} lists after the start")
    return report_problems(result.problems)


if __name__ == "__main__":
    sys.exit(main())
