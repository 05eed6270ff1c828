"""Fits the calibration of fingerprint scores: `python -m models.fit_calibration --root DIR SET[:PPI]...`.

DIR/SET/<finger>_<impression>.<suffix> are real impressions. Every impression is compared with every other of its set
that is of another finger: these are the impostor scores; each set counts as much as any other. Printed is the table
for manifest.toml; before it, what a calibration that was fitted on one half of the fingers, or without one of the sets,
says about the others, and whether low quality predicts that two impressions of one finger are not recognised
(models/evidence.py). Only numbers leave the folder.
"""

import argparse
import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image

from drivers.sample import Modality, Position, Sample
from models.calibration import Calibration
from models.compare import score
from models.cylinders import Cylinders, cylinders
from models.evidence import Comparisons, Scores, calibration_lines, quality_lines
from models.finger import FingerEncoder
from models.finger_template import FORMAT
from models.minutiae import PIXELS_PER_INCH
from models.witness import of_fingers

LEVELS = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)  # counted; beyond the last the tail is fitted
EXTRAPOLATION = 100  # times below one in all comparisons is as far as the tail is believed
SUFFIXES = {".png", ".jpg", ".tif", ".bmp"}


@dataclass(frozen=True, slots=True)
class Impression:
    """One image of a finger, as the comparison sees it."""

    set: str
    finger: str
    quality: int
    cylinders: Cylinders


def main() -> None:
    """Encode, compare, fit, check, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--root", type=Path, required=True)
    arguments.add_argument("sets", nargs="+", metavar="SET[:PPI]")
    chosen = arguments.parse_args()
    encoder = FingerEncoder(threads=2)
    impressions = [one for name in chosen.sets for one in _impressions(encoder, chosen.root, name)]
    compared = comparisons(impressions)
    for line in (*calibration_lines(compared, fit), *quality_lines(compared)):
        sys.stdout.write(f"# {line}\n")
    sets = [name.partition(":")[0] for name in chosen.sets]
    fitted = fit(compared.impostors, compared.weights(~compared.genuine))
    for line in table(FORMAT, fitted, len(compared.impostors), sets):
        sys.stdout.write(f"{line}\n")
    sys.stdout.write(f"{of_fingers().line()}\n")


def comparisons(impressions: Sequence[Impression]) -> Comparisons:
    """Every impression with every other of its set."""
    numbered = list(enumerate(impressions))
    pairs = [(i, j) for (i, a), (j, b) in itertools.combinations(numbered, 2) if a.set == b.set]
    first, second = np.array(pairs, np.intp).reshape(-1, 2).T
    scores = [score(impressions[i].cylinders, impressions[j].cylinders) for i, j in pairs]
    _, finger = np.unique([one.finger for one in impressions], return_inverse=True)
    quality = np.array([one.quality for one in impressions], float)
    names = list(dict.fromkeys(one.set for one in impressions))
    of_set = np.array([names.index(impressions[i].set) for i, _ in pairs], np.intp) if len(names) > 1 else None
    return Comparisons(finger.astype(np.intp), quality, first, second, np.array(scores), of_set)


def fit(scores: Scores, weights: Scores | None = None) -> Calibration:
    """The calibration that these impostor scores give; without weights all count alike."""
    order = np.argsort(scores)
    ranked = scores[order]
    counted = np.full(len(ranked), 1.0) if weights is None else weights[order]
    below = np.cumsum(counted) - counted
    levels = [float(np.interp(1 - level, below / below[-1], ranked)) for level in LEVELS]
    points = dict(zip(levels, LEVELS, strict=True))  # of equal scores the smaller rate
    tail = ranked > levels[-1]
    scale = float(np.average(ranked[tail] - levels[-1], weights=counted[tail]))
    floor = 1 / (EXTRAPOLATION * len(scores))
    return Calibration(tuple(points), tuple(points.values()), scale, floor)


def _impressions(encoder: FingerEncoder, root: Path, named: str) -> Iterator[Impression]:
    name, _, resolution = named.partition(":")
    for path in sorted((root / name).iterdir()):
        if path.suffix.lower() in SUFFIXES:
            sample = _sample(path, float(resolution or PIXELS_PER_INCH))
            minutiae = encoder.minutiae(sample)
            yield Impression(name, f"{name}/{path.stem.rsplit('_', 1)[0]}", minutiae.quality, cylinders(minutiae))


def _sample(path: Path, pixels_per_inch: float) -> Sample:
    with Image.open(path) as picture:
        image = np.array(picture.convert("L"))
    return Sample(Modality.FINGER, Position.UNKNOWN, image, 8, pixels_per_inch, datetime.now(UTC), "file")


def table(template_format: str, calibration: Calibration, comparisons: int, sets: list[str]) -> Iterator[str]:
    """The lines for manifest.toml."""
    yield f'[calibration."{template_format}"]'
    yield f"sets = {[*sets]}".replace("'", '"')
    yield f"comparisons = {comparisons}"
    yield f"scores = {[round(x, 5) for x in calibration.scores]}"
    yield f"rates = {list(calibration.rates)}"
    yield f"tail_scale = {calibration.tail_scale:.5f}"
    yield f"floor = {calibration.floor:.1e}"


if __name__ == "__main__":
    main()
