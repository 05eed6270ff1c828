"""kiosk-bench report: accuracy, time of an encoding and time of a search, as tables and a plot."""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from models.manifest import ModelCard, ModelError
from simulators.bench import encode_finger as bench_encode
from simulators.bench.compare_finger import FINGER, PROCESSES, Pair, measure, parse_resolution
from simulators.bench.encode_finger import EncodeFigures
from simulators.bench.figures import out
from simulators.bench.plot import PEERS, Curve, draw
from simulators.bench.rates import Rates, curve, pairs_of, rates_of
from simulators.bench.search_finger import MOST_FINGERS, SearchFigures
from simulators.bench.search_finger import measure as measure_search
from simulators.bench.yardstick import cache_folder, reference_card

PEER_SETS = frozenset({"UareU", "FVC2002_DB1_B", "FVC2002_DB2_B", "FVC2000_DB1_B"})  # the sets of the peers' figures
SEARCHES = ((10_000, 2), (100_000, 2), (100_000, 1))  # persons, fingers of each
MILLION = (1_000_000, 1)
SIZE = re.compile(r"([0-9]{1,9})x([0-9]{1,2})")  # PERSONSxFINGERS
WIDTH = 110  # columns of the table in the file


@dataclass(frozen=True, slots=True)
class Accuracy:
    """The scores of some comparisons, with a name."""

    name: str
    pairs: Sequence[Pair]
    scores: Sequence[float | None]

    @property
    def rates(self) -> Rates:
        """The error rates from the scores."""
        return rates_of(self.pairs, self.scores)


@dataclass(frozen=True, slots=True)
class Report:
    """The figures measured so far."""

    accuracy: Sequence[Accuracy]
    encoded: EncodeFigures | None = None
    searches: Sequence[SearchFigures] = ()


def report(
    folder: Annotated[Path, typer.Option("--out", file_okay=False, help="Folder to write to.")] = Path("build/bench"),
    images: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Folder of image sets: folders of FINGER_IMPRESSION.png."),
    ] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", help="NAME or NAME=PPI of a set; repeatable.")] = None,
    persons: Annotated[list[str] | None, typer.Option("--search", help="PERSONSxFINGERS; repeatable.")] = None,
    processes: Annotated[int, typer.Option(min=1, help="Number of processes that compare.")] = PROCESSES,
    *,
    million: Annotated[
        bool, typer.Option("--million", help="Search a gallery of a million too; needs 2 GB of disk.")
    ] = False,
) -> None:
    """Run compare (if images are given), encode and search; write table.txt, figures.json and bench.png."""
    sizes = [_size(one) for one in persons] if persons else [*SEARCHES, *([MILLION] if million else [])]
    listed = _listed(images, sets or ())
    yardstick = _yardstick()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for found in _measured(images, listed, processes, yardstick, sizes):
            _write_figures(folder / "figures.json", found)  # each part as soon as it is there
        _write_tables(folder / "table.txt", found)
        _draw(folder / "bench.png", found)
    except OSError as error:
        raise typer.BadParameter(str(error)) from error


def _size(text: str) -> tuple[int, int]:
    parts = SIZE.fullmatch(text)
    size, fingers = (int(part) for part in parts.groups()) if parts else (0, 0)
    if size < 1 or not 1 <= fingers <= MOST_FINGERS:
        raise typer.BadParameter(
            f"{text}: a search must be PERSONSxFINGERS, as 100000x2, with at least one person and 1 to {MOST_FINGERS} "
            "fingers"
        )
    return size, fingers


def _listed(root: Path | None, sets: Iterable[str]) -> dict[str, list[Pair]]:
    """The comparisons of each set; none without a folder of sets. BadParameter if a set cannot give rates."""
    names = list(sets)
    if root is None and not names:
        return {}
    if root is None or not names:
        raise typer.BadParameter("accuracy needs both --images, a folder of sets, and --set for each of the sets")
    listed: dict[str, list[Pair]] = {}
    for one in names:
        name, _, pixels_per_inch = one.partition("=")
        if name in listed:
            raise typer.BadParameter(f"{one}: this set is given twice")
        try:
            listed[name] = pairs_of(root, name, parse_resolution(pixels_per_inch))
        except (OSError, ValueError) as error:
            raise typer.BadParameter(f"{one}: {error}") from error
    return listed


def _yardstick() -> ModelCard | None:
    """The yardstick, checked before anything is measured."""
    card = reference_card(cache_folder(), wanted=True)
    try:
        if card is not None:
            card.read()
    except ModelError as error:
        raise typer.BadParameter(str(error)) from error
    return card


def _measured(
    root: Path | None,
    listed: Mapping[str, Sequence[Pair]],
    processes: int,
    yardstick: ModelCard | None,
    sizes: Iterable[tuple[int, int]],
) -> Iterator[Report]:
    """The report after each part, complete at the end."""
    found = Report(_compared(root, listed, processes) if root else ())
    yield found
    found = replace(found, encoded=bench_encode.measure(bench_encode.synthetic(), yardstick))
    yield found
    for size in sizes:
        found = replace(found, searches=(*found.searches, measure_search(*size, os.cpu_count() or 1)))
        yield found


def _compared(root: Path, listed: Mapping[str, Sequence[Pair]], processes: int) -> list[Accuracy]:
    """Each set; before them the sets that the peers were measured on, pooled."""
    pairs = [pair for own in listed.values() for pair in own]
    scores = dict(zip(pairs, measure(FINGER, root, pairs, processes).scores, strict=True))
    pooled = [pair for name, own in listed.items() if name in PEER_SETS for pair in own]
    groups = {"all": pooled, **listed} if listed.keys() >= PEER_SETS else listed
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


def _encode_table(figures: EncodeFigures | None) -> Table:
    table = Table("encoding of 320x416", "value", box=None, title="Time of an encoding", title_justify="left")
    for name, value in asdict(figures).items() if figures else ():
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


def _write_tables(path: Path, found: Report) -> None:
    tables = [_rates_table(found.accuracy), _encode_table(found.encoded), _search_table(found.searches)]
    with path.open("w", encoding="utf-8") as file:
        for console in (Console(highlight=False, emoji=False), Console(file=file, emoji=False, width=WIDTH)):
            for table in tables:
                console.print(table)


def _write_figures(path: Path, found: Report) -> None:
    figures = {
        "compare": {one.name: asdict(one.rates) for one in found.accuracy},
        "encode": asdict(found.encoded) if found.encoded else None,
        "search": [asdict(one) for one in found.searches],
    }
    path.write_text(json.dumps(figures, indent=1), encoding="utf-8")


def _draw(path: Path, found: Report) -> None:
    curves = {one.name: Curve(*curve(one.pairs, one.scores)) for one in found.accuracy}
    try:
        draw(path, curves, found.searches, peers="all" in curves)
    except ImportError:
        out.print("No plot: install the extra 'bench' (matplotlib).")
