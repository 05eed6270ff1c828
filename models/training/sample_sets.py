"""Reads the folders of real images that a calibration is fitted to, and checks that there is enough to compare.

Not used at run time.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.finger.image import PPI_RANGE
from models.finger.minutiae import PIXELS_PER_INCH
from simulators.pictures.reader import read_grey

SUFFIXES = {".png", ".jpg", ".tif", ".bmp"}
MIN_REPEATED = 4  # fingers or eyes of a set with two images or more: fitted on two of them, observed on the other two


class SetError(ValueError):
    """A set that no calibration can be fitted to. The message names it and says what it needs."""


@dataclass(frozen=True, slots=True)
class FileNaming:
    """How the image files of a set are named. Group 1 of `stem` is the owner: the finger or the eye."""

    owner: str
    stem: re.Pattern[str]
    form: str
    example: str
    scaled: bool  # whether the resolution of an image matters, so that it may be given


FINGERS = FileNaming("finger", re.compile(r"(.+)_\d+"), "FINGER_IMPRESSION", "101_1", scaled=True)
EYES = FileNaming("eye", re.compile(r"(.+)\d\d"), "EYE and two digits of a count", "S1001L01", scaled=False)


@dataclass(frozen=True, slots=True)
class SampleSet:
    """The images of a set, each with its owner: the finger or the eye."""

    name: str
    pixels_per_inch: float
    owners: dict[Path, str]


def load_sets(root: Path, named: Sequence[str], naming: FileNaming) -> list[SampleSet]:
    """The sets named on the command line, SET or SET:PPI. SetError, ImageFileError or OSError if one is not usable."""
    found = [_source(root, *one.partition(":")[::2], naming) for one in named]
    twice = [name for name, times in Counter(sample_set.name for sample_set in found).items() if times > 1]
    if twice:
        raise SetError(f"{twice[0]}: this set is named twice")
    for sample_set in found:
        _check(root, sample_set, naming)
    return found


def _source(root: Path, name: str, resolution: str, naming: FileNaming) -> SampleSet:
    files = sorted(path for path in (root / name).iterdir() if path.suffix.lower() in SUFFIXES)
    owners = {path: f"{name}/{_owner(path, naming)}" for path in files}
    return SampleSet(name, _resolution(name, resolution, naming), owners)


def _resolution(name: str, text: str, naming: FileNaming) -> float:
    low, high = PPI_RANGE
    if text and not naming.scaled:
        raise SetError(f"{name}:{text}: the resolution of an {naming.owner} does not matter, name the set as {name}")
    try:
        value = float(text or PIXELS_PER_INCH)
    except ValueError:
        value = 0.0
    if not low <= value <= high:
        raise SetError(
            f"{name}:{text}: a resolution is a number from {low:g} to {high:g} pixels per inch, as {name}:500"
        )
    return value


def _owner(path: Path, naming: FileNaming) -> str:
    found = naming.stem.fullmatch(path.stem)
    if found is None:
        raise SetError(f"{path}: an image is named {naming.form}, as {naming.example}{path.suffix}")
    return found[1]


def repeated(owners: Iterable[str]) -> int:
    """The number of owners with two images or more."""
    return sum(times > 1 for times in Counter(owners).values())


def _check(root: Path, sample_set: SampleSet, naming: FileNaming) -> None:
    """SetError if there is not enough to compare; ImageFileError if an image cannot be read."""
    again = repeated(sample_set.owners.values())
    if again < MIN_REPEATED:
        raise SetError(
            f"{root / sample_set.name} has {again} {naming.owner}s with two images or more: a set needs {MIN_REPEATED}"
            f", with images named {naming.form}, as {naming.example}.png"
        )
    for path in sample_set.owners:
        read_grey(path)
