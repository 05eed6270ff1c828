"""kiosk-bench report: accuracy, time of an encoding and time of a search in one table and one picture."""

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
from simulators.bench.compare_finger import FINGER, PROCESSES, Pair, measure, resolution
from simulators.bench.encode_finger import EncodeFigures
from simulators.bench.plot import PEERS, Curve, draw
from simulators.bench.rates import Rates, curve, pairs_of, rates_of
from simulators.bench.search_finger import MOST_FINGERS, SearchFigures
from simulators.bench.search_finger import measure as measure_search
from simulators.bench.yardstick import cache_folder, reference_card

FOUR = frozenset({"UareU", "FVC2002_DB1_B", "FVC2002_DB2_B", "FVC2000_DB1_B"})  # on which the peers were measured
SEARCHES = ((10_000, 2), (100_000, 2), (100_000, 1))  # persons, fingers of each
MILLION = (1_000_000, 1)
SIZE = re.compile(r"([0-9]{1,9})x([0-9]{1,2})")  # PERSONSxFINGERS
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


@dataclass(frozen=True, slots=True)
class Report:
    """What is measured so far."""

    accuracy: Sequence[Accuracy]
    encoded: EncodeFigures | None = None
    searches: Sequence[SearchFigures] = ()


def report(
    folder: Annotated[Path, typer.Option("--out", file_okay=False, help="Folder to write to.")] = Path("build/bench"),
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
            f"{text}: a search is PERSONSxFINGERS, as 100000x2, of at least one person and 1 to {MOST_FINGERS} fingers"
        )
    return size, fingers


def _listed(root: Path | None, sets: Iterable[str]) -> dict[str, list[Pair]]:
    """The comparisons of each set, none without a folder of sets. BadParameter when a set gives no rates."""
    names = list(sets)
    if root is None and not names:
        return {}
    if root is None or not names:
        raise typer.BadParameter("accuracy needs both: --images, a folder of sets, and --set for each of these")
    listed: dict[str, list[Pair]] = {}
    for one in names:
        name, _, pixels_per_inch = one.partition("=")
        if name in listed:
            raise typer.BadParameter(f"{one}: this set is named twice")
        try:
            listed[name] = pairs_of(root, name, resolution(pixels_per_inch))
        except (OSError, ValueError) as error:
            raise typer.BadParameter(f"{one}: {error}") from error
    return listed


def _yardstick() -> ModelCard | None:
    """What encodings are timed beside, checked before anything is measured."""
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
    """The report after each part of it, the whole at the end."""
    found = Report(_compared(root, listed, processes) if root else ())
    yield found
    found = replace(found, encoded=bench_encode.measure(bench_encode.synthetic(), yardstick))
    yield found
    for size in sizes:
        found = replace(found, searches=(*found.searches, measure_search(*size, os.cpu_count() or 1)))
        yield found


def _compared(root: Path, listed: Mapping[str, Sequence[Pair]], processes: int) -> list[Accuracy]:
    """Each set, and before them those that the peers were measured on, together."""
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
        for console in (Console(highlight=False), Console(file=file, width=WIDTH)):
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
        out.print("No picture: install the extra 'bench' (matplotlib).")
