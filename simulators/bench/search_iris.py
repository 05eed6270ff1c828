"""kiosk-bench search iris: measures the time of the search of one traveller among many, and how often it succeeds.

The gallery is generated as codes (simulators/people/iris_codes.py), written to disk with one file for each array, and
opened as a memory map. Real people can be hidden in it: from a folder of images named PERSON, EYE (L, R, 1 or 2) and
two digits, as S1001L01.jpg, the first image of each eye is a reference, the others are probes.
"""

import functools
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import typer
from rich.progress import track

from drivers.sample import Position
from models.gallery import BLOCK
from models.iris.encoder import IrisEncoder
from models.iris.gallery import IrisBlock, IrisGallery
from models.iris.kernel import search as search_kernel
from models.iris.kernel import search_whole
from models.iris.search_layout import HEAD, STOPPED, TAIL, ShiftedProbe, split
from models.iris.template import FORMAT, IrisCode, Words, pack
from simulators.bench.compare_iris import sample_of
from simulators.bench.figures import cpu_timed, out, timed, write_figures
from simulators.bench.files import image_files, writable
from simulators.bench.rates import fused_rates
from simulators.people.iris_codes import VARIANTS, another_image, code_columns, codes_of, responses, visible_columns
from simulators.pictures.errors import ImageFileError
from simulators.pictures.reader import read_grey

LIMIT = 50  # candidates for each probe, as in agent/watchlist/watchlist.py
SYNTHETIC_PROBES = 20
MOST_TIMED = 20  # probes in each measurement
EYES = (Position.RIGHT_EYE, Position.LEFT_EYE)
LETTERS = {"R": 0, "L": 1, "1": 0, "2": 1}
NAME = re.compile(r"(.+)([LR12])(\d\d)")
NUMBERS = {position: number for number, position in enumerate(Position)}
PLAIN_ENTRIES = 1024  # searched with plain numpy, for comparison
READ_BYTES = 1 << 28  # bytes read to measure the memory bandwidth
READ_TIMES = 5
CHANCE_SCORE = 0.09  # one in a hundred comparisons of different eyes reaches it: lower scores are not significant


class Traveller(NamedTuple):
    """A person in the gallery: the number, the codes of the eyes in the gallery, and probes of the same eyes."""

    number: int
    references: tuple[IrisCode, ...]
    probes: tuple[tuple[IrisCode, ...], ...]


@dataclass(frozen=True, slots=True)
class SearchFigures:
    """Times in seconds unless the name gives another unit. A comparison is of a probe at all rotations with one entry.

    Figures per core, and the bandwidth, use the CPU time of the thread, so that other processes have little influence.
    All other times are wall clock times.
    """

    persons: int
    eyes: int
    threads: int
    comparisons_per_s_core: float
    bandwidth_gb_per_s: float  # bandwidth of one thread that reads memory once
    bandwidth_share: float  # share of it that the comparisons would use if they read every template completely
    yardstick_ratio: float  # over plain numpy without early exit
    given_up_pct: float  # entries for which the early exit skips all rotations
    search_s: float
    search_longest_s: float
    search_core_s: float  # CPU time of one search on one thread
    open_s: float
    first_search_s: float
    start_s: float  # time to load the compiled search, once per process
    bytes_per_template: float
    mates_compared: int  # mated comparisons of one eye with a score above CHANCE_SCORE
    mates_changed: int  # those of them whose score changes with the early exit
    found_pct: float
    probes: int
    real_people: bool


def iris(
    size: Annotated[int, typer.Option(min=1, help="Number of persons in the gallery.")],
    eyes: Annotated[int, typer.Option("--eyes", min=1, max=2, help="Eyes per person.")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="Threads of a search.")] = os.cpu_count() or 1,
    mates: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Folder of images such as S1001L01.jpg: real people to add."),
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", callback=writable, help="Write the figures here.")] = None,
) -> None:
    """Search irises in a synthetic gallery, to which real people can be added."""
    hidden = list(people_of(mates, eyes, size)) if mates else []
    start_s, _ = timed(IrisGallery.warm_up)
    with tempfile.TemporaryDirectory(prefix="kiosk-bench-") as folder:
        made = make(Path(folder), size, eyes, hidden, threads)
        open_s, gallery = timed(lambda: open_gallery(Path(folder), eyes, threads))
        figures = _measure(gallery, eyes, hidden or made, open_s, start_s, real=bool(hidden))
    write_figures(figures, json_file)


