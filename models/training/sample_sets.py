"""Folders of real pictures that a calibration is fitted to: whose each is, and whether there is enough to compare.

Nothing of it is there at run time.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.finger.image import PPI_RANGE
from models.finger.minutiae import PIXELS_PER_INCH
from simulators.images import read_grey

SUFFIXES = {".png", ".jpg", ".tif", ".bmp"}
FEWEST = 4  # fingers or eyes of a set, seen twice or more: what is fitted on two of them is observed on two others


class SetError(ValueError):
    """A set that nothing can be fitted to. The message names it and says what it needs."""


@dataclass(frozen=True, slots=True)
class Naming:
    """How the pictures of a set are named, and so whose they are: group 1 of `stem`."""

    owner: str
    stem: re.Pattern[str]
    form: str
    example: str
    scaled: bool  # whether the resolution of a picture matters, and so may be said


FINGERS = Naming("finger", re.compile(r"(.+)_\d+"), "FINGER_IMPRESSION", "101_1", scaled=True)
EYES = Naming("eye", re.compile(r"(.+)\d\d"), "EYE and two digits of a count", "S1001L01", scaled=False)


@dataclass(frozen=True, slots=True)
class Source:
    """The pictures of a set, and whose each is."""

    name: str
    pixels_per_inch: float
    owners: dict[Path, str]


def sources(root: Path, named: Sequence[str], naming: Naming) -> list[Source]:
    """The sets as they were named, SET or SET:PPI. SetError, ImageFileError and OSError say what is wrong with one."""
    found = [_source(root, *one.partition(":")[::2], naming) for one in named]
    twice = [name for name, times in Counter(source.name for source in found).items() if times > 1]
    if twice:
        raise SetError(f"{twice[0]}: this set is named twice")
    for source in found:
        _check(root, source, naming)
    return found


def _source(root: Path, name: str, resolution: str, naming: Naming) -> Source:
    files = sorted(path for path in (root / name).iterdir() if path.suffix.lower() in SUFFIXES)
    owners = {path: f"{name}/{_owner(path, naming)}" for path in files}
    return Source(name, _resolution(name, resolution, naming), owners)


def _resolution(name: str, text: str, naming: Naming) -> float:
    low, high = PPI_RANGE
    if text and not naming.scaled:
        raise SetError(f"{name}:{text}: the resolution of an {naming.owner} does not matter, name the set as {name}")
    try:
        value = float(text or PIXELS_PER_INCH)
    except ValueError:
        value = 0.0
    if not low <= value <= high:
        raise SetError(f"{name}:{text}: a resolution is a number of {low:g} to {high:g} pixels per inch, as {name}:500")
    return value


def _owner(path: Path, naming: Naming) -> str:
    found = naming.stem.fullmatch(path.stem)
    if found is None:
        raise SetError(f"{path}: a picture is named {naming.form}, as {naming.example}{path.suffix}")
    return found[1]


def seen_again(owners: Iterable[str]) -> int:
    """How many are there twice or more."""
    return sum(times > 1 for times in Counter(owners).values())


def _check(root: Path, source: Source, naming: Naming) -> None:
    """Whether there is enough to compare, and every picture can be read."""
    again = seen_again(source.owners.values())
    if again < FEWEST:
        raise SetError(
            f"{root / source.name} has {again} {naming.owner}s with two pictures or more: a set needs {FEWEST}, "
            f"with pictures named {naming.form}, as {naming.example}.png"
        )
    for path in source.owners:
        read_grey(path)
