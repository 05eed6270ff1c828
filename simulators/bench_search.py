"""kiosk-bench search finger: how fast one traveller is searched among many, and whether the mate is found.

The gallery is synthesised at the level of minutiae (simulators/minutiae_synthesis.py) and put on disk in a plain
layout, one file for each array, from which it is opened as a map. Real people can be hidden in it: of a folder of
FINGER_IMPRESSION pictures the first impression of each finger, F fingers a person in the order of their names; the
other impressions are the probes.
"""

import functools
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeVar

import numpy as np
import typer
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from drivers.sample import Modality, Position, Sample
from models.block import BLOCK, Probe
from models.calibration import fuse, load_calibration
from models.cylinders import Rows, rows_of
from models.finger import FingerEncoder
from models.gallery import SHORT_SHARE, FingerGallery, best_ranked, warm_up
from models.minutiae import FORMAT, PIXELS_PER_INCH, no_minutiae, pack
from models.prefilter import rank_plain
from models.template import Template
from simulators.bench_gallery import POSITIONS, Crowd, Writer, opened
from simulators.minutiae_synthesis import HEIGHT, WIDTH, again

LIMIT = 50  # candidates a probe, as in agent/watchlist.py
SYNTHETIC_PROBES = 20
MOST_TIMED = 20  # probes of each kind of measurement
PLAIN_ENTRIES = 2048  # for the yardstick
SUFFIXES = frozenset({".png", ".bmp", ".tif", ".jpg"})

T = TypeVar("T")

out = Console(highlight=False, soft_wrap=True, stderr=True)
search = typer.Typer(name="search", help="One traveller among many.", no_args_is_help=True, add_completion=False)


@dataclass(frozen=True, slots=True)
class Traveller:
    """A person in the gallery, and probes of the same fingers."""

    number: int
    references: tuple[Rows, ...]
    probes: tuple[tuple[Rows, ...], ...]


@dataclass(frozen=True, slots=True)
class SearchFigures:
    """Times in seconds unless the name says another unit. Shares of real mates are None without any."""

    persons: int
    fingers: int
    threads: int
    prefilter_per_s_core: float
    yardstick_ratio: float
    rerank_us: float
    search_s: float
    search_longest_s: float
    open_s: float
    first_search_s: float
    start_s: float  # to load the compiled search, once a process
    bytes_per_template: float
    outside_top1_pct: float | None
    found_pct: float | None
    probes: int


@search.callback()
def _several() -> None:
    """Keeps the name of a command although there is only one so far."""


@search.command()
def finger(
    size: Annotated[int, typer.Option(min=1, help="Persons in the gallery.")],
    fingers_each: Annotated[int, typer.Option("--fingers", min=1, max=10, help="Fingers of each.")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="Threads of a search.")] = os.cpu_count() or 1,
    mates: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Folder of FINGER_IMPRESSION.png to hide.")
    ] = None,
    source_ppi: Annotated[float, typer.Option(help="Resolution of those pictures.")] = PIXELS_PER_INCH,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
) -> None:
    """Search fingers in a synthetic gallery, real mates hidden in it where given."""
    hidden = list(people_of(mates, fingers_each, source_ppi, size)) if mates else []
    figures = measure(size, fingers_each, threads, hidden)
    table = Table("figure", "value", box=None)
    for name, value in asdict(figures).items():
        table.add_row(name.replace("_", " "), str(value))
    Console(highlight=False).print(table)
    if json_file is not None:
        json_file.write_text(json.dumps(asdict(figures), indent=1), encoding="utf-8")


def measure(size: int, fingers_each: int, threads: int, hidden: Sequence[Traveller] = ()) -> SearchFigures:
    """Make a gallery of so many persons in a folder of its own, open it and search it."""
    rng = np.random.default_rng(size)
    start_s, _ = _timed(warm_up)
    with tempfile.TemporaryDirectory(prefix="kiosk-bench-") as folder:
        found = _make(Path(folder), rng, size, fingers_each, hidden, threads)
        open_s, gallery = _timed(lambda: opened(Path(folder), threads))
        return _measure(gallery, size, fingers_each, hidden or found, open_s, start_s, real=bool(hidden))


