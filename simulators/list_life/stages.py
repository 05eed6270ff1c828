"""The stages of kiosk-bench list. The code is the agent's own; the repository is that of kiosk-list, in a folder."""

import gc
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from agent.clock import SystemClock
from agent.distribution.repository import ListRepository, Versions
from agent.distribution.source import open_source
from agent.events.event import Category
from agent.hub.outbox import Outbox
from agent.storage.encryption import StoreKey
from agent.updates.keeper import KeeperConfig, ListKeeper
from agent.updates.updater import ListUpdater
from agent.watchlist.list_format import AgreementTerms, ListEntry
from agent.watchlist.store import WatchlistStore, open_watchlist_store
from agent.watchlist.watchlist import Watchlist
from drivers.sample import Position
from models import gallery_class, imported, search_threads
from models.finger.template import FORMAT as FINGER_FORMAT
from models.iris.template import FORMAT as IRIS_FORMAT
from models.template import Template
from simulators.extras import explain_missing_library

with explain_missing_library():
    from simulators.provider.provider import Lines, ListProvider
    from simulators.provider.synthetic import crowd
    from simulators.provider.terms import EntryTerms


out = Console(highlight=False, emoji=False, soft_wrap=True, stderr=True)

POSITIONS = (Position.RIGHT_INDEX, Position.LEFT_INDEX, Position.RIGHT_EYE, Position.LEFT_EYE)
FEWER = (Position.RIGHT_INDEX, Position.RIGHT_EYE)  # of a list that is written directly
PROVIDER, AGREEMENT = "bench", "treaty"
CHANGED_SHARE = 0.01  # of the persons: half of them are new, half of them are withdrawn
BEFORE = 12  # searches before the update, whose median is the time without one
PAUSE_S = 0.3  # between two searches: no kiosk has a traveller after the other without any
LIMIT = 5
NEVER_S = 86_400.0
MEGABYTE = 1e6
SEED, NEW_SEED = 1, 2


@dataclass(frozen=True, slots=True)
class Bench:
    """Where everything is, and how much of it there is."""

    folder: Path
    key: bytes
    persons: int
    threads: int

    @property
    def store(self) -> Path:
        """The kiosk's file."""
        return self.folder / "watchlist.db"

    def open_store(self) -> WatchlistStore:
        """A handle for the calling thread."""
        return open_watchlist_store(self.store, key=StoreKey(self.key))

    def open_outbox(self) -> Outbox:
        """A handle for the calling thread."""
        return Outbox(self.folder / "outbox.db", "bench", key=StoreKey(self.key))

    def repository(self, name: str) -> Path:
        """A published repository: `first`, or `second` with the delta."""
        return self.folder / "lists" / ("public" if name == "second" else name)


@dataclass(frozen=True, slots=True)
class RestartFigures:
    """The opening of a list that is on the disk. Memory: what the process takes for it, and for one search."""

    persons: int
    threads: int
    packed_mb: float  # the arrays that are searched
    disk_mb: float
    open_s: float  # until the list is in memory
    ready_s: float  # until the first traveller has been searched for
    memory_mb: float
    memory_over_packed: float


def changed_persons(persons: int) -> int:
    """How many persons the delta adds, and how many it withdraws."""
    return max(1, round(persons * CHANGED_SHARE / 2))


def publish(bench: Bench) -> float:
    """Publish the list twice: as it is at first, then with the delta. Returns the seconds of the first time."""
    rng, now = np.random.default_rng(SEED), datetime.now(UTC)
    count = changed_persons(bench.persons)
    with ListProvider.init(bench.folder / "lists", [PROVIDER]) as lists:
        lists.agree(_agreement(now))
        started = time.perf_counter()
        lists.put(_entries(SEED, bench.persons, now))
        lists.publish(progress=_shown)
        seconds = time.perf_counter() - started
        # Files of a repository never change: the first one is these same files.
        shutil.copytree(bench.repository("second"), bench.repository("first"), copy_function=os.link)
        lists.withdraw(rng.choice(lists.ids(), count, replace=False).tolist())
        lists.put(_entries(NEW_SEED, count, now))
        lists.publish(progress=_shown)
    return seconds


def _shown(what: str, total: int, lines: Lines, /) -> Lines:
    return track(lines, what, total or None, console=out)


def _agreement(now: datetime) -> AgreementTerms:
    return AgreementTerms(
        id=AGREEMENT,
        provider=PROVIDER,
        purpose="bench",
        legal_basis="bench",
        necessity="N-1",
        recipients=("hub",),
        keep_days=365,
        review_by=now + timedelta(days=300),
    )


def _entries(seed: int, persons: int, now: datetime) -> Iterator[ListEntry]:
    day = timedelta(days=1)
    terms = EntryTerms(AGREEMENT, Category.WANTED, "H-1", "N-1", now, now, now + 90 * day, now + 60 * day)
    for reference_id, templates in track(crowd(seed, persons, POSITIONS), "making people", persons, console=out):
        yield terms.entry(reference_id, templates)


