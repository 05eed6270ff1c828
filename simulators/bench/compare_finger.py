"""kiosk-bench compare: writes the comparison score of each pair of a list, for tools that compute error rates.

The list is a CSV file with the columns probe, reference (paths relative to a folder), label (genuine or impostor) and,
for fingers, ppi_probe and ppi_reference (100 to 4000; empty: what the file states, else 500). The result has the
columns probe, reference, label, score in the same order. The score is empty if one of the images cannot be used.

SCORES.pictures.csv, beside it, has the columns picture, ppi, used, reason, explanation: a row for each image that
cannot be used, and for each assumption about one that was used, such as a resolution that its file states.
"""

import csv
import functools
import itertools
import math
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NamedTuple, Protocol, TypeVar

import typer
from rich.progress import track

from drivers.printable import printable
from drivers.sample import Modality, Position, Sample
from models.encoder import Flaw, Quality
from models.finger.compare.score import score, template_cylinders
from models.finger.encoder import MODEL, FingerEncoder
from models.finger.image import PPI_RANGE
from models.finger.template import unpack
from models.manifest import ModelError, encoder_card
from models.template import Template
from simulators.bench.figures import out
from simulators.bench.files import Remark, remarks_file, writable, write_remarks
from simulators.pictures.errors import ImageFileError, Note
from simulators.pictures.reader import read_finger

COLUMNS = ("probe", "reference", "label")
LABELS = ("genuine", "impostor")
PROCESSES = 2
CHUNK = 2000  # comparisons that a process takes at a time: about a third of a second
TEMPLATES_KEPT = 4096  # by each process, prepared for comparison: about 10 KB each
NAMED = 10  # unusable images that are listed by name


A = TypeVar("A")
B = TypeVar("B")

app = typer.Typer(help="Compute the scores of a list of pairs of images.", no_args_is_help=True)


class ImageFile(NamedTuple):
    """An image file relative to the root folder, and its resolution if the list gives one."""

    path: str
    pixels_per_inch: float | None


class Encoded(NamedTuple):
    """The template of an image file; None if it cannot be used. Then the last note says why."""

    template: Template | None
    notes: tuple[tuple[str, str], ...] = ()  # reason and explanation


UNUSABLE = {
    Flaw.EMPTY: "nothing is seen in it",
    Flaw.SEVERAL: "it shows more than one finger or eye: give an image of one",
    Flaw.NO_EYE: "it shows no open eye",
    Flaw.TOO_FEW_FEATURES: "it shows no readable finger or eye",
}


def usable(template: Template, quality: Quality, notes: tuple[Note, ...], *, features: bool) -> Encoded:
    """What was made of a sample: one without features cannot be used, nor one of several fingers or eyes."""
    known = tuple((str(note.subject), note.text) for note in notes)
    if features and quality.flaw is not Flaw.SEVERAL:
        return Encoded(template, known)
    flaw = quality.flaw or Flaw.TOO_FEW_FEATURES
    return Encoded(None, (*known, (str(flaw), UNUSABLE.get(flaw, UNUSABLE[Flaw.TOO_FEW_FEATURES]))))


def not_read(error: ImageFileError) -> Encoded:
    """What was made of a file that cannot be read."""
    return Encoded(None, ((str(error.fault), str(error)),))


@dataclass(frozen=True, slots=True)
class Pair:
    """One row of the list."""

    probe: ImageFile
    reference: ImageFile
    label: str


@dataclass(frozen=True, slots=True)
class Comparer:
    """Encodes and compares images of one modality. Functions of a module, because other processes call them."""

    encode: Callable[[Path, ImageFile], Encoded]
    compare: Callable[[Sequence[tuple[Template, Template]]], list[float]]


class PairsError(ValueError):
    """The list of pairs cannot be used. The message names the line and what is expected there."""