def people_of(folder: Path, eyes: int, size: int) -> Iterator[Traveller]:
    """The people of a folder who have `eyes` eyes. If `eyes` is 1, each eye counts as a person."""
    encoder = IrisEncoder(threads=os.cpu_count() or 1)
    found: dict[str, dict[int, dict[int, IrisCode]]] = {}
    for path in track(image_files(folder), "encoding", console=out):
        match = NAME.fullmatch(path.stem)
        if match is None:
            raise typer.BadParameter(
                f"{path.name}: the name of an image must be PERSON, EYE (L, R, 1, 2), two digits: 0101L01.jpg"
            )
        person, eye, image_number = match.groups()
        number = 0 if eyes == 1 else LETTERS[eye]
        one = found.setdefault(person + eye if eyes == 1 else person, {})
        try:
            image = read_grey(path)
        except (ImageFileError, OSError) as error:
            raise typer.BadParameter(str(error)) from error
        one.setdefault(number, {})[int(image_number)] = encoder.code(sample_of(image))
    known = ([one[eye] for eye in sorted(one)] for one in found.values() if len(one) == eyes)
    people = [person for person in known if len(set.intersection(*(set(eye) for eye in person))) > 1]
    if not people or len(people) > size:
        raise typer.BadParameter(
            f"{folder}: {len(people)} persons with at least two images of {eyes} eyes; the gallery has {size}: "
            "there must be at least one, and not more than the gallery has"
        )
    for person, place in zip(people, np.linspace(0, size - 1, len(people)).astype(int).tolist(), strict=True):
        common = sorted(set.intersection(*(set(one) for one in person)))
        probes = tuple(tuple(one[image] for one in person) for image in common[1:])
        yield Traveller(place, tuple(one[common[0]] for one in person), probes)


def make(folder: Path, size: int, eyes: int, hidden: Sequence[Traveller], threads: int) -> list[Traveller]:
    """Write the gallery; returns synthetic travellers who are in it."""
    rng = np.random.default_rng(size)
    some = [_synthetic(rng, number, eyes) for number in range(min(SYNTHETIC_PROBES, size))]
    known = {p.number * eyes + e: code for p in (*some, *hidden) for e, code in enumerate(p.references)}
    parts = [(at, min(BLOCK, size * eyes - at)) for at in range(0, size * eyes, BLOCK)]
    groups = [parts[at : at + 2 * threads] for at in range(0, len(parts), 2 * threads)]
    with (folder / "heads").open("wb") as heads, (folder / "tails").open("wb") as tails:
        for group in track(groups, "synthesising", console=out):
            with ThreadPoolExecutor(threads) as pool:
                for head, tail in pool.map(lambda part: _block(size, part[0], part[1], known), group):
                    head.tofile(heads)
                    tail.tofile(tails)
    return some


def _synthetic(rng: np.random.Generator, number: int, eyes: int) -> Traveller:
    fields = responses(rng, eyes)
    return Traveller(number, tuple(codes_of(rng, fields, 0)), (tuple(codes_of(rng, another_image(rng, fields), 0)),))


