"""kiosk-bench compare iris: writes the scores of a list of pairs of eye images, and a sheet of the worst ones."""

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
    Comparer,
    Encoded,
    ImageFile,
    PairsError,
    measure,
    not_read,
    read_pairs,
    refuse_overwriting,
    report_remarks,
    usable,
    write_scores,
)
from simulators.bench.figures import out
from simulators.bench.files import writable, writable_png
from simulators.pictures.errors import ImageFileError
from simulators.pictures.reader import read_grey, read_picture, squared

PIXELS_PER_INCH = 500.0  # nothing depends on it: an iris is compared in its own radii
TEMPLATES_KEPT = 4096  # by each process, prepared for comparison
SHEET_COLUMNS, SHEET_ROWS = 5, 10
CELL = (320, 260)  # pixels of the sheet for an image and a line of text
TEXT_HEIGHT = 20
PUPIL_COLOUR, LIMBUS_COLOUR, HIDDEN = (255, 60, 60), (60, 255, 60), 0.55


class RatedImage(NamedTuple):
    """An image file and its quality."""

    quality: int
    file: ImageFile


@functools.cache
def _encoder() -> IrisEncoder:
    """The encoder of this process."""
    return IrisEncoder(threads=1)


def sample_of(image: NDArray[np.uint8], position: Position = Position.UNKNOWN) -> Sample:
    """An image as a sample of a camera."""
    return Sample(Modality.IRIS, position, image, 8, PIXELS_PER_INCH, datetime.now(UTC), "file")


def encode_eye(root: Path, file: ImageFile) -> Encoded:
    """The template of an image file, unless it cannot be read, shows no iris or shows several eyes."""
    path = root / file.path
    try:
        picture = squared(read_picture(path), str(path))
    except ImageFileError as error:
        return not_read(error)
    sample = sample_of(picture.grey)
    quality = _encoder().assess(sample)
    template = _encoder().encode(sample)
    return usable(template, quality, picture.notes, features=len(unpack(template)) > 0)


@functools.lru_cache(TEMPLATES_KEPT)
def _code(template: Template) -> IrisCode:
    return unpack(template)


def compare_eyes(pairs: Sequence[tuple[Template, Template]]) -> list[float]:
    """models.iris.score.compare of each pair; consecutive references of the same probe are compared in one call."""
    found: list[float] = []
    for probe, group in itertools.groupby(pairs, key=lambda pair: pair[0]):
        turned, codes = ShiftedProbe.of(_code(probe)), [_code(reference) for _, reference in group]
        words = (np.stack([getattr(code, part) for code in codes]) for part in ("code", "mask"))
        found += scores(turned.codes, turned.masks, *words).tolist()
    return found


IRIS = Comparer(encode_eye, compare_eyes)


def worst(templates: Mapping[ImageFile, Template | None], count: int) -> list[RatedImage]:
    """The images of lowest quality, worst first; those without a template before all others."""
    rated = (RatedImage(unpack(known).quality if known else 0, file) for file, known in templates.items())
    return sorted(rated)[:count]


def sheet(root: Path, images: Iterable[RatedImage]) -> Image.Image:
    """A contact sheet of the images, with the boundaries that were found, and unused parts of the iris darkened."""
    cells = list(_cells(root, images))
    rows = -(-len(cells) // SHEET_COLUMNS)
    whole = Image.new("RGB", (SHEET_COLUMNS * CELL[0], max(1, rows) * CELL[1]))
    for number, cell in enumerate(cells):
        whole.paste(cell, (number % SHEET_COLUMNS * CELL[0], number // SHEET_COLUMNS * CELL[1]))
    return whole


def _cells(root: Path, images: Iterable[RatedImage]) -> Iterator[Image.Image]:
    for one in images:
        with suppress(ImageFileError, OSError):  # already reported as unusable
            yield _cell(read_grey(root / one.file.path), one)


@dataclass(frozen=True, slots=True)
class _Scale:
    """Converts pixels of an image to pixels of its cell."""

    factor: float

    def line(self, boundary: Boundary) -> list[tuple[float, float]]:
        points = [(float(x), float(y)) for x, y in boundary.points() * self.factor]
        return [*points, points[0]]


def _cell(image: NDArray[np.uint8], one: RatedImage) -> Image.Image:
    found = extract(image)
    scale = _Scale(min(CELL[0] / image.shape[1], (CELL[1] - TEXT_HEIGHT) / image.shape[0]))
    size = (round(image.shape[1] * scale.factor), round(image.shape[0] * scale.factor))
    cell = Image.new("RGB", CELL)
    cell.paste(Image.fromarray(_shaded(image, found.segmentation)).convert("RGB").resize(size), (0, TEXT_HEIGHT))
    draw = ImageDraw.Draw(cell)
    if found.segmentation:
        for boundary, colour in ((found.segmentation.pupil, PUPIL_COLOUR), (found.segmentation.limbus, LIMBUS_COLOUR)):
            draw.line([(x, y + TEXT_HEIGHT) for x, y in scale.line(boundary)], fill=colour)
    draw.text((4, 4), f"{one.quality} {found.quality.flaw or ''} {Path(one.file.path).name}", fill="white")
    return cell


def _shaded(image: NDArray[np.uint8], found: Segmentation | None) -> NDArray[np.uint8]:
    if found is None:
        return image
    return np.where(found.usable, image, image * HIDDEN).astype(np.uint8)


def iris(
    root: Annotated[Path, typer.Option(help="Folder that the paths are relative to.", exists=True, file_okay=False)],
    pairs: Annotated[Path, typer.Option(help="CSV: probe, reference, label.")],
    scores_file: Annotated[Path, typer.Option("--out", callback=writable, help="CSV file to write, with the scores.")],
    worst_file: Annotated[
        Path | None,
        typer.Option("--worst", callback=writable_png, help="Write the images of lowest quality to FILE.png."),
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="Number of processes.")] = PROCESSES,
) -> None:
    """Compare images of eyes, encoded and compared as in the kiosk."""
    try:
        refuse_overwriting(pairs, scores_file)
        listed = read_pairs(pairs)
        compared = measure(IRIS, root, listed, processes)
        found = compared.scores
        write_scores(scores_file, listed, found)
        report_remarks(compared.remarks, scores_file)
        if worst_file is not None:
            sheet(root, worst(compared.templates, SHEET_COLUMNS * SHEET_ROWS)).save(worst_file)
    except (PairsError, OSError, ValueError) as error:
        raise typer.BadParameter(str(error)) from error
    out.print(f"{len(found)} comparisons, {found.count(None)} without a score: {scores_file}", markup=False)