def people_of(folder: Path, fingers_each: int, source_ppi: float, size: int) -> Iterator[Traveller]:
    """The people of a folder: the first impression of each finger is the reference."""
    encoder = FingerEncoder(threads=os.cpu_count() or 1)
    touches: dict[str, dict[int, Rows]] = {}
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    for path in track(files, "encoding", console=out):
        name, _, impression = path.stem.rpartition("_")
        if not name or not impression.isdigit():
            raise typer.BadParameter(f"{path.name}: a picture is named FINGER_IMPRESSION.png, as 101_1.png")
        touches.setdefault(name, {})[int(impression)] = rows_of(encoder.minutiae(_sample(path, source_ppi)))
    people = [tuple(group) for group in _groups(list(touches.values()), fingers_each)]
    if not people or len(people) > size:
        raise typer.BadParameter(f"{folder}: {len(people)} persons of {fingers_each} fingers; the gallery has {size}")
    for person, number in zip(people, np.linspace(0, size - 1, len(people)).astype(int).tolist(), strict=True):
        common = sorted(set.intersection(*(set(one) for one in person)))
        probes = tuple(tuple(one[impression] for one in person) for impression in common[1:])
        yield Traveller(number, tuple(one[common[0]] for one in person), probes)


def _groups(items: Sequence[dict[int, Rows]], size: int) -> Iterator[Sequence[dict[int, Rows]]]:
    return (items[at : at + size] for at in range(0, len(items) - size + 1, size))


def _sample(path: Path, source_ppi: float) -> Sample:
    with Image.open(path) as picture:
        image = np.array(picture.convert("L"))
    return Sample(Modality.FINGER, Position.UNKNOWN, image, 8, source_ppi, datetime.now(UTC), "file")


def _make(
    folder: Path, rng: np.random.Generator, size: int, fingers_each: int, hidden: Sequence[Traveller], threads: int
) -> list[Traveller]:
    """Write the gallery; returns synthetic travellers who are in it."""
    total = size * fingers_each
    instead = {t.number * fingers_each + f: rows for t in hidden for f, rows in enumerate(t.references)}
    wanted = {n * fingers_each + f for n in range(min(SYNTHETIC_PROBES, size)) for f in range(fingers_each)}
    kept: dict[int, Rows] = {}
    with Writer(folder, fingers_each) as writer, ThreadPoolExecutor(threads) as pool:
        crowd = Crowd(size)
        parts = [(at, min(BLOCK, total - at)) for at in range(0, total, BLOCK)]
        groups = [parts[first : first + 2 * threads] for first in range(0, len(parts), 2 * threads)]
        for group in track(groups, "synthesising", console=out):
            made = pool.map(lambda part: crowd.part(part[0], part[1], instead), group)
            for (at, count), part in zip(group, made, strict=True):
                writer.write(at, part)
                kept |= {at + i: part.fingers.one(i) for i in range(count) if at + i in wanted}
    return [_synthetic(rng, n, fingers_each, kept) for n in range(min(SYNTHETIC_PROBES, size))]


def _synthetic(rng: np.random.Generator, number: int, fingers_each: int, kept: dict[int, Rows]) -> Traveller:
    own = tuple(kept[number * fingers_each + f] for f in range(fingers_each))
    return Traveller(number, own, (tuple(again(rng, rows) for rows in own),))


