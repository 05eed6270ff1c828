"""Fits the calibration of fingerprint scores: `python -m models.fit_calibration --root DIR SET[:PPI]...`.

DIR/SET/<finger>_<impression>.<suffix> are real impressions. Every impression is compared with every other of its set
that is of another finger: these are the impostor scores. Printed is the table for manifest.toml, and what a calibration
that was fitted on one half of the fingers says about the other half. Only numbers leave the folder.
"""

import argparse
import itertools
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from drivers.sample import Modality, Position, Sample
from models.calibration import Calibration
from models.compare import score
from models.cylinders import Cylinders, cylinders
from models.finger import FingerEncoder
from models.minutiae import FORMAT, PIXELS_PER_INCH

LEVELS = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)  # counted; beyond the last the tail is fitted
PREDICTED = (1e-1, 1e-2, 1e-3, 1e-4)
HALVINGS = 20
EXTRAPOLATION = 100  # times below one in all comparisons is as far as the tail is believed
SUFFIXES = {".png", ".jpg", ".tif", ".bmp"}

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Impression:
    """One image of a finger, as the comparison sees it."""

    finger: str
    cylinders: Cylinders


def main() -> None:
    """Encode, compare, fit, check, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--root", type=Path, required=True)
    arguments.add_argument("sets", nargs="+", metavar="SET[:PPI]")
    chosen = arguments.parse_args()
    encoder = FingerEncoder(threads=2)
    sets = {name: list(_impressions(encoder, chosen.root, name)) for name in chosen.sets}
    pairs = [pair for impressions in sets.values() for pair in _impostors(impressions)]
    scores = np.array([score(a.cylinders, b.cylinders) for a, b in pairs])
    for line in (*_check(pairs, scores), *_table(fit(scores), scores, list(sets))):
        sys.stdout.write(f"{line}\n")


def fit(scores: Scores) -> Calibration:
    """The calibration that these impostor scores give."""
    ranked = np.sort(scores)
    levels = [float(np.quantile(ranked, 1 - level)) for level in LEVELS]
    points = dict(zip(levels, LEVELS, strict=True))  # of equal scores the smaller rate
    beyond = ranked[ranked > levels[-1]] - levels[-1]
    floor = 1 / (EXTRAPOLATION * len(scores))
    return Calibration(tuple(points), tuple(points.values()), float(beyond.mean()), floor)


def _impressions(encoder: FingerEncoder, root: Path, named: str) -> Iterator[Impression]:
    name, _, resolution = named.partition(":")
    for path in sorted((root / name).iterdir()):
        if path.suffix.lower() in SUFFIXES:
            sample = _sample(path, float(resolution or PIXELS_PER_INCH))
            yield Impression(f"{name}/{path.stem.rsplit('_', 1)[0]}", cylinders(encoder.minutiae(sample)))


def _sample(path: Path, pixels_per_inch: float) -> Sample:
    with Image.open(path) as picture:
        image = np.array(picture.convert("L"))
    return Sample(Modality.FINGER, Position.UNKNOWN, image, 8, pixels_per_inch, datetime.now(UTC), "file")


def _impostors(impressions: list[Impression]) -> Iterator[tuple[Impression, Impression]]:
    return (pair for pair in itertools.combinations(impressions, 2) if pair[0].finger != pair[1].finger)


def _check(pairs: list[tuple[Impression, Impression]], scores: Scores) -> Iterator[str]:
    """Fitted on the comparisons within one half of the fingers, observed within the other half; many halvings."""
    rng = np.random.default_rng(1)
    fingers = sorted({one.finger for pair in pairs for one in pair})
    observed = np.array([_one_halving(rng, fingers, pairs, scores) for _ in range(HALVINGS)])
    for level, rates in zip(PREDICTED, observed.T, strict=True):
        low, middle, high = (f"{rate:.2g}" for rate in np.quantile(rates, (0.1, 0.5, 0.9)))
        yield f"# predicted {level:g}: observed on unseen fingers {middle} ({low} to {high} in 8 of 10 halvings)"


def _one_halving(
    rng: np.random.Generator, fingers: list[str], pairs: list[tuple[Impression, Impression]], scores: Scores
) -> list[float]:
    half = set(rng.permutation(fingers)[::2])
    inside = np.array([(a.finger in half) + (b.finger in half) for a, b in pairs])
    calibration, unseen = fit(scores[inside == 2]), scores[inside == 0]
    rates = np.array([calibration.false_match_rate(float(one)) for one in unseen])
    return [float((rates <= level).mean()) for level in PREDICTED]


def _table(calibration: Calibration, scores: Scores, sets: list[str]) -> Iterator[str]:
    yield f'[calibration."{FORMAT}"]'
    yield f"sets = {[*sets]}".replace("'", '"')
    yield f"comparisons = {len(scores)}"
    yield f"scores = {[round(x, 5) for x in calibration.scores]}"
    yield f"rates = {list(calibration.rates)}"
    yield f"tail_scale = {calibration.tail_scale:.5f}"
    yield f"floor = {calibration.floor:.1e}"


if __name__ == "__main__":
    main()
