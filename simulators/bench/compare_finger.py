"""kiosk-bench compare: the comparison score of each pair of a list, for tools that compute error rates.

The list is a CSV file with the columns probe, reference (paths below a folder), label (genuine or impostor) and, for
fingers, ppi_probe and ppi_reference (100 to 4000; empty: 500). The answer has the columns probe, reference, label,
score in the same order; the score of a pair with an image that cannot be used is empty.
"""

import csv
import functools
import itertools
import math
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NamedTuple, Protocol, TypeVar

import typer
from rich.console import Console
from rich.progress import track

from drivers.sample import Modality, Position, Sample
from models.finger.compare.score import score, template_cylinders
from models.finger.encoder import MODEL, FingerEncoder
from models.finger.image import PPI_RANGE
from models.finger.minutiae import PIXELS_PER_INCH
from models.finger.template import unpack
from models.manifest import ModelError, encoder_card
from models.template import Template
from simulators.bench.files import writable
from simulators.images import ImageFileError, read_grey

COLUMNS = ("probe", "reference", "label")
LABELS = ("genuine", "impostor")
PROCESSES = 2
CHUNK = 2000  # comparisons that a process takes at a time: about a third of a second
TEMPLATES_KEPT = 4096  # by each process, ready to compare: about 10 KB each
NAMED = 10  # unusable images that are named one by one

out = Console(highlight=False, soft_wrap=True, stderr=True)
A = TypeVar("A")
B = TypeVar("B")

app = typer.Typer(help="Scores of listed pairs of images, for error rates.", no_args_is_help=True)


class Picture(NamedTuple):
    """An image file below the root, and its resolution where that matters."""

    path: str
    pixels_per_inch: float


@dataclass(frozen=True, slots=True)
class Pair:
    """One row of the list."""

    probe: Picture
    reference: Picture
    label: str


@dataclass(frozen=True, slots=True)
class Kind:
    """How one modality is measured: functions of a module, because other processes call them."""

    encode: Callable[[Path, Picture], Template | None]  # None: the image cannot be used
    compare: Callable[[Sequence[tuple[Template, Template]]], list[float]]


class PairsError(ValueError):
    """The list of pairs cannot be used. The message names the line and says what belongs there."""