def _measure(
    gallery: FingerGallery,
    size: int,
    fingers_each: int,
    people: Sequence[Traveller],
    open_s: float,
    start_s: float,
    *,
    real: bool,
) -> SearchFigures:
    probes = [(person.number, probe) for person in people for probe in person.probes]
    first_s, _ = _timed(lambda: identify(gallery, probes[0][1]))
    results = [
        (number, *_timed(functools.partial(identify, gallery, probe)))
        for number, probe in track(probes, "searching", console=out)
    ]
    seconds = [one for _, one, _ in results]
    outside = [o for number, probe in track(probes, "ranking", console=out) for o in _outside(gallery, number, probe)]
    alone = FingerGallery(gallery.blocks, threads=1)
    few = [probe[0] for _, probe in probes[:MOST_TIMED]]
    per_s, ratio = _prefilter_speed(alone, few)
    return SearchFigures(
        persons=size,
        fingers=fingers_each,
        threads=gallery.threads,
        prefilter_per_s_core=round(per_s),
        yardstick_ratio=round(ratio, 1),
        rerank_us=round(_rerank_us(gallery, few), 1),
        search_s=round(float(np.median(seconds)), 4),
        search_longest_s=round(max(seconds), 4),
        open_s=round(open_s, 3),
        first_search_s=round(first_s, 3),
        start_s=round(start_s, 2),
        bytes_per_template=round(sum(block.nbytes for block in gallery.blocks) / len(gallery), 1),
        outside_top1_pct=round(100 * float(np.mean(outside)), 3) if real else None,
        found_pct=round(100 * float(np.mean([str(n) == best for n, _, best in results])), 3) if real else None,
        probes=len(probes),
    )


def identify(gallery: FingerGallery, probe: Sequence[Rows]) -> str:
    """The person whose fingers are most like the probe's, fused as agent/watchlist.py does."""
    rate = load_calibration(FORMAT).false_match_rate
    rates: dict[str, dict[int, float]] = {}
    for number, rows in enumerate(probe):
        for key, score in gallery.search(template_of(rows), POSITIONS[number], LIMIT):
            rates.setdefault(key, {})[number] = rate(score)
    fused = {key: fuse([one.get(n, 1.0) for n in range(len(probe))]) for key, one in rates.items()}
    return min(fused, key=lambda key: (fused[key], key))


def template_of(rows: Rows) -> Template:
    """A template of bare rows."""
    blank = no_minutiae(max(WIDTH, int(rows[:, 0].max(initial=0)) + 1), max(HEIGHT, int(rows[:, 1].max(initial=0)) + 1))
    x, y, direction, quality = np.ascontiguousarray(rows.T)
    kind = np.ones(len(rows), np.uint8)
    return pack(replace(blank, x=x, y=y, direction=direction, kind=kind, qualities=quality.astype(np.uint8)))


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    start = time.perf_counter()
    done = work()
    return time.perf_counter() - start, done


def _outside(gallery: FingerGallery, number: int, probe: Sequence[Rows]) -> Iterator[bool]:
    """Of each finger, whether the prefilter ranks the mate behind the best 1 % of the fitting position."""
    for at, rows in enumerate(probe):
        ranks = gallery.ranks(Probe.of(rows).words, POSITIONS[at])
        mate = number * len(probe) + at
        ahead = int((ranks > ranks[mate]).sum() + (ranks[:mate] == ranks[mate]).sum())
        yield ahead >= max(1, SHORT_SHARE * int((ranks >= 0).sum()))


def _prefilter_speed(alone: FingerGallery, probes: Sequence[Rows]) -> tuple[float, float]:
    """Templates a second on one thread, and how many times as many as in plain numpy, measured in turns."""
    ours, plain = [], []
    some = alone.blocks[0].words[:PLAIN_ENTRIES]
    for rows in probes:
        words = Probe.of(rows).words
        seconds, _ = _timed(functools.partial(alone.ranks, words, Position.UNKNOWN))
        ours.append(len(alone) / seconds)
        seconds, _ = _timed(functools.partial(rank_plain, words, some, np.ones(len(some), bool)))
        plain.append(len(some) / seconds)
    return float(np.median(ours)), float(np.median(np.array(ours) / np.array(plain)))


def _rerank_us(gallery: FingerGallery, probes: Sequence[Rows]) -> float:
    """Microseconds a candidate on one thread, of those that the prefilter proposes in the first block."""
    block, times = gallery.blocks[0], []
    for rows in probes:
        probe = Probe.of(rows)
        ranks = block.ranks(probe.words, 0, 0)
        listed = np.array(sorted(best_ranked(ranks, 256)), np.int64)
        seconds, _ = _timed(functools.partial(block.rerank, probe, listed))
        times.append(1e6 * seconds / len(listed))
    return float(np.median(times))
