"""kiosk-bench report: accuracy, time of an encoding and time of a search in one table and one picture."""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from simulators import bench_encode
from simulators.bench_compare import FINGER, PROCESSES, Pair, measure
from simulators.bench_encode import EncodeFigures
from simulators.bench_plot import PEERS, Curve, draw
from simulators.bench_rates import Rates, curve, pairs_of, rates_of
from simulators.bench_search import SearchFigures
from simulators.bench_search import measure as measure_search
from simulators.bench_yardstick import cache_folder, reference_card

FOUR = frozenset({"UareU", "FVC2002_DB1_B", "FVC2002_DB2_B", "FVC2000_DB1_B"})  # on which the peers were measured
SEARCHES = ((10_000, 2), (100_000, 2), (100_000, 1))  # persons, fingers of each
MILLION = (1_000_000, 1)
WIDTH = 110  # columns of the table in the file

out = Console(highlight=False, soft_wrap=True, stderr=True)


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Scores of some comparisons, under a name."""

    name: str
    pairs: Sequence[Pair]
    scores: Sequence[float | None]

    @property
    def rates(self) -> Rates:
        """What they say."""
        return rates_of(self.pairs, self.scores)


def report(
    folder: Annotated[Path, typer.Option("--out", help="Folder to write to.")] = Path("build/bench"),
    images: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Folder of sets, each of FINGER_IMPRESSION.png.")
    ] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", help="NAME or NAME=PPI; several.")] = None,
    persons: Annotated[list[str] | None, typer.Option("--search", help="PERSONS x FINGERS; several.")] = None,
    processes: Annotated[int, typer.Option(min=1, help="That compare.")] = PROCESSES,
    *,
    million: Annotated[bool, typer.Option("--million", help="Search a million too; 2 GB of disk.")] = False,
) -> None:
    """Run compare (where there are images), encode and search; write table.txt, figures.json and bench.png."""
    sizes = [_size(one) for one in persons] if persons else [*SEARCHES, *([MILLION] if million else [])]
    folder.mkdir(parents=True, exist_ok=True)
    accuracy = _compared(images, sets, processes) if images and sets else []
    encoded = bench_encode.measure(bench_encode.synthetic(), reference_card(cache_folder(), wanted=True))
    searches = [measure_search(*size, os.cpu_count() or 1) for size in sizes]
    tables = [_rates_table(accuracy), _encode_table(encoded), _search_table(searches)]
    with (folder / "table.txt").open("w", encoding="utf-8") as file:
        for console in (Console(highlight=False), Console(file=file, width=WIDTH)):
            for table in tables:
                console.print(table)
    _write_figures(folder / "figures.json", accuracy, encoded, searches)
    _draw(folder / "bench.png", accuracy, searches)


def _size(text: str) -> tuple[int, int]:
    try:
        size, fingers = (int(part) for part in text.split("x"))
    except ValueError:
        raise typer.BadParameter(f"{text}: a search is PERSONSxFINGERS, as 100000x2") from None
    return size, fingers


def _compared(root: Path, sets: Iterable[str], processes: int) -> list[Accuracy]:
    """Each set, and before them those that the peers were measured on, together."""
    listed: dict[str, list[Pair]] = {}
    for one in sets:
        name, _, resolution = one.partition("=")
        try:
            listed[name] = pairs_of(root, name, float(resolution or 500))
        except (OSError, ValueError) as error:
            raise typer.BadParameter(f"{one}: {error}") from error
    pairs = [pair for own in listed.values() for pair in own]
    scores = dict(zip(pairs, measure(FINGER, root, pairs, processes).scores, strict=True))
    pooled = [pair for name, own in listed.items() if name in FOUR for pair in own]
    groups = {"all": pooled, **listed} if listed.keys() >= FOUR else listed
    return [Accuracy(name, own, [scores[pair] for pair in own]) for name, own in groups.items()]


def _rates_table(accuracy: Sequence[Accuracy]) -> Table:
    columns = ("comparison", "genuine", "impostor", "EER %", "FNMR % at FMR 0.1 %", "FNIR0 %")
    table = Table(*columns, box=None, title="Accuracy", title_justify="left")
    for one in accuracy:
        name = "the four sets of the peers" if one.name == "all" else one.name
        rates = one.rates
        cells = (rates.genuine, rates.impostor, rates.eer, rates.fnmr, rates.fnir0)
        table.add_row(name, *(str(cell) for cell in cells))
    for peer in PEERS:
        table.add_row(f"({peer.name})", "2660", "35440", f"{peer.eer:g}", f"{peer.fnmr:g}", f"{peer.fnir0:g}")
    return table


def _encode_table(figures: EncodeFigures) -> Table:
    table = Table("encoding of 320x416", "value", box=None, title="Time of an encoding", title_justify="left")
    for name, value in asdict(figures).items():
        table.add_row(name.replace("_", " "), "-" if value is None else str(value))
    return table


def _search_table(searches: Sequence[SearchFigures]) -> Table:
    table = Table("search", box=None, title="Time of a search", title_justify="left")
    for one in searches:
        table.add_column(f"{one.persons} x {one.fingers}")
    for name in SearchFigures.__slots__:
        values = [getattr(one, name) for one in searches]
        table.add_row(name.replace("_", " "), *("-" if value is None else str(value) for value in values))
    return table


def _write_figures(
    path: Path, accuracy: Sequence[Accuracy], encoded: EncodeFigures, searches: Sequence[SearchFigures]
) -> None:
    figures = {
        "compare": {one.name: asdict(one.rates) for one in accuracy},
        "encode": asdict(encoded),
        "search": [asdict(one) for one in searches],
    }
    path.write_text(json.dumps(figures, indent=1), encoding="utf-8")


def _draw(path: Path, accuracy: Sequence[Accuracy], searches: Sequence[SearchFigures]) -> None:
    curves = {one.name: Curve(*curve(one.pairs, one.scores)) for one in accuracy}
    try:
        draw(path, curves, searches, peers="all" in curves)
    except ImportError:
        out.print("No picture: install the extra 'bench' (matplotlib).")