def read_pairs(path: Path) -> list[Pair]:
    """The rows of the list. PairsError when a column is missing or a row is wrong; OSError."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets begin a file with a mark
            rows = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
            if missing:
                raise PairsError(f"{path}: has no column {', '.join(missing)}")
            return [_pair(row, f"{path}, line {rows.line_num}") for row in rows]
    except (UnicodeDecodeError, csv.Error) as error:
        raise PairsError(f"{path}: is no CSV file: {error}") from error


def _pair(row: dict[str, str | None], where: str) -> Pair:
    if row["label"] not in LABELS:
        raise PairsError(f"{where}: the label is {row['label']!r}, not one of {', '.join(LABELS)}")
    return Pair(_picture(row, "probe", where), _picture(row, "reference", where), row["label"])


def _picture(row: dict[str, str | None], side: str, where: str) -> Picture:
    name = row[side]
    if not name:
        raise PairsError(f"{where}: names no {side}")
    try:
        return Picture(name, resolution(row.get(f"ppi_{side}")))
    except ValueError as error:
        raise PairsError(f"{where}: ppi_{side} is {error}") from None


def resolution(text: str | None) -> float:
    """Pixels per inch of a fingerprint image, 500 unless given. ValueError outside of what the encoder believes."""
    low, high = PPI_RANGE
    try:
        value = float(text or PIXELS_PER_INCH)
    except ValueError:
        value = math.nan
    if not low <= value <= high:  # not a number is in no range
        raise ValueError(f"{text!r}, not a resolution of {low:g} to {high:g} pixels per inch")
    return value


@functools.cache
def _finger_encoder(model: str) -> FingerEncoder:
    """One in each process."""
    return FingerEncoder(threads=1, card=encoder_card(model, Modality.FINGER))


def encode_finger(root: Path, picture: Picture, model: str = MODEL) -> Template | None:
    """The template of an image file; None when it cannot be read or has no minutiae at all."""
    try:
        image = read_grey(root / picture.path)
    except (ImageFileError, OSError):
        return None
    sample = Sample(Modality.FINGER, Position.UNKNOWN, image, 8, picture.pixels_per_inch, datetime.now(UTC), "file")
    template = _finger_encoder(model).encode(sample)
    return template if len(unpack(template)) else None


_cylinders_of = functools.lru_cache(TEMPLATES_KEPT)(template_cylinders)


def compare_fingers(pairs: Sequence[tuple[Template, Template]]) -> list[float]:
    """models.finger.compare.score.compare of each pair, without making the cylinders of a template each time."""
    return [score(_cylinders_of(one), _cylinders_of(other)) for one, other in pairs]


def finger_kind(model: str) -> Kind:
    """Fingers, encoded by this model."""
    return Kind(functools.partial(encode_finger, model=model), compare_fingers)


FINGER = finger_kind(MODEL)


class Mapper(Protocol):
    """map(), here or in several processes."""

    def __call__(self, function: Callable[[A], B], items: Iterable[A], /) -> Iterator[B]:
        """The results in the order of the items."""


@contextmanager
def mapper(processes: int) -> Iterator[Mapper]:
    """One process is this one: for a few images, starting others costs more than they save."""
    if processes == 1:
        yield map
        return
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as executor:
        yield executor.map


@dataclass(frozen=True, slots=True)
class Measured:
    """The score of each pair, None where an image cannot be used; the template of each image, None likewise."""

    scores: list[float | None]
    templates: dict[Picture, Template | None]


def measure(kind: Kind, root: Path, pairs: Sequence[Pair], processes: int = PROCESSES) -> Measured:
    """Encode each image once and compare the pairs."""
    pictures = list(dict.fromkeys(picture for pair in pairs for picture in (pair.probe, pair.reference)))
    with mapper(processes) as across:
        encoded = track(across(functools.partial(kind.encode, root), pictures), "encoding", len(pictures), console=out)
        templates = dict(zip(pictures, encoded, strict=True))
        _name(picture for picture, template in templates.items() if template is None)
        scores = _scores(kind, across, [(templates[pair.probe], templates[pair.reference]) for pair in pairs])
    return Measured(scores, templates)


def _scores(kind: Kind, across: Mapper, pairs: Sequence[tuple[Template | None, Template | None]]) -> list[float | None]:
    usable = [(one, other) for one, other in pairs if one is not None and other is not None]
    chunks = [usable[first : first + CHUNK] for first in range(0, len(usable), CHUNK)]
    answers = track(across(kind.compare, chunks), "comparing", len(chunks), console=out)
    scores: Iterator[float] = itertools.chain.from_iterable(answers)
    return [None if one is None or other is None else next(scores) for one, other in pairs]


def _name(unusable: Iterable[Picture]) -> None:
    names = sorted(picture.path for picture in unusable)
    for name in names[:NAMED]:
        out.print(f"{name}: cannot be used; its comparisons have no score", markup=False)
    if len(names) > NAMED:
        out.print(f"... and {len(names) - NAMED} more")


def refuse_overwriting(pairs: Path, scores: Path) -> None:
    """PairsError when writing the scores would overwrite the list."""
    for path in (scores, _unfinished(scores)):
        if path.exists() and pairs.exists() and path.samefile(pairs):
            raise PairsError(f"{scores}: would overwrite the list of pairs: give --out another name")


def _unfinished(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def write_scores(path: Path, pairs: Sequence[Pair], scores: Sequence[float | None]) -> None:
    """The answer, whole or not at all."""
    unfinished = _unfinished(path)
    with unfinished.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow((*COLUMNS, "score"))
        for pair, value in zip(pairs, scores, strict=True):
            answer = "" if value is None else f"{value:.6f}"
            rows.writerow((pair.probe.path, pair.reference.path, pair.label, answer))
    unfinished.replace(path)


@app.callback()
def _several() -> None:
    """Keeps the name of a command although there is only one so far."""


@app.command()
def finger(
    root: Annotated[Path, typer.Option(help="Folder below which the images lie.", exists=True, file_okay=False)],
    pairs: Annotated[Path, typer.Option(help="CSV: probe, reference, label, ppi_probe, ppi_reference.")],
    scores: Annotated[Path, typer.Option("--out", callback=writable, help="CSV to write, with score.")],
    processes: Annotated[int, typer.Option(min=1, help="How many at a time.")] = PROCESSES,
    model: Annotated[str, typer.Option(help="As in `[models]` of the configuration.")] = MODEL,
) -> None:
    """Fingerprint images, as the kiosk encodes and compares them."""
    try:
        encoder_card(model, Modality.FINGER)
        refuse_overwriting(pairs, scores)
        listed = read_pairs(pairs)
        found = measure(finger_kind(model), root, listed, processes).scores
        write_scores(scores, listed, found)
    except (PairsError, ModelError, OSError) as error:
        raise typer.BadParameter(str(error)) from error
    out.print(f"{len(found)} comparisons, {found.count(None)} without a score: {scores}", markup=False)
