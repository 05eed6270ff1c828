"""Fits the calibration of fingerprint scores: `python -m models.training.fit_finger --root DIR SET[:PPI]...`.

DIR/SET/<finger>_<impression>.<suffix> are real impressions, PPI their resolution (500 unless given). Every impression
is compared with every other of its set that is of another finger: these are the impostor scores; each set counts as
much as any other. Printed is the table for manifest.toml; before it, what a calibration that was fitted on one half of
the fingers, or without one of the sets, says about the others, and whether low quality predicts that two impressions of
one finger are not recognised (models/training/validation.py). Only numbers leave the folder. What nothing can be fitted
to is refused in one line, with exit status 2, before anything is encoded. Of another --model no table is printed, but
how well the calibration of the manifest holds for it.
"""

import argparse
import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from drivers.sample import Modality, Position, Sample
from models.calibration import Calibration, load_calibration
from models.finger.compare.score import score
from models.finger.cylinders import Cylinders, cylinders
from models.finger.encoder import MODEL, FingerEncoder
from models.finger.template import FORMAT
from models.manifest import ModelCard, ModelError, encoder_card
from models.training.golden_scores import finger_golden_scores
from models.training.sample_sets import FINGERS, SetError, Source, sources
from models.training.validation import Comparisons, Scores, calibration_lines, held_lines, quality_lines
from simulators.images import ImageFileError, read_grey

LEVELS = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)  # counted; beyond the last the tail is fitted
EXTRAPOLATION = 100  # times below one in all comparisons is as far as the tail is believed


@dataclass(frozen=True, slots=True)
class Impression:
    """One image of a finger, as the comparison sees it."""

    set: str
    finger: str
    quality: int
    cylinders: Cylinders


def main(arguments: Sequence[str] | None = None) -> None:
    """Check, encode, compare, fit, observe, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("sets", nargs="+", metavar="SET[:PPI]")
    parser.add_argument("--model", default=MODEL, help="as in [models] of the configuration")
    chosen = parser.parse_args(arguments)
    try:
        card = encoder_card(chosen.model, Modality.FINGER)
        for line in _lines(sources(chosen.root, chosen.sets, FINGERS), card):
            sys.stdout.write(f"{line}\n")
    except (ModelError, SetError, ImageFileError, OSError) as error:
        parser.exit(2, f"{error}\n")


def _lines(sets: Sequence[Source], card: ModelCard) -> Iterator[str]:
    encoder = FingerEncoder(threads=2, card=card)
    compared = comparisons([one for source in sets for one in impressions(encoder, source)])
    if card.name != MODEL:
        # There is one calibration of a format, because templates of all its models meet in one list.
        for line in (*held_lines(compared, load_calibration(FORMAT)), *quality_lines(compared)):
            yield f"# {line}"
        return
    fitted = fit(compared.impostors, compared.weights(~compared.genuine))
    for line in (*calibration_lines(compared, fit), *quality_lines(compared)):
        yield f"# {line}"
    yield from table(FORMAT, fitted, len(compared.impostors), [source.name for source in sets])
    yield finger_golden_scores().line()


def comparisons(seen: Sequence[Impression]) -> Comparisons:
    """Every impression with every other of its set."""
    numbered = list(enumerate(seen))
    pairs = [(i, j) for (i, a), (j, b) in itertools.combinations(numbered, 2) if a.set == b.set]
    first, second = np.array(pairs, np.intp).reshape(-1, 2).T
    scores = [score(seen[i].cylinders, seen[j].cylinders) for i, j in pairs]
    _, finger = np.unique([one.finger for one in seen], return_inverse=True)
    quality = np.array([one.quality for one in seen], float)
    names = list(dict.fromkeys(one.set for one in seen))
    of_set = np.array([names.index(seen[i].set) for i, _ in pairs], np.intp) if len(names) > 1 else None
    return Comparisons(finger.astype(np.intp), quality, first, second, np.array(scores), of_set)


def fit(scores: Scores, weights: Scores | None = None) -> Calibration:
    """The calibration that these impostor scores give; without weights all count alike. SetError when all are equal."""
    order = np.argsort(scores)
    ranked = scores[order]
    counted = np.full(len(ranked), 1.0) if weights is None else weights[order]
    below = np.cumsum(counted) - counted
    levels = [float(np.interp(1 - level, below / below[-1], ranked)) for level in LEVELS]
    points = dict(zip(levels, LEVELS, strict=True))  # of equal scores the smaller rate
    tail = ranked > levels[-1]
    if not tail.any():
        raise SetError(
            f"the highest of {len(scores)} impostor scores are all {ranked[-1]:g}: these pictures are no fingers"
        )
    scale = float(np.average(ranked[tail] - levels[-1], weights=counted[tail]))
    floor = 1 / (EXTRAPOLATION * len(scores))
    return Calibration(tuple(points), tuple(points.values()), scale, floor)


def impressions(encoder: FingerEncoder, source: Source) -> Iterator[Impression]:
    """The pictures of a set, encoded."""
    for path, finger in source.owners.items():
        minutiae = encoder.minutiae(_sample(path, source.pixels_per_inch))
        yield Impression(source.name, finger, minutiae.quality, cylinders(minutiae))


def _sample(path: Path, pixels_per_inch: float) -> Sample:
    image = read_grey(path)
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
