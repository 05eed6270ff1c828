"""What the measurements share: timing, and the output of their figures."""

import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rich.console import Console
from rich.progress import track
from rich.table import Table

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

A = TypeVar("A")
T = TypeVar("T")

out = Console(highlight=False, emoji=False, soft_wrap=True, stderr=True)


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """The seconds that `work` takes, by the wall clock, and its result."""
    start = time.perf_counter()
    done = work()
    return time.perf_counter() - start, done


def cpu_timed(work: Callable[[], T]) -> tuple[float, T]:
    """The seconds of CPU time of this thread that `work` takes, and its result."""
    start = time.thread_time()
    done = work()
    return time.thread_time() - start, done


class Timings:
    """The times of several workloads, each run with the same items in turn.

    On a shared computer the times vary, but their ratios do not, because every item goes through all workloads in turn.
    """

    def __init__(self, workloads: Mapping[str, Callable[[A], Any]], items: Sequence[A]) -> None:
        self._names = workloads.keys()
        self._rounds = [
            {name: timed(partial(run, item))[0] for name, run in workloads.items()}
            for item in track(items, "encoding", console=out)
        ]

    def median_ms(self, name: str) -> float | None:
        """The median time of a workload, milliseconds; None if it was not run."""
        if name not in self._names:
            return None
        return round(statistics.median(1000 * times[name] for times in self._rounds), 1)

    def ratio(self, name: str, over: str, digits: int) -> float | None:
        """The median of the ratios of two workloads on the same item; None if one was not run."""
        if not {name, over} <= self._names:
            return None
        return round(statistics.median(times[name] / times[over] for times in self._rounds), digits)


def write_figures(figures: "DataclassInstance", json_file: Path | None) -> None:
    """Print the figures as a table, and write them to a JSON file if one is given."""
    print_table(asdict(figures))
    if json_file is not None:
        json_file.write_text(json.dumps(asdict(figures), indent=1), encoding="utf-8")


def print_table(figures: Mapping[str, object]) -> None:
    """Print figures, one a line; `-` if a figure is unknown."""
    table = Table("figure", "value", box=None)
    for name, value in figures.items():
        table.add_row(name.replace("_", " "), "-" if value is None else str(value))
    Console(highlight=False, emoji=False).print(table)
