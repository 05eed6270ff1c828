"""kiosk-bench search finger: measures the time of the search of one traveller among many, and how often it succeeds.

The gallery is generated as minutiae (simulators/people/finger_minutiae.py), written to disk with one file for each
array, and opened as a memory map. Real people can be hidden in it: from a folder of images FINGER_IMPRESSION.png, the
first impression of each finger is a reference (F fingers for each person, in the order of their names), the others are
probes. A traveller is found if the traveller's own entry alone has the lowest false match rate; a tie does not count.
"""

import functools
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.progress import track

from drivers.sample import Position
from models.finger.cylinders import Rows
from models.finger.minutiae import no_minutiae
from models.finger.search.block import Probe
from models.finger.search.gallery import SHORT_SHARE, FingerGallery
from models.finger.search.prefilter import rank_plain
from models.finger.template import FORMAT, pack
from models.template import Template
from simulators.bench.figures import out, timed, write_figures
from simulators.bench.files import writable
from simulators.bench.finger_gallery import POSITIONS, SyntheticFingers, Writer, groups, open_gallery
from simulators.bench.mates import Traveller, people_of, spread
from simulators.bench.rates import fused_rates
from simulators.images import PPI_RANGE
from simulators.people.finger_minutiae import HEIGHT, WIDTH, another_impression
from simulators.pictures.errors import ImageFileError

MOST_FINGERS = 10  # fingers of a person
LIMIT = 50  # candidates for each probe, as in agent/watchlist/watchlist.py
SYNTHETIC_PROBES = 20
MOST_TIMED = 20  # probes in each measurement
PLAIN_ENTRIES = 2048  # searched with plain numpy, for comparison

search = typer.Typer(
    name="search", help="Measure the search of one traveller among many.", no_args_is_help=True, add_completion=False
)


@dataclass(frozen=True, slots=True)
class SearchFigures:
    """Times in seconds unless the name gives another unit. Shares of real people are None if there are none."""

    persons: int
    fingers: int
    threads: int
    prefilter_per_s_core: float
    yardstick_ratio: float  # over plain numpy
    rerank_us: float  # for an entry of the short list on one thread, including the exact scores of the best ones
    exact_us: float  # for one exact score, including the computation of the reference's cylinders
    short_list: int  # entries for one finger
    search_s: float
    search_longest_s: float
    open_s: float
    first_search_s: float
    start_s: float  # time to load the compiled search, once per process
    bytes_per_template: float
    outside_top1_pct: float | None
    found_pct: float | None
    probes: int


@search.callback()
def _several() -> None:
    """Make `finger` a subcommand even while it is the only one."""


@search.command()
def finger(
    size: Annotated[int, typer.Option(min=1, help="Number of persons in the gallery.")],
    fingers_each: Annotated[int, typer.Option("--fingers", min=1, max=MOST_FINGERS, help="Fingers per person.")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="Threads of a search.")] = os.cpu_count() or 1,
    mates: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Folder of FINGER_IMPRESSION.png: real people to add."),
    ] = None,
    source_ppi: Annotated[
        float | None,
        typer.Option(
            min=PPI_RANGE[0],
            max=PPI_RANGE[1],
            help="Resolution of those images. Default: what each file states, else 500.",
        ),
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", callback=writable, help="Write the figures here.")] = None,
) -> None:
    """Search fingers in a synthetic gallery, to which real people can be added."""
    try:
        hidden = list(people_of(mates, fingers_each, source_ppi, size)) if mates else []
    except (ImageFileError, OSError) as error:
        raise typer.BadParameter(str(error)) from error
    write_figures(measure(size, fingers_each, threads, hidden), json_file)


def measure(size: int, fingers_each: int, threads: int, hidden: Sequence[Traveller] = ()) -> SearchFigures:
    """Make a gallery of `size` persons in a temporary folder, open it and search it."""
    rng = np.random.default_rng(size)
    start_s, _ = timed(FingerGallery.warm_up)
    with tempfile.TemporaryDirectory(prefix="kiosk-bench-") as folder:
        found = _make(Path(folder), rng, size, fingers_each, hidden, threads)
        open_s, gallery = timed(lambda: open_gallery(Path(folder), threads))
        return _measure(gallery, size, fingers_each, hidden or found, open_s, start_s, real=bool(hidden))


def _make(
    folder: Path, rng: np.random.Generator, size: int, fingers_each: int, hidden: Sequence[Traveller], threads: int
) -> list[Traveller]:
    """Write the gallery; returns synthetic travellers who are in it."""
    total = size * fingers_each
    replacements = {t.number * fingers_each + f: rows for t in hidden for f, rows in enumerate(t.references)}
    travellers = spread(size, min(SYNTHETIC_PROBES, size))
    wanted = {n * fingers_each + f for n in travellers for f in range(fingers_each)}
    kept: dict[int, Rows] = {}
    with Writer(folder, fingers_each) as writer, ThreadPoolExecutor(threads) as pool:
        gallery = SyntheticFingers(size)
        for group in track(groups(total, threads), "synthesising", console=out):
            made = pool.map(lambda part: gallery.part(part[0], part[1], replacements), group)
            for (at, count), part in zip(group, made, strict=True):
                writer.write(at, part)
                kept |= {at + i: part.fingers.one(i) for i in range(count) if at + i in wanted}
    return [_synthetic(rng, n, fingers_each, kept) for n in travellers]


