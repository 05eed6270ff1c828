"""kiosk-bench search iris: how fast one traveller is searched among many, and whether the mate is found.

The gallery is synthesised at the level of codes (simulators/people/iris_codes.py) and put on disk in a plain layout,
one file for each array, from which it is opened as a map. Real people can be hidden in it: of a folder of PERSON, EYE
(L, R, 1 or 2) and two digits, as S1001L01.jpg, the first picture of each eye; the others are the probes.
"""

import functools
import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, NamedTuple, TypeVar

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from drivers.sample import Position
from models.calibration import fuse, load_calibration
from models.gallery import BLOCK
from models.iris.encoder import IrisEncoder
from models.iris.gallery import IrisBlock, IrisGallery
from models.iris.kernel import search as search_kernel
from models.iris.kernel import search_whole
from models.iris.search_layout import HEAD, STOPPED, TAIL, ShiftedProbe, split
from models.iris.template import FORMAT, IrisCode, Words, pack
from simulators.bench.compare_iris import sample_of
from simulators.bench.files import writable
from simulators.images import ImageFileError, read_grey
from simulators.people.iris_codes import VARIANTS, another_image, code_columns, codes_of, responses, visible_columns

LIMIT = 50  # candidates a probe, as in agent/watchlist/watchlist.py
SYNTHETIC_PROBES = 20
MOST_TIMED = 20  # probes of each kind of measurement
SUFFIXES = frozenset({".png", ".bmp", ".tif", ".jpg"})
EYES = (Position.RIGHT_EYE, Position.LEFT_EYE)
LETTERS = {"R": 0, "L": 1, "1": 0, "2": 1}
NAME = re.compile(r"(.+)([LR12])(\d\d)")
NUMBERS = {position: number for number, position in enumerate(Position)}
PLAIN_ENTRIES = 1024  # for the yardstick
READ_BYTES = 1 << 28  # for the bandwidth of the memory
READ_TIMES = 5
SOMEBODY = (
    0.09  # similarity that one in a hundred comparisons of different eyes reaches: below, nobody is told from nobody
)

T = TypeVar("T")

out = Console(highlight=False, soft_wrap=True, stderr=True)


class Traveller(NamedTuple):
    """A person in the gallery by number, codes of each eye there, and probes of the same eyes."""

    number: int
    references: tuple[IrisCode, ...]
    probes: tuple[tuple[IrisCode, ...], ...]


@dataclass(frozen=True, slots=True)
class SearchFigures:
    """Times in seconds unless the name says another unit. A comparison is of a probe at all turns with one entry.

    What is said of a core, and the bandwidth, are by the time that a core really worked (of the thread, not of the
    clock on the wall), so that others on the machine count as little as can be. All other times are of the wall clock.
    """

    persons: int
    eyes: int
    threads: int
    comparisons_per_s_core: float
    bandwidth_gb_per_s: float  # of one thread that reads memory once
    bandwidth_share: float  # what the comparisons would read, if they read every template whole, of that
    yardstick_ratio: float  # over plain numpy without an early way out
    given_up_pct: float  # entries of which the early way out leaves no turn
    search_s: float
    search_longest_s: float
    search_core_s: float  # time that a core really worked for one search, by one thread
    open_s: float
    first_search_s: float
    start_s: float  # to load the compiled search, once a process
    bytes_per_template: float
    mates_compared: int  # by eye, of those that can be told from chance
    mates_changed: int  # of these by the early way out
    found_pct: float
    probes: int
    real_people: bool


def iris(
    size: Annotated[int, typer.Option(min=1, help="Persons in the gallery.")],
    eyes: Annotated[int, typer.Option("--eyes", min=1, max=2, help="Eyes of each.")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="Threads of a search.")] = os.cpu_count() or 1,
    mates: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Folder of PERSON, EYE, two digits to hide.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", callback=writable, help="Write the figures here.")] = None,
) -> None:
    """Search irises in a synthetic gallery, real mates hidden in it where given."""
    hidden = list(people_of(mates, eyes, size)) if mates else []
    start = time.perf_counter()
    IrisGallery.warm_up()
    start_s = time.perf_counter() - start
    with tempfile.TemporaryDirectory(prefix="kiosk-bench-") as folder:
        made = make(Path(folder), size, eyes, hidden, threads)
        start = time.perf_counter()
        gallery = opened(Path(folder), eyes, threads)
        open_s = time.perf_counter() - start
        figures = _measure(gallery, eyes, hidden or made, open_s, start_s, real=bool(hidden))
    table = Table("figure", "value", box=None)
    for name, value in asdict(figures).items():
        table.add_row(name.replace("_", " "), str(value))
    Console(highlight=False).print(table)
    if json_file is not None:
        json_file.write_text(json.dumps(asdict(figures), indent=1), encoding="utf-8")