def _block(size: int, first: int, count: int, known: Mapping[int, IrisCode]) -> tuple[Words, Words]:
    """Heads and tails of `count` entries from `first`."""
    rng = np.random.default_rng([size, first])
    numbers = np.arange(count)
    codes, masks = (
        code_columns(rng, -(-count // VARIANTS))
        .variant(numbers // VARIANTS, numbers % VARIANTS)
        .words(visible_columns(rng, count))
    )
    for number in numbers.tolist():
        if first + number in known:
            codes[number], masks[number] = known[first + number].code, known[first + number].mask
    return split(codes, masks)


def open_gallery(folder: Path, eyes: int, threads: int) -> IrisGallery:
    """The gallery in a folder, as a memory map: data is read when it is searched."""
    heads = np.asarray(np.memmap(folder / "heads", np.uint64, "c").reshape(-1, 2, HEAD))
    tails = np.asarray(np.memmap(folder / "tails", np.uint64, "c").reshape(-1, 2, TAIL))
    keys = [key for number in range(len(heads) // eyes) for key in (str(number),) * eyes]
    positions = np.tile(np.array([NUMBERS[eye] for eye in EYES[:eyes]], np.uint8), len(heads) // eyes)
    return IrisGallery(
        tuple(
            IrisBlock(tuple(keys[at:end]), positions[at:end], heads[at:end], tails[at:end])
            for at, end in ((at, min(at + BLOCK, len(heads))) for at in range(0, len(heads), BLOCK))
        ),
        threads,
    )


def _measure(
    gallery: IrisGallery, eyes: int, people: Sequence[Traveller], open_s: float, start_s: float, *, real: bool
) -> SearchFigures:
    probes = [(person, probe) for person in people for probe in person.probes]
    first_s, _ = timed(lambda: identify(gallery, probes[0][1]))
    results = [
        (person.number, *timed(functools.partial(identify, gallery, probe)))
        for person, probe in track(probes, "searching", console=out)
    ]
    seconds = [one for _, one, _ in results]
    alone, few = IrisGallery(gallery.blocks, 1), probes[:MOST_TIMED]
    per_s, ratio, given_up = _speed(alone, [probe[0] for _, probe in few])
    bandwidth = memory_bandwidth()
    each = sum(block.nbytes for block in gallery.blocks) / len(gallery)
    compared, changed = mates_changed(probes)
    return SearchFigures(
        persons=len(gallery) // eyes,
        eyes=eyes,
        threads=gallery.threads,
        comparisons_per_s_core=round(per_s),
        bandwidth_gb_per_s=round(bandwidth / 1e9, 2),
        bandwidth_share=round(per_s * each / bandwidth, 3),
        yardstick_ratio=round(ratio, 1),
        given_up_pct=round(100 * given_up, 1),
        search_s=round(float(np.median(seconds)), 4),
        search_longest_s=round(max(seconds), 4),
        search_core_s=round(float(np.median([cpu_timed(functools.partial(identify, alone, p))[0] for _, p in few])), 4),
        open_s=round(open_s, 3),
        first_search_s=round(first_s, 3),
        start_s=round(start_s, 2),
        bytes_per_template=round(each, 1),
        mates_compared=compared,
        mates_changed=changed,
        found_pct=round(100 * float(np.mean([str(number) == best for number, _, best in results])), 3),
        probes=len(probes),
        real_people=real,
    )


def identify(gallery: IrisGallery, probe: Sequence[IrisCode]) -> str:
    """The person with the lowest false match rate for all eyes of the probe; empty if there is no candidate."""
    results = [gallery.search(pack(code), EYES[number], LIMIT) for number, code in enumerate(probe)]
    fused = fused_rates(FORMAT, results)
    return min(fused, key=lambda key: (fused[key], key), default="")


def mates_changed(probes: Sequence[tuple[Traveller, tuple[IrisCode, ...]]]) -> tuple[int, int]:
    """The number of mated comparisons with a score from CHANCE_SCORE, and of those that the early exit changes."""
    compared = changed = 0
    for person, probe in probes:
        for code, reference in zip(probe, person.references, strict=True):
            shifted, entry = ShiftedProbe.of(code), split(reference.code[np.newaxis], reference.mask[np.newaxis])
            whole = search_whole(shifted, *entry)
            compared += int(whole[0] >= CHANCE_SCORE)
            changed += int(whole[0] >= CHANCE_SCORE and search_kernel(shifted, *entry, np.ones(1, bool))[0] != whole[0])
    return compared, changed


def memory_bandwidth() -> float:
    """Bytes per second that one thread reads from memory; the best of several measurements."""
    words = np.ones(READ_BYTES // 8, np.uint64)
    return max(READ_BYTES / cpu_timed(words.max)[0] for _ in range(READ_TIMES))


def _speed(alone: IrisGallery, probes: Sequence[IrisCode]) -> tuple[float, float, float]:
    """Comparisons per second on one thread, the ratio to plain numpy in turns, and the share that exits early."""
    ours, plain, given_up = [], [], []
    heads, tails = alone.blocks[0].heads[:PLAIN_ENTRIES], alone.blocks[0].tails[:PLAIN_ENTRIES]
    for code in probes:
        shifted = ShiftedProbe.of(code)
        seconds, found = cpu_timed(functools.partial(alone.similarities, shifted, Position.UNKNOWN))
        ours.append(len(alone) / seconds)
        given_up.append(float((found == STOPPED).mean()))
        seconds, _ = cpu_timed(functools.partial(search_whole, shifted, heads, tails))
        plain.append(len(heads) / seconds)
    return float(np.median(ours)), float(np.median(np.array(ours) / np.array(plain))), float(np.mean(given_up))