def read_pairs(path: Path) -> list[Pair]:
    """The rows of the list. PairsError if a column is missing or a row is wrong; OSError."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets write a byte order mark
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
    return Pair(_image_file(row, "probe", where), _image_file(row, "reference", where), row["label"])


def _image_file(row: dict[str, str | None], side: str, where: str) -> ImageFile:
    name = row[side]
    if not name:
        raise PairsError(f"{where}: no {side} is given")
    try:
        return ImageFile(name, parse_resolution(row.get(f"ppi_{side}")))
    except ValueError as error:
        raise PairsError(f"{where}: ppi_{side} is {error}") from None


def parse_resolution(text: str | None) -> float | None:
    """Pixels per inch of a fingerprint image; None if not given. ValueError outside what the encoder accepts."""
    if not text:
        return None
    low, high = PPI_RANGE
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:  # also false for NaN
        raise ValueError(f"{text!r}, not a resolution of {low:g} to {high:g} pixels per inch")
    return value


@functools.cache
def _finger_encoder(model: str) -> FingerEncoder:
    """The encoder of this process."""
    return FingerEncoder(threads=1, card=encoder_card(model, Modality.FINGER))


def encode_finger(root: Path, file: ImageFile, model: str = MODEL) -> Encoded:
    """The template of an image file, unless it cannot be read, has no minutiae or shows several fingers."""
    try:
        image = read_finger(root / file.path, file.pixels_per_inch)
    except ImageFileError as error:
        return not_read(error)
    ppi, now = image.pixels_per_inch, datetime.now(UTC)
    sample = Sample(Modality.FINGER, Position.UNKNOWN, image.grey, 8, ppi, now, "file")
    encoder = _finger_encoder(model)
    quality = encoder.assess(sample)
    template = encoder.encode(sample)
    return usable(template, quality, image.notes, features=len(unpack(template)) > 0)


_cylinders_of = functools.lru_cache(TEMPLATES_KEPT)(template_cylinders)


def compare_fingers(pairs: Sequence[tuple[Template, Template]]) -> list[float]:
    """models.finger.compare.score.compare of each pair, without making the cylinders of a template each time."""
    return [score(_cylinders_of(one), _cylinders_of(other)) for one, other in pairs]


def finger_comparer(model: str) -> Comparer:
    """Compares fingers, encoded by this model."""
    return Comparer(functools.partial(encode_finger, model=model), compare_fingers)


FINGER = finger_comparer(MODEL)


class Mapper(Protocol):
    """map(), in this process or in several."""

    def __call__(self, function: Callable[[A], B], items: Iterable[A], /) -> Iterator[B]:
        """The results in the order of the items."""


@contextmanager
def mapper(processes: int) -> Iterator[Mapper]:
    """A map function over so many processes; 1 is this process, because starting others takes time."""
    if processes == 1:
        yield map
        return
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as executor:
        yield executor.map


@dataclass(frozen=True, slots=True)
class Comparisons:
    """The score of each pair, and what was made of each image. A score is None if an image cannot be used."""

    scores: list[float | None]
    encoded: dict[ImageFile, Encoded]

    @property
    def templates(self) -> dict[ImageFile, Template | None]:
        """The template of each image; None if it cannot be used."""
        return {file: encoded.template for file, encoded in self.encoded.items()}

    @property
    def remarks(self) -> list[Remark]:
        """A row for each image that cannot be used, and for each assumption about one that was used."""
        return [
            Remark(file.path, _ppi_text(file), encoded.template is not None or (reason, text) != encoded.notes[-1],
                   reason, text)
            for file, encoded in sorted(self.encoded.items(), key=lambda item: item[0].path)
            for reason, text in encoded.notes
        ]  # fmt: skip


def measure(comparer: Comparer, root: Path, pairs: Sequence[Pair], processes: int = PROCESSES) -> Comparisons:
    """Encode each image once, then compare the pairs."""
    images = list(dict.fromkeys(image for pair in pairs for image in (pair.probe, pair.reference)))
    with mapper(processes) as across:
        done = track(across(functools.partial(comparer.encode, root), images), "encoding", len(images), console=out)
        encoded = dict(zip(images, done, strict=True))
        scores = _scores(
            comparer, across, [(encoded[pair.probe].template, encoded[pair.reference].template) for pair in pairs]
        )
    return Comparisons(scores, encoded)


def _scores(
    comparer: Comparer, across: Mapper, pairs: Sequence[tuple[Template | None, Template | None]]
) -> list[float | None]:
    usable = [(one, other) for one, other in pairs if one is not None and other is not None]
    chunks = [usable[first : first + CHUNK] for first in range(0, len(usable), CHUNK)]
    answers = track(across(comparer.compare, chunks), "comparing", len(chunks), console=out)
    scores: Iterator[float] = itertools.chain.from_iterable(answers)
    return [None if one is None or other is None else next(scores) for one, other in pairs]


def _ppi_text(file: ImageFile) -> str:
    return "" if file.pixels_per_inch is None else f"{file.pixels_per_inch:g}"


def report_remarks(remarks: Sequence[Remark], scores: Path) -> None:
    """Write all remarks to the file beside the scores, and print how many images have which; the first ones by name."""
    path = remarks_file(scores)
    write_remarks(path, remarks)
    for used, heading in ((True, "used, with a remark"), (False, "cannot be used, so their comparisons have no score")):
        kind = [one for one in remarks if one.used is used]
        if not kind:
            continue
        for one in kind[:NAMED]:
            out.print(f"{printable(one.picture)}: {one.reason}: {printable(one.explanation)}", markup=False)
        if len(kind) > NAMED:
            out.print(f"... and {len(kind) - NAMED} more: {path}", markup=False)
        counts = Counter(one.reason for one in kind).most_common()
        reasons = ", ".join(f"{count} {reason}" for reason, count in counts)
        number = len({(one.picture, one.ppi) for one in kind})
        out.print(f"images: {number} {heading}: {reasons}: {path}", markup=False)


def refuse_overwriting(pairs: Path, scores: Path) -> None:
    """Raises PairsError if writing the scores, or what is beside them, would overwrite the list."""
    for path in (scores, _unfinished(scores), remarks_file(scores), _unfinished(remarks_file(scores))):
        if path.exists() and pairs.exists() and path.samefile(pairs):
            raise PairsError(f"{scores}: would overwrite the list of pairs: give --out another name")


def _unfinished(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def write_scores(path: Path, pairs: Sequence[Pair], scores: Sequence[float | None]) -> None:
    """Write the result, complete or not at all."""
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
    """Make `finger` a subcommand even while it is the only one."""


@app.command()
def finger(
    root: Annotated[Path, typer.Option(help="Folder that the paths are relative to.", exists=True, file_okay=False)],
    pairs: Annotated[Path, typer.Option(help="CSV: probe, reference, label, ppi_probe, ppi_reference.")],
    scores: Annotated[Path, typer.Option("--out", callback=writable, help="CSV file to write, with the scores.")],
    processes: Annotated[int, typer.Option(min=1, help="Number of processes.")] = PROCESSES,
    model: Annotated[str, typer.Option(help="Model, as in the models table of the configuration.")] = MODEL,
) -> None:
    """Compare fingerprint images, encoded and compared as in the kiosk."""
    try:
        encoder_card(model, Modality.FINGER)
        refuse_overwriting(pairs, scores)
        listed = read_pairs(pairs)
        compared = measure(finger_comparer(model), root, listed, processes)
        found = compared.scores
        write_scores(scores, listed, found)
        report_remarks(compared.remarks, scores)
    except (PairsError, ModelError, OSError) as error:
        raise typer.BadParameter(str(error)) from error
    out.print(f"{len(found)} comparisons, {found.count(None)} without a score: {scores}", markup=False)
