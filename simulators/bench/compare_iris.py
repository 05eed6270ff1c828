"""kiosk-bench compare iris: the scores of listed pairs of pictures of eyes, and a sheet of the worst segmentations."""

import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from drivers.sample import Modality, Position, Sample
from models.iris.encoder import IrisEncoder, extract
from models.iris.score import scores
from models.iris.search_layout import ShiftedProbe
from models.iris.segmentation.geometry import Boundary, Segmentation
from models.iris.template import IrisCode, unpack
from models.template import Template
from simulators.bench.compare_finger import (
    PROCESSES,
    Kind,
    PairsError,
    Picture,
    measure,
    out,
    read_pairs,
    refuse_overwriting,
    write_scores,
)
from simulators.bench.files import picture, writable
from simulators.images import ImageFileError, read_grey

PIXELS_PER_INCH = 500.0  # nothing depends on it: an iris is measured in its own radii
TEMPLATES_KEPT = 4096  # by each process, ready to compare
SHEET_COLUMNS, SHEET_ROWS = 5, 10
CELL = (320, 260)  # pixels of the sheet for a picture and a line of text
TEXT_HEIGHT = 20
PUPIL_COLOUR, LIMBUS_COLOUR, HIDDEN = (255, 60, 60), (60, 255, 60), 0.55


class Seen(NamedTuple):
    """A picture file and its quality."""

    quality: int
    picture: Picture


@functools.cache
def _encoder() -> IrisEncoder:
    """One in each process."""
    return IrisEncoder(threads=1)


def sample_of(image: NDArray[np.uint8], position: Position = Position.UNKNOWN) -> Sample:
    """An image as a camera would give it."""
    return Sample(Modality.IRIS, position, image, 8, PIXELS_PER_INCH, datetime.now(UTC), "file")


def encode_eye(root: Path, picture: Picture) -> Template | None:
    """The template of an image file; None when it cannot be read or shows no iris."""
    try:
        image = read_grey(root / picture.path)
    except (ImageFileError, OSError):
        return None
    template = _encoder().encode(sample_of(image))
    return template if len(unpack(template)) else None


@functools.lru_cache(TEMPLATES_KEPT)
def _code(template: Template) -> IrisCode:
    return unpack(template)


def compare_eyes(pairs: Sequence[tuple[Template, Template]]) -> list[float]:
    """models.iris.score.compare of each pair, the references of one probe that stand together at once."""
    found: list[float] = []
    for probe, group in itertools.groupby(pairs, key=lambda pair: pair[0]):
        turned, codes = ShiftedProbe.of(_code(probe)), [_code(reference) for _, reference in group]
        words = (np.stack([getattr(code, part) for code in codes]) for part in ("code", "mask"))
        found += scores(turned.codes, turned.masks, *words).tolist()
    return found


IRIS = Kind(encode_eye, compare_eyes)


def worst(templates: Mapping[Picture, Template | None], count: int) -> list[Seen]:
    """The pictures of lowest quality, worst first; those without a template before all others."""
    seen = (Seen(unpack(known).quality if known else 0, picture) for picture, known in templates.items())
    return sorted(seen)[:count]


def sheet(root: Path, seen: Iterable[Seen]) -> Image.Image:
    """A picture of pictures, with the boundaries that were found and what is not used of the iris darkened."""
    cells = list(_cells(root, seen))
    rows = -(-len(cells) // SHEET_COLUMNS)
    whole = Image.new("RGB", (SHEET_COLUMNS * CELL[0], max(1, rows) * CELL[1]))
    for number, cell in enumerate(cells):
        whole.paste(cell, (number % SHEET_COLUMNS * CELL[0], number // SHEET_COLUMNS * CELL[1]))
    return whole


def _cells(root: Path, seen: Iterable[Seen]) -> Iterator[Image.Image]:
    for one in seen:
        with suppress(ImageFileError, OSError):  # it has been named as unusable
            yield _cell(read_grey(root / one.picture.path), one)


@dataclass(frozen=True, slots=True)
class _Scale:
    """From the pixels of a picture to those of its cell."""

    factor: float

    def line(self, boundary: Boundary) -> list[tuple[float, float]]:
        points = [(float(x), float(y)) for x, y in boundary.points() * self.factor]
        return [*points, points[0]]


def _cell(image: NDArray[np.uint8], one: Seen) -> Image.Image:
    found = extract(image)
    scale = _Scale(min(CELL[0] / image.shape[1], (CELL[1] - TEXT_HEIGHT) / image.shape[0]))
    size = (round(image.shape[1] * scale.factor), round(image.shape[0] * scale.factor))
    cell = Image.new("RGB", CELL)
    cell.paste(Image.fromarray(_shaded(image, found.segmentation)).convert("RGB").resize(size), (0, TEXT_HEIGHT))
    draw = ImageDraw.Draw(cell)
    if found.segmentation:
        for boundary, colour in ((found.segmentation.pupil, PUPIL_COLOUR), (found.segmentation.limbus, LIMBUS_COLOUR)):
            draw.line([(x, y + TEXT_HEIGHT) for x, y in scale.line(boundary)], fill=colour)
    draw.text((4, 4), f"{one.quality} {found.quality.flaw or ''} {Path(one.picture.path).name}", fill="white")
    return cell


def _shaded(image: NDArray[np.uint8], found: Segmentation | None) -> NDArray[np.uint8]:
    if found is None:
        return image
    return np.where(found.usable, image, image * HIDDEN).astype(np.uint8)


def iris(
    root: Annotated[Path, typer.Option(help="Folder below which the images lie.", exists=True, file_okay=False)],
    pairs: Annotated[Path, typer.Option(help="CSV: probe, reference, label.")],
    scores_file: Annotated[Path, typer.Option("--out", callback=writable, help="CSV to write, with score.")],
    worst_file: Annotated[
        Path | None,
        typer.Option("--worst", callback=picture, help="Sheet of the lowest quality: FILE.png."),
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="How many at a time.")] = PROCESSES,
) -> None:
    """Pictures of eyes, as the kiosk encodes and compares them."""
    try:
        refuse_overwriting(pairs, scores_file)
        listed = read_pairs(pairs)
        measured = measure(IRIS, root, listed, processes)
        found = measured.scores
        write_scores(scores_file, listed, found)
        if worst_file is not None:
            sheet(root, worst(measured.templates, SHEET_COLUMNS * SHEET_ROWS)).save(worst_file)
    except (PairsError, OSError, ValueError) as error:
        raise typer.BadParameter(str(error)) from error
    out.print(f"{len(found)} comparisons, {found.count(None)} without a score: {scores_file}", markup=False)
