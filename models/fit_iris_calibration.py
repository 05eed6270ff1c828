"""Fits the calibration of iris scores: `python -m models.fit_iris_calibration --root DIR SET...`.

DIR/SET/<eye><two digits>.<suffix> are real pictures of eyes. Every picture is compared with every other of its set that
is of another eye: these are the impostor scores. Printed is the table for manifest.toml; before it, as by
models/fit_calibration.py, what the calibration says about eyes that it has not seen, and what low quality predicts.
Only numbers leave the folder.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image

from drivers.sample import Modality, Position, Sample
from models.evidence import Comparisons, calibration_lines, quality_lines
from models.fit_calibration import SUFFIXES, fit, table
from models.iris_code import FORMAT, IrisCode
from models.iris_encoder import IrisEncoder
from models.iris_kernel import Turned, search_whole, split
from models.witness import of_irises

PROCESSES = 2
PIXELS_PER_INCH = 500.0  # nothing depends on it


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of an eye, as the comparison sees it."""

    set: str
    eye: str
    code: IrisCode


def main() -> None:
    """Encode, compare, fit, check, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--root", type=Path, required=True)
    arguments.add_argument("sets", nargs="+", metavar="SET")
    chosen = arguments.parse_args()
    compared = comparisons([one for name in chosen.sets for one in pictures(chosen.root / name)])
    for line in (*calibration_lines(compared, fit), *quality_lines(compared)):
        sys.stdout.write(f"# {line}\n")
    for line in table(FORMAT, fit(compared.impostors), len(compared.impostors), chosen.sets):
        sys.stdout.write(f"{line}\n")
    sys.stdout.write(f"{of_irises().line()}\n")


def pictures(folder: Path) -> Iterator[Picture]:
    """The pictures of a folder in which an iris is found."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    with ProcessPoolExecutor(PROCESSES) as pool:
        for path, code in zip(paths, pool.map(_code, paths, chunksize=8), strict=True):
            if len(code):
                yield Picture(folder.name, f"{folder.name}/{path.stem[:-2]}", code)


def comparisons(found: Sequence[Picture]) -> Comparisons:
    """Every picture with every other of its set."""
    parts = [_of_one(found, number) for number in range(1, len(found))]
    first, second, scores = (np.concatenate(column) for column in zip(*parts, strict=True))
    _, eye = np.unique([one.eye for one in found], return_inverse=True)
    quality = np.array([one.code.quality for one in found], float)
    return Comparisons(eye.astype(np.intp), quality, first, second, scores)


def _of_one(found: Sequence[Picture], number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A picture with all before it of the same set: numbers of both, and scores."""
    others = np.array([n for n in range(number) if found[n].set == found[number].set], np.intp)
    if not len(others):
        return others, others, np.zeros(0)
    codes, masks = (np.stack([getattr(found[n].code, part) for n in others]) for part in ("code", "mask"))
    likeness = search_whole(Turned.of(found[number].code), *split(codes, masks))
    return np.full(len(others), number), others, likeness + 0.5


_encoders: list[IrisEncoder] = []  # one in each process


def _code(path: Path) -> IrisCode:
    if not _encoders:
        _encoders.append(IrisEncoder())
    with Image.open(path) as picture:
        image = np.array(picture.convert("L"))
    sample = Sample(Modality.IRIS, Position.UNKNOWN, image, 8, PIXELS_PER_INCH, datetime.now(UTC), "file")
    return _encoders[0].code(sample)


if __name__ == "__main__":
    main()