@contextmanager
def kiosk(bench: Bench, source: Callable[[], Path]) -> Iterator[tuple[Watchlist, ListUpdater]]:
    """The lane's list, and the updater in its thread; `source` is asked at each check."""

    def open_repository(now: datetime, floor: Versions | None) -> ListRepository:
        root = (bench.folder / "lists" / "root.json").read_bytes()
        fetcher = open_source(str(source()))
        return ListRepository(
            fetcher, root=root, metadata_dir=bench.folder / "list-metadata", trusted_now=now, floor=floor
        )

    @contextmanager
    def open_keeper(updater: ListUpdater) -> Iterator[ListKeeper]:
        config = KeeperConfig(open_repository, _unsigned, NEVER_S, NEVER_S)
        with bench.open_store() as store, bench.open_outbox() as outbox:
            yield ListKeeper(config, store, outbox, watchlist.in_memory, SystemClock(), beat=updater.beat)

    search_threads.set_thread_count(bench.threads)
    with closing(Watchlist(bench.store, SystemClock(), key=StoreKey(bench.key), providers=True)) as watchlist:
        updater = ListUpdater(open_keeper, lambda *_: None)
        updater.start()
        try:
            yield watchlist, updater
        finally:
            updater.stop(within=60.0)


def _unsigned(*_: object) -> str:
    """In place of a receipt: how long a signature takes is not measured."""
    return ""


def _checked(keeper: ListKeeper) -> Mapping[str, str]:
    """Problems of the check that the first tick made."""
    return dict(keeper.problems)


def _no_problem(problems: Mapping[str, str]) -> None:
    if problems:
        raise RuntimeError(f"the list was not updated: {problems}")


def first_load(bench: Bench) -> tuple[float, float]:
    """The seconds until a list that is published is searched, and the peak of memory in bytes."""
    _warm_up()
    started = time.perf_counter()
    with kiosk(bench, lambda: bench.repository("first")) as (watchlist, updater):
        _no_problem(updater.submit(_checked).result())
        seconds = time.perf_counter() - started
        assert watchlist.in_memory.view.references == bench.persons
    return seconds, _status("VmHWM")


def restart(bench: Bench) -> RestartFigures:
    """Open the list that is on the disk, and search once."""
    _warm_up()
    search_threads.set_thread_count(bench.threads)
    gc.collect()
    before, started = _status("VmRSS"), time.perf_counter()
    with closing(Watchlist(bench.store, SystemClock(), key=StoreKey(bench.key), providers=True)) as watchlist:
        open_s = time.perf_counter() - started
        watchlist.search(_probes(FEWER), LIMIT)
        ready_s = time.perf_counter() - started
        gc.collect()
        packed, memory = sum(one.nbytes for one in watchlist.in_memory.view), _status("VmRSS") - before
        assert watchlist.in_memory.view.references == bench.persons
    return RestartFigures(
        persons=bench.persons,
        threads=bench.threads,
        packed_mb=megabytes(packed),
        disk_mb=megabytes(disk_of(bench)),
        open_s=round(open_s, 1),
        ready_s=round(ready_s, 1),
        memory_mb=megabytes(memory),
        memory_over_packed=round(memory / packed, 2),
    )


@dataclass(frozen=True, slots=True)
class Update:
    """The seconds of each search before and during an update, the seconds of the update, and memory in bytes."""

    before: Sequence[float]
    during: Sequence[float]
    seconds: float
    peak: float


def update(bench: Bench) -> Update:
    """Search again and again, without an update and then during one."""
    _warm_up()
    source = bench.repository("first")
    with kiosk(bench, lambda: source) as (watchlist, updater):
        _no_problem(updater.submit(_checked).result())
        probes = _probes(POSITIONS)

        def search() -> float:
            time.sleep(PAUSE_S)
            started = time.perf_counter()
            watchlist.search(probes, LIMIT)
            return time.perf_counter() - started

        search()  # the first one reads memory that was not read before
        before = [search() for _ in range(BEFORE)]
        revision, source = watchlist.in_memory.view.revision, bench.repository("second")
        started = time.perf_counter()
        done: Future[Mapping[str, str]] = updater.submit(ListKeeper.check)
        during = [search()]
        while not done.done():
            during.append(search())
        seconds = time.perf_counter() - started
        _no_problem(updater.submit(_checked).result())
        assert watchlist.in_memory.view.revision > revision
    return Update(before, during, seconds, _status("VmHWM"))


def _probes(positions: Sequence[Position]) -> dict[Position, Template]:
    """The templates of a person who is not on the list."""
    ((_, templates),) = crowd(SEED + 2, 1, positions)
    return {position: imported(template) for position, template in templates}


def _warm_up() -> None:
    for name in (FINGER_FORMAT, IRIS_FORMAT):
        gallery_class(name).build(())


def disk_of(bench: Bench) -> int:
    """The bytes of the kiosk's file, with its log."""
    return sum(path.stat().st_size for path in bench.folder.glob(f"{bench.store.name}*"))


def megabytes(number: float) -> float:
    """Bytes as megabytes."""
    return round(number / MEGABYTE, 1)


def _status(name: str) -> int:
    """A figure of this process's memory, in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
