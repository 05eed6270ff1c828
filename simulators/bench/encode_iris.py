"""kiosk-bench encode iris: how long a picture of an eye takes to become a template, beside the finger's yardstick.

Times of a shared machine mean little; their ratio does, because every picture is followed by the yardstick: the graph
of simulators/bench/yardstick.py on a fingerprint of 320x416.
"""

import json
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from drivers.sample import Position
from models.finger.encoder import pad
from models.iris.encoder import IrisEncoder, IrisGraph
from models.iris.segmentation.geometry import Segmentation
from models.iris.segmentation.segmentation import segment
from models.manifest import ModelCard, ModelError
from models.session import Session
from simulators.bench import encode_finger as bench_encode
from simulators.bench.compare_iris import sample_of
from simulators.bench.encode_finger import ROUNDS, SUFFIXES, out
from simulators.bench.files import writable
from simulators.bench.search_iris import timed
from simulators.bench.yardstick import DISTRIBUTION, SIZES, cache_folder, reference_card
from simulators.images import ImageFileError, read_grey
from simulators.people.person import Person

WIDTH, HEIGHT = 640, 480
SYNTHETIC_EYES = 6

Image = NDArray[np.uint8]
Contestant = Callable[[Image], Any]


@dataclass(frozen=True, slots=True)
class EncodeFigures:
    """Medians, milliseconds. Ratio and share too: the yardstick's time over ours, on one thread each, and inverse."""

    ms_1_thread: float
    ms_2_threads: float
    ms_segmentation: float  # on one thread
    ms_graph: float  # rubber sheet, filters and mask, on one thread
    ms_yardstick: float | None
    yardstick_ratio: float | None
    yardstick_share: float | None
    images: int
    rounds: int


def synthetic() -> list[Image]:
    """An eye of several people."""
    positions = (Position.RIGHT_EYE, Position.LEFT_EYE)
    return [Person(3000 + n).eye(positions[n % 2]).frame(n, WIDTH, HEIGHT) for n in range(SYNTHETIC_EYES)]


def pictures(folder: Path) -> list[Image]:
    """The picture files of a folder, as they are. ImageFileError, OSError."""
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not files:
        raise ImageFileError(f"{folder}: holds no picture")
    return [read_grey(path) for path in files]


def contestants(reference: ModelCard | None) -> dict[str, Contestant]:
    """Who runs, by name. ModelError when the yardstick is another file."""
    running = {
        "1_thread": _encoding(IrisEncoder(threads=1)),
        "2_threads": _encoding(IrisEncoder(threads=2)),
        "segmentation": segment,
        "graph": _graph(IrisGraph(1)),
    }
    return running if reference is None else running | {"yardstick": _yardstick(Session(reference, 1))}


def _encoding(encoder: IrisEncoder) -> Contestant:
    return lambda image: encoder.encode(sample_of(image))


def _graph(graph: IrisGraph) -> Contestant:
    """The graph alone: where the iris is, is remembered from the first round, which does not count."""
    remembered: dict[int, Segmentation | None] = {}

    def run(image: Image) -> object:
        if id(image) not in remembered:
            remembered[id(image)] = segment(image)
        found = remembered[id(image)]
        return found and graph.code(image, found, 0)

    return run


def _yardstick(session: Session) -> Contestant:
    touch = Person(2000).finger(Position.RIGHT_INDEX).impression(0, bench_encode.WIDTH, bench_encode.HEIGHT)
    padded, _, _ = pad(touch.astype(np.float32))
    return lambda _: session.run(padded[np.newaxis, :, :, np.newaxis])


def measure(images: Sequence[Image], reference: ModelCard | None, rounds: int = ROUNDS) -> EncodeFigures:
    """Every picture through every contestant in turn, `rounds` times after one that does not count."""
    running = contestants(reference)
    for image in images:
        for run in running.values():
            run(image)
    turns = [image for _ in range(rounds) for image in images]
    times = [{name: timed(partial(run, image))[0] for name, run in running.items()} for image in _seen(turns)]

    def median(name: str) -> float | None:
        return round(statistics.median(1000 * turn[name] for turn in times), 1) if name in running else None

    def ratio(name: str, over: str) -> float | None:
        both = {name, over} <= running.keys()
        return round(statistics.median(turn[name] / turn[over] for turn in times), 3) if both else None

    return EncodeFigures(
        ms_1_thread=median("1_thread") or 0.0,
        ms_2_threads=median("2_threads") or 0.0,
        ms_segmentation=median("segmentation") or 0.0,
        ms_graph=median("graph") or 0.0,
        ms_yardstick=median("yardstick"),
        yardstick_ratio=ratio("yardstick", "1_thread"),
        yardstick_share=ratio("1_thread", "yardstick"),
        images=len(images),
        rounds=rounds,
    )


def _seen(turns: Sequence[Image]) -> Iterable[Image]:
    return track(turns, "encoding", console=out)


def iris(
    images: Annotated[Path | None, typer.Option(help="Folder of pictures; default: synthetic people.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", callback=writable, help="Write the figures here.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often each picture is encoded.")] = ROUNDS,
    cache: Annotated[Path | None, typer.Option(help="Where the yardstick is kept; default: your cache folder.")] = None,
    *,
    fetch_yardstick: Annotated[
        bool, typer.Option(help=f"Get PyPI {DISTRIBUTION} ({SIZES}, hash checked) if it is not in the cache.")
    ] = True,
) -> None:
    """Pictures of eyes: our whole encoding, and the yardstick's graph on a fingerprint in the same run."""
    try:
        reference = reference_card(cache or cache_folder(), wanted=fetch_yardstick)
        figures = measure(pictures(images) if images else synthetic(), reference, rounds)
    except (ImageFileError, ModelError, OSError) as error:
        raise typer.BadParameter(str(error)) from error
    table = Table("figure", "value", box=None)
    for name, value in asdict(figures).items():
        table.add_row(name.replace("_", " "), "-" if value is None else str(value))
    Console(highlight=False).print(table)
    if json_file is not None:
        json_file.write_text(json.dumps(asdict(figures), indent=1), encoding="utf-8")
