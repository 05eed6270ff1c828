"""kiosk-bench list: a provider's list is loaded, changed while the kiosk searches, and opened again after a restart.

Each stage is a process of its own, so that its memory is that of this stage. A search is one traveller with all
fingers and eyes of the list.
"""

import multiprocessing
import secrets
import statistics
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from agent.storage.encryption import KEY_BYTES
from simulators.bench.figures import write_figures
from simulators.bench.files import writable
from simulators.list_life.direct import write
from simulators.list_life.stages import (
    Bench,
    RestartFigures,
    changed_persons,
    disk_of,
    first_load,
    megabytes,
    publish,
    restart,
    update,
)

PERSONS, MILLION = 100_000, 1_000_000

A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class ListFigures:
    """The life of a list. The pause: the longest search during the update, less the median of those before it."""

    persons: int
    threads: int
    publish_s: float  # the provider: made, signed and published
    first_load_s: float
    first_load_peak_mb: float
    packed_mb: float
    disk_mb: float
    open_s: float
    ready_s: float
    memory_mb: float
    memory_over_packed: float
    delta_persons: int
    delta_s: float
    delta_peak_mb: float
    disk_after_delta_mb: float
    searches_during: int
    search_before_ms: float
    search_before_longest_ms: float
    search_during_ms: float
    search_during_longest_ms: float
    pause_ms: float


def measure_restart(persons: int, threads: int) -> RestartFigures:
    """Figures of a list that was written directly to the disk."""
    with _bench(persons, threads) as bench:
        alone(write, bench)
        return alone(restart, bench)


def measure(persons: int, threads: int) -> ListFigures:
    """Figures of the life of a list."""
    with _bench(persons, threads) as bench:
        publish_s = alone(publish, bench)
        first_load_s, first_load_peak = alone(first_load, bench)
        opened = alone(restart, bench)
        updated = alone(update, bench)
        before, during = statistics.median(updated.before), max(updated.during)
        return ListFigures(
            publish_s=round(publish_s, 1),
            first_load_s=round(first_load_s, 1),
            first_load_peak_mb=megabytes(first_load_peak),
            delta_persons=2 * changed_persons(persons),
            delta_s=round(updated.seconds, 1),
            delta_peak_mb=megabytes(updated.peak),
            disk_after_delta_mb=megabytes(disk_of(bench)),
            searches_during=len(updated.during),
            search_before_ms=_milliseconds(before),
            search_before_longest_ms=_milliseconds(max(updated.before)),
            search_during_ms=_milliseconds(statistics.median(updated.during)),
            search_during_longest_ms=_milliseconds(during),
            pause_ms=_milliseconds(during - before),
            **{name: getattr(opened, name) for name in opened.__dataclass_fields__},
        )


def _milliseconds(seconds: float) -> float:
    return round(1000 * seconds, 1)


@contextmanager
def _bench(persons: int, threads: int) -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="kiosk-bench-") as folder:
        yield Bench(Path(folder), secrets.token_bytes(KEY_BYTES), persons, threads)


def alone(stage: Callable[[Bench], A], bench: Bench) -> A:
    """Run a stage in a new process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(stage, bench).result()


def measure_list(
    size: Annotated[int, typer.Option(min=2, help="Number of persons on the list.")] = PERSONS,
    threads: Annotated[int, typer.Option(min=1, help="As models.threads of the configuration.")] = 2,
    json_file: Annotated[Path | None, typer.Option("--json", callback=writable, help="Write the figures here.")] = None,
    *,
    million: Annotated[
        bool,
        typer.Option("--million", help=f"Only the restart, with {MILLION} persons of one finger and one iris."),
    ] = False,
) -> None:
    """Measure a list of persons with two fingers and two irises: first load, restart, update while it is searched."""
    write_figures(measure_restart(MILLION, threads) if million else measure(size, threads), json_file)
