"""Fits the calibration of iris scores: `python -m models.training.fit_iris --root DIR SET...`.

DIR/SET/<eye><two digits>.<suffix> are real images of eyes. Each image is compared with all others of its set. The
scores of different eyes are the impostor scores. The output is the table for manifest.toml. Before it, comments report,
as in models/training/fit_finger.py, how a calibration holds on other eyes, and what low quality predicts. The output
contains only numbers. Sets that no calibration can be fitted to are rejected with one line and exit status 2: wrong
names and files before anything is encoded, sets with too few irises after they are encoded.
"""

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
from models.training.fit_finger import fit, parser_of, print_lines, table
from models.training.golden_scores import iris_golden_scores
from models.training.sample_sets import EYES, MIN_REPEATED, SampleSet, SetError, load_sets, repeated
from models.training.validation import Comparisons, calibration_lines, quality_lines
from simulators.pictures.reader import read_grey

PROCESSES = 2
PIXELS_PER_INCH = 500.0  # not used for irises


@dataclass(frozen=True, slots=True)
class EyeImage:
    """One image of an eye, with what is needed to compare it."""

    set: str
    eye: str
    code: IrisCode


def main(arguments: Sequence[str] | None = None) -> None:
    """Check, encode, compare, fit, validate, print."""
    print_lines(parser_of(__doc__, "SET"), arguments, lambda it: _lines(load_sets(it.root, it.sets, EYES)))


def _lines(sets: Sequence[SampleSet]) -> Iterator[str]:
    compared = comparisons([one for sample_set in sets for one in eye_images(sample_set)])
    for line in (*calibration_lines(compared, fit), *quality_lines(compared)):
        yield f"# {line}"
    yield from table(FORMAT, fit(compared.impostors), len(compared.impostors), [sample_set.name for sample_set in sets])
    yield iris_golden_scores().line()


def eye_images(sample_set: SampleSet) -> list[EyeImage]:
    """Encodes the images of a set; those without an iris are left out. SetError if too few are left."""
    with ProcessPoolExecutor(PROCESSES) as pool:
        codes = list(pool.map(_code, sample_set.owners, chunksize=8))
    found = [
        EyeImage(sample_set.name, eye, code)
        for eye, code in zip(sample_set.owners.values(), codes, strict=True)
        if len(code)
    ]
    again = repeated(one.eye for one in found)
    if again < MIN_REPEATED:
        raise SetError(
            f"{sample_set.name}: an iris is found in {len(found)} of {len(codes)} images, in two or more of {again} "
            f"eyes: a set needs {MIN_REPEATED}; give near-infrared images of one eye each"
        )
    return found


def comparisons(found: Sequence[EyeImage]) -> Comparisons:
    """Compares each image with all others of its set."""
    parts = [_of_one(found, number) for number in range(1, len(found))]
    first, second, scores = (np.concatenate(column) for column in zip(*parts, strict=True))
    _, eye = np.unique([one.eye for one in found], return_inverse=True)
    quality = np.array([one.code.quality for one in found], float)
    return Comparisons(eye.astype(np.intp), quality, first, second, scores)


def _of_one(found: Sequence[EyeImage], number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compares an image with all earlier ones of its set: the numbers of both, and the scores."""
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