def people_of(folder: Path, eyes: int, size: int) -> Iterator[Traveller]:
    """The people of a folder who have that many eyes; of one eye, each eye is a person."""
    encoder = IrisEncoder(threads=os.cpu_count() or 1)
    found: dict[str, dict[int, dict[int, IrisCode]]] = {}
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    for path in track(files, "encoding", console=out):
        match = NAME.fullmatch(path.stem)
        if match is None:
            raise typer.BadParameter(
                f"{path.name}: a picture is named PERSON, EYE (L, R, 1, 2), two digits: 0101L01.jpg"
            )
        person, eye, picture = match.groups()
        number = 0 if eyes == 1 else LETTERS[eye]
        one = found.setdefault(person + eye if eyes == 1 else person, {})
        try:
            image = read_grey(path)
        except (ImageFileError, OSError) as error:
            raise typer.BadParameter(str(error)) from error
        one.setdefault(number, {})[int(picture)] = encoder.code(sample_of(image))
    known = ([one[eye] for eye in sorted(one)] for one in found.values() if len(one) == eyes)
    people = [person for person in known if len(set.intersection(*(set(eye) for eye in person))) > 1]
    if not people or len(people) > size:
        raise typer.BadParameter(
            f"{folder}: {len(people)} persons with two pictures and more of {eyes} eyes; the gallery has {size}"
        )
    for person, place in zip(people, np.linspace(0, size - 1, len(people)).astype(int).tolist(), strict=True):
        common = sorted(set.intersection(*(set(one) for one in person)))
        probes = tuple(tuple(one[picture] for one in person) for picture in common[1:])
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
    """Heads and tails of some entries."""
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


def opened(folder: Path, eyes: int, threads: int) -> IrisGallery:
    """The gallery of a folder in the plain layout, without reading what is not searched yet."""
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
        search_core_s=round(float(np.median([worked(functools.partial(identify, alone, p))[0] for _, p in few])), 4),
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
    """The person whose eyes are most like the probe's, fused as the watchlist does; nobody is an empty name."""
    rate = load_calibration(FORMAT).false_match_rate
    rates: dict[str, dict[int, float]] = {}
    for number, code in enumerate(probe):
        for key, score in gallery.search(pack(code), EYES[number], LIMIT):
            rates.setdefault(key, {})[number] = rate(score)
    fused = {key: fuse([one.get(n, 1.0) for n in range(len(probe))]) for key, one in rates.items()}
    return min(fused, key=lambda key: (fused[key], key), default="")


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Seconds, and what was done."""
    start = time.perf_counter()
    done = work()
    return time.perf_counter() - start, done


def worked(work: Callable[[], T]) -> tuple[float, T]:
    """Seconds that this thread really worked, and what was done."""
    start = time.thread_time()
    done = work()
    return time.thread_time() - start, done


def mates_changed(probes: Sequence[tuple[Traveller, tuple[IrisCode, ...]]]) -> tuple[int, int]:
    """Of the comparisons with the own reference that reach SOMEBODY: how many, and how many the way out changes."""
    compared = changed = 0
    for person, probe in probes:
        for code, reference in zip(probe, person.references, strict=True):
            turned, entry = ShiftedProbe.of(code), split(reference.code[np.newaxis], reference.mask[np.newaxis])
            whole = search_whole(turned, *entry)
            compared += int(whole[0] >= SOMEBODY)
            changed += int(whole[0] >= SOMEBODY and search_kernel(turned, *entry, np.ones(1, bool))[0] != whole[0])
    return compared, changed


def memory_bandwidth() -> float:
    """Bytes a second that one thread reads of memory, each once: the best of several times."""
    words = np.ones(READ_BYTES // 8, np.uint64)
    return max(READ_BYTES / worked(words.max)[0] for _ in range(READ_TIMES))


def _speed(alone: IrisGallery, probes: Sequence[IrisCode]) -> tuple[float, float, float]:
    """Comparisons a second on one thread, how many times as many as in plain numpy in turns, share given up."""
    ours, plain, given_up = [], [], []
    heads, tails = alone.blocks[0].heads[:PLAIN_ENTRIES], alone.blocks[0].tails[:PLAIN_ENTRIES]
    for code in probes:
        turned = ShiftedProbe.of(code)
        seconds, found = worked(functools.partial(alone.similarities, turned, Position.UNKNOWN))
        ours.append(len(alone) / seconds)
        given_up.append(float((found == STOPPED).mean()))
        seconds, _ = worked(functools.partial(search_whole, turned, heads, tails))
        plain.append(len(heads) / seconds)
    return float(np.median(ours)), float(np.median(np.array(ours) / np.array(plain))), float(np.mean(given_up))
