"""kiosk-bench encode iris: measures the time of an encoding of an eye image, and compares it with the yardstick.

Absolute times on a shared computer vary. Their ratio does not, because every image is followed by the yardstick: the
graph of simulators/bench/yardstick.py on a fingerprint of 320x416.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from drivers.sample import Position
from models.iris.encoder import IrisEncoder, IrisGraph
from models.iris.segmentation.geometry import Segmentation
from models.iris.segmentation.segmentation import segment
from models.manifest import ModelCard, ModelError
from models.onnx_session import Session
from simulators.bench import encode_finger as bench_encode
from simulators.bench.compare_iris import sample_of
from simulators.bench.encode_finger import ROUNDS, CacheOption, FetchOption, run_graph, some_image_files
from simulators.bench.figures import Timings, write_figures
from simulators.bench.files import writable
from simulators.bench.yardstick import cache_folder, reference_card
from simulators.people.person import Person
from simulators.pictures.errors import ImageFileError
from simulators.pictures.reader import read_grey

WIDTH, HEIGHT = 640, 480
SYNTHETIC_EYES = 6

Image = NDArray[np.uint8]
Workload = Callable[[Image], Any]


@dataclass(frozen=True, slots=True)
class EncodeFigures:
    """Median times, milliseconds. The ratio is the yardstick's time over ours, on one thread; the share its inverse."""

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
    """One eye of each of several synthetic people."""
    positions = (Position.RIGHT_EYE, Position.LEFT_EYE)
    return [Person(3000 + n).eye(positions[n % 2]).frame(n, WIDTH, HEIGHT) for n in range(SYNTHETIC_EYES)]


def workloads(reference: ModelCard | None) -> dict[str, Workload]:
    """The workloads by name. ModelError if the file of the yardstick has another hash."""
    running = {
        "1_thread": _encoding(IrisEncoder(threads=1)),
        "2_threads": _encoding(IrisEncoder(threads=2)),
        "segmentation": segment,
        "graph": _graph(IrisGraph(1)),
    }
    return running if reference is None else running | {"yardstick": _yardstick(Session(reference, 1))}


def _encoding(encoder: IrisEncoder) -> Workload:
    return lambda image: encoder.encode(sample_of(image))


def _graph(graph: IrisGraph) -> Workload:
    """The graph alone. The segmentation is stored in the first run, which is not counted."""
    segmentations: dict[int, Segmentation | None] = {}

    def run(image: Image) -> object:
        if id(image) not in segmentations:
            segmentations[id(image)] = segment(image)
        found = segmentations[id(image)]
        return found and graph.code(image, found, 0)

    return run


def _yardstick(session: Session) -> Workload:
    touch = Person(2000).finger(Position.RIGHT_INDEX).impression(0, bench_encode.WIDTH, bench_encode.HEIGHT)
    return lambda _: run_graph(session, touch)


def measure(images: Sequence[Image], reference: ModelCard | None, rounds: int = ROUNDS) -> EncodeFigures:
    """Run every workload on every image in turn, `rounds` times, after a first run that is not counted."""
    running = workloads(reference)
    for image in images:
        for run in running.values():
            run(image)
    timings = Timings(running, [image for _ in range(rounds) for image in images])
    return EncodeFigures(
        ms_1_thread=timings.median_ms("1_thread") or 0.0,
        ms_2_threads=timings.median_ms("2_threads") or 0.0,
        ms_segmentation=timings.median_ms("segmentation") or 0.0,
        ms_graph=timings.median_ms("graph") or 0.0,
        ms_yardstick=timings.median_ms("yardstick"),
        yardstick_ratio=timings.ratio("yardstick", "1_thread", 3),
        yardstick_share=timings.ratio("1_thread", "yardstick", 3),
        images=len(images),
        rounds=rounds,
    )


def iris(
    images: Annotated[Path | None, typer.Option(help="Folder of images; default: synthetic people.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", callback=writable, help="Write the figures here.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Number of times each image is encoded.")] = ROUNDS,
    cache: CacheOption = None,
    *,
    fetch_yardstick: FetchOption = True,
) -> None:
    """Images of eyes: time our whole encoding, and the yardstick's graph on a fingerprint in the same run."""
    try:
        reference = reference_card(cache or cache_folder(), wanted=fetch_yardstick)
        shown = [read_grey(path) for path in some_image_files(images)] if images else synthetic()
        figures = measure(shown, reference, rounds)
    except (ImageFileError, ModelError, OSError) as error:
        raise typer.BadParameter(str(error)) from error
    write_figures(figures, json_file)
