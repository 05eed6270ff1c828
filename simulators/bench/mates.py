"""Real people for kiosk-bench search finger, from a folder of images FINGER_IMPRESSION.png."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.progress import track

from drivers.sample import Modality, Position, Sample
from models.finger.cylinders import Rows, rows_of
from models.finger.encoder import FingerEncoder
from simulators.bench.figures import out
from simulators.bench.files import image_files
from simulators.pictures.errors import ImageFileError
from simulators.pictures.reader import read_finger


@dataclass(frozen=True, slots=True)
class Traveller:
    """A person in the gallery: the number, the references, and probes of the same fingers."""

    number: int
    references: tuple[Rows, ...]
    probes: tuple[tuple[Rows, ...], ...]


def people_of(folder: Path, fingers_each: int, source_ppi: float | None, size: int) -> Iterator[Traveller]:
    """The people of a folder. The first impression that all fingers of a person have is the reference.

    ImageFileError names what is wrong with the folder.
    """
    people = list(_groups(_fingers_of(folder), fingers_each))
    if not 0 < len(people) <= size:
        raise ImageFileError(
            f"{folder} has {len(people)} persons of {fingers_each} fingers, the gallery {size}: there must be at least "
            f"{fingers_each} fingers, and the gallery must be as large as the number of persons"
        )
    if all(len(files[0]) < 2 for files in people):
        raise ImageFileError(f"{folder}: no finger has a second impression to search with, as 101_1.png and 101_2.png")
    encoder, numbers = FingerEncoder(threads=os.cpu_count() or 1), spread(size, len(people))
    for person, files in enumerate(track(people, "encoding", console=out)):
        taken = [[rows_of(encoder.minutiae(_sample(path, source_ppi))) for path in touches] for touches in files]
        references, *probes = zip(*taken, strict=True)
        yield Traveller(numbers[person], references, tuple(probes))


def _fingers_of(folder: Path) -> dict[str, dict[int, Path]]:
    """The files of each finger by impression."""
    touches: dict[str, dict[int, Path]] = {}
    for path in image_files(folder):
        name, _, impression = path.stem.rpartition("_")
        if not name or not impression.isdecimal():
            raise ImageFileError(f"{path}: the name of an image must be FINGER_IMPRESSION.png, as 101_1.png")
        other = touches.setdefault(name, {}).setdefault(int(impression), path)
        if other is not path:
            raise ImageFileError(f"{path} and {other.name} are the same impression: keep one of them")
    if not touches:
        raise ImageFileError(f"{folder} contains no image FINGER_IMPRESSION.png, as 101_1.png")
    return touches


def _groups(touches: Mapping[str, Mapping[int, Path]], fingers_each: int) -> Iterator[list[list[Path]]]:
    """For each person, the files of each finger, limited to the impressions that all fingers have."""
    names = list(touches)
    for at in range(0, len(names) - fingers_each + 1, fingers_each):
        own = names[at : at + fingers_each]
        common = sorted(set.intersection(*(set(touches[name]) for name in own)))
        if not common:
            first = next(iter(touches[own[0]].values()))
            raise ImageFileError(
                f"{first}: {' and '.join(own)} belong to one person but have no impression with the same number: "
                "name them as 101_1.png and 102_1.png"
            )
        yield [[touches[name][number] for number in common] for name in own]


def _sample(path: Path, source_ppi: float | None) -> Sample:
    image = read_finger(path, source_ppi)
    now = datetime.now(UTC)
    return Sample(Modality.FINGER, Position.UNKNOWN, image.grey, 8, image.pixels_per_inch, now, "file")


def spread(size: int, number: int) -> list[int]:
    """The entries of `number` persons, in the middle of equal parts of a gallery of `size`."""
    return [(2 * n + 1) * size // (2 * number) for n in range(number)]
