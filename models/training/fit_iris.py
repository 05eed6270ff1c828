"""Fits the calibration of iris scores: `python -m models.training.fit_iris --root DIR SET...`.

DIR/SET/<eye><two digits>.<suffix> are real pictures of eyes. Every picture is compared with every other of its set that
is of another eye: these are the impostor scores. Printed is the table for manifest.toml; before it, as by
models/training/fit_finger.py, what the calibration says about eyes that it has not seen, and what low quality predicts.
Only numbers leave the folder. What nothing can be fitted to is refused in one line, with exit status 2:
by the names and files of the pictures before anything is encoded, for want of irises once a set is.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from drivers.sample import Modality, Position, Sample
from models.iris.encoder import IrisEncoder
from models.iris.kernel import search_whole
from models.iris.search_layout import ShiftedProbe, split
from models.iris.template import FORMAT, IrisCode
from models.training.fit_finger import fit, table
from models.training.golden_scores import iris_golden_scores
from models.training.sample_sets import EYES, FEWEST, SetError, Source, seen_again, sources
from models.training.validation import Comparisons, calibration_lines, quality_lines
from simulators.images import ImageFileError, read_grey

PROCESSES = 2
PIXELS_PER_INCH = 500.0  # nothing depends on it


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of an eye, as the comparison sees it."""

    set: str
    eye: str
    code: IrisCode


def main(arguments: Sequence[str] | None = None) -> None:
    """Check, encode, compare, fit, observe, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("sets", nargs="+", metavar="SET")
    chosen = parser.parse_args(arguments)
    try:
        for line in _lines(sources(chosen.root, chosen.sets, EYES)):
            sys.stdout.write(f"{line}\n")
    except (SetError, ImageFileError, OSError) as error:
        parser.exit(2, f"{error}\n")


def _lines(sets: Sequence[Source]) -> Iterator[str]:
    compared = comparisons([one for source in sets for one in pictures(source)])
    for line in (*calibration_lines(compared, fit), *quality_lines(compared)):
        yield f"# {line}"
    yield from table(FORMAT, fit(compared.impostors), len(compared.impostors), [source.name for source in sets])
    yield iris_golden_scores().line()


def pictures(source: Source) -> list[Picture]:
    """The pictures of a set in which an iris is found. SetError when that leaves too few."""
    with ProcessPoolExecutor(PROCESSES) as pool:
        codes = list(pool.map(_code, source.owners, chunksize=8))
    found = [
        Picture(source.name, eye, code) for eye, code in zip(source.owners.values(), codes, strict=True) if len(code)
    ]
    again = seen_again(one.eye for one in found)
    if again < FEWEST:
        raise SetError(
            f"{source.name}: an iris is found in {len(found)} of {len(codes)} pictures, in two or more of {again} "
            f"eyes: a set needs {FEWEST}; give near-infrared pictures of one eye each"
        )
    return found


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
    similarity = search_whole(ShiftedProbe.of(found[number].code), *split(codes, masks))
    return np.full(len(others), number), others, similarity + 0.5


_encoders: list[IrisEncoder] = []  # one in each process


def _code(path: Path) -> IrisCode:
    if not _encoders:
        _encoders.append(IrisEncoder())
    image = read_grey(path)
    sample = Sample(Modality.IRIS, Position.UNKNOWN, image, 8, PIXELS_PER_INCH, datetime.now(UTC), "file")
    return _encoders[0].code(sample)


if __name__ == "__main__":
    main()