def _synthetic(rng: np.random.Generator, number: int, fingers_each: int, kept: dict[int, Rows]) -> Traveller:
    own = tuple(kept[number * fingers_each + f] for f in range(fingers_each))
    return Traveller(number, own, (tuple(another_impression(rng, rows) for rows in own),))


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
    first_s, _ = timed(lambda: identify(gallery, probes[0][1]))
    results = [
        (number, *timed(functools.partial(identify, gallery, probe)))
        for number, probe in track(probes, "searching", console=out)
    ]
    seconds = [one for _, one, _ in results]
    outside = [o for number, probe in track(probes, "ranking", console=out) for o in _outside(gallery, number, probe)]
    alone = FingerGallery(gallery.blocks, threads=1)
    few = [probe[0] for _, probe in probes[:MOST_TIMED]]
    per_s, ratio = _prefilter_speed(alone, few)
    rerank = _reranking(alone, few)
    return SearchFigures(
        persons=size,
        fingers=fingers_each,
        threads=gallery.threads,
        prefilter_per_s_core=round(per_s),
        yardstick_ratio=round(ratio, 1),
        rerank_us=round(rerank.each_us, 1),
        exact_us=round(rerank.exact_us, 1),
        short_list=rerank.listed,
        search_s=round(float(np.median(seconds)), 4),
        search_longest_s=round(max(seconds), 4),
        open_s=round(open_s, 3),
        first_search_s=round(first_s, 3),
        start_s=round(start_s, 2),
        bytes_per_template=round(sum(block.nbytes for block in gallery.blocks) / len(gallery), 1),
        outside_top1_pct=round(100 * float(np.mean(outside)), 3) if real else None,
        found_pct=round(100 * float(np.mean([found(str(n), rates) for n, _, rates in results])), 3) if real else None,
        probes=len(probes),
    )


def identify(gallery: FingerGallery, probe: Sequence[Rows]) -> dict[str, float]:
    """The false match rate of each candidate, from the search of all fingers of the probe."""
    results = [gallery.search(template_of(rows), POSITIONS[number], LIMIT) for number, rows in enumerate(probe)]
    return fused_rates(FORMAT, results)


def found(key: str, rates: Mapping[str, float]) -> bool:
    """True if this person alone has the lowest false match rate of all candidates."""
    return key in rates and all(rates[key] < rate for other, rate in rates.items() if other != key)


def template_of(rows: Rows) -> Template:
    """A template with the minutiae of these rows."""
    blank = no_minutiae(max(WIDTH, int(rows[:, 0].max(initial=0)) + 1), max(HEIGHT, int(rows[:, 1].max(initial=0)) + 1))
    x, y, direction, quality = np.ascontiguousarray(rows.T)
    kind = np.ones(len(rows), np.uint8)
    return pack(replace(blank, x=x, y=y, direction=direction, kind=kind, qualities=quality.astype(np.uint8)))


def _outside(gallery: FingerGallery, number: int, probe: Sequence[Rows]) -> Iterator[bool]:
    """For each finger, true if the prefilter does not rank the mated entry in the best 1 % of that position."""
    for at, rows in enumerate(probe):
        ranks = gallery.ranks(Probe.of(rows).words, POSITIONS[at])
        own = number * len(probe) + at
        ahead = int((ranks > ranks[own]).sum() + (ranks[:own] == ranks[own]).sum())
        yield ahead >= max(1, SHORT_SHARE * int((ranks >= 0).sum()))


def _prefilter_speed(alone: FingerGallery, probes: Sequence[Rows]) -> tuple[float, float]:
    """Templates per second on one thread, and the ratio to plain numpy, measured in turns."""
    ours, plain = [], []
    some = alone.blocks[0].words[:PLAIN_ENTRIES]
    for rows in probes:
        words = Probe.of(rows).words
        seconds, _ = timed(functools.partial(alone.ranks, words, Position.UNKNOWN))
        ours.append(len(alone) / seconds)
        seconds, _ = timed(functools.partial(rank_plain, words, some, np.ones(len(some), bool)))
        plain.append(len(some) / seconds)
    return float(np.median(ours)), float(np.median(np.array(ours) / np.array(plain)))


@dataclass(frozen=True, slots=True)
class Reranking:
    """Times of steps 2 and 3 of a search, on one thread."""

    each_us: float  # time of both steps, per entry of the short list
    exact_us: float  # time of step 3, per scored entry
    listed: int


def _reranking(alone: FingerGallery, probes: Sequence[Rows]) -> Reranking:
    """Medians over the probes; each is a finger of the first position."""
    each, exact, listed = [], [], []
    for rows in probes:
        probe = Probe.of(rows)
        short = alone.short_list(probe, POSITIONS[0], LIMIT)
        both_s, _ = timed(functools.partial(alone.best_of, probe, short, LIMIT))
        some = short[:LIMIT]
        exact_s, _ = timed(functools.partial(alone.scored, probe, some))
        each.append(1e6 * both_s / len(short))
        exact.append(1e6 * exact_s / len(some))
        listed.append(len(short))
    return Reranking(float(np.median(each)), float(np.median(exact)), int(np.median(listed)))
