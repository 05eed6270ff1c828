"""Fits the calibration of fingerprint scores: `python -m models.training.fit_finger --root DIR SET[:PPI]...`.

DIR/SET/<finger>_<impression>.<suffix> are real impressions, PPI their resolution (default 500). Each impression is
compared with all others of its set. The scores of different fingers are the impostor scores; all sets have the same
weight. The output is the table for manifest.toml. Before it, comments report how a calibration fitted on one half of
the fingers, or without one of the sets, holds on the others, and whether low quality predicts that two impressions of
one finger are not recognised (models/training/validation.py). The output contains only numbers. Sets that no
calibration can be fitted to are rejected with one line and exit status 2, before anything is encoded. For another
--model no table is printed, but how well the calibration of the manifest holds for that model.
"""

import argparse
import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
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
from models.training.sample_sets import FINGERS, SampleSet, SetError, load_sets
from models.training.validation import Comparisons, Scores, calibration_lines, manifest_lines, quality_lines
from simulators.pictures.errors import ImageFileError
from simulators.pictures.reader import read_grey

LEVELS = (
    1.0,
    0.5,
    0.2,
    0.1,
    0.05,
    0.02,
    0.01,
    0.005,
    0.002,
    0.001,
)  # rates that are counted; beyond the last the tail is fitted
EXTRAPOLATION = 100  # the tail is trusted down to one false match in this many times all comparisons


@dataclass(frozen=True, slots=True)
class Impression:
    """One image of a finger, with what is needed to compare it."""

    set: str
    finger: str
    quality: int
    cylinders: Cylinders


def main(arguments: Sequence[str] | None = None) -> None:
    """Check, encode, compare, fit, validate, print."""
    parser = parser_of(__doc__, "SET[:PPI]")
    parser.add_argument("--model", default=MODEL, help="name of the model, as in [models] of the configuration")

    def lines(options: argparse.Namespace) -> Iterator[str]:
        card = encoder_card(options.model, Modality.FINGER)
        yield from _lines(load_sets(options.root, options.sets, FINGERS), card)

    print_lines(parser, arguments, lines)


def parser_of(description: str | None, sets: str) -> argparse.ArgumentParser:
    """The arguments of every fit: the sets and the folder that contains them."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="folder that contains the sets")
    parser.add_argument("sets", nargs="+", metavar=sets)
    return parser


def print_lines(
    parser: argparse.ArgumentParser,
    arguments: Sequence[str] | None,
    lines: Callable[[argparse.Namespace], Iterator[str]],
) -> None:
    """Print the lines for the arguments. Exit status 2 and one line of error if nothing can be fitted."""
    options = parser.parse_args(arguments)
    try:
        for line in lines(options):
            sys.stdout.write(f"{line}\n")
    except (ModelError, SetError, ImageFileError, OSError) as error:
        parser.exit(2, f"{error}\n")


def _lines(sets: Sequence[SampleSet], card: ModelCard) -> Iterator[str]:
    encoder = FingerEncoder(threads=2, card=card)
    compared = comparisons([one for sample_set in sets for one in impressions(encoder, sample_set)])
    if card.name != MODEL:
        # There is one calibration for each format, because a list contains templates of all its models.
        for line in (*manifest_lines(compared, load_calibration(FORMAT)), *quality_lines(compared)):
            yield f"# {line}"
        return
    fitted = fit(compared.impostors, compared.weights(~compared.genuine))
    for line in (*calibration_lines(compared, fit), *quality_lines(compared)):
        yield f"# {line}"
    yield from table(FORMAT, fitted, len(compared.impostors), [sample_set.name for sample_set in sets])
    yield finger_golden_scores().line()


def comparisons(seen: Sequence[Impression]) -> Comparisons:
    """Compares each impression with all others of its set."""
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
    """The calibration of these impostor scores; without weights, all count the same. SetError if all are equal."""
    order = np.argsort(scores)
    ranked = scores[order]
    counted = np.full(len(ranked), 1.0) if weights is None else weights[order]
    below = np.cumsum(counted) - counted
    levels = [float(np.interp(1 - level, below / below[-1], ranked)) for level in LEVELS]
    points = dict(zip(levels, LEVELS, strict=True))  # equal scores get the smaller rate
    tail = ranked > levels[-1]
    if not tail.any():
        raise SetError(
            f"the highest of {len(scores)} impostor scores are all {ranked[-1]:g}: these images are not of fingers"
        )
    scale = float(np.average(ranked[tail] - levels[-1], weights=counted[tail]))
    floor = 1 / (EXTRAPOLATION * len(scores))
    return Calibration(tuple(points), tuple(points.values()), scale, floor)


def impressions(encoder: FingerEncoder, sample_set: SampleSet) -> Iterator[Impression]:
    """Encodes the images of a set."""
    for path, finger in sample_set.owners.items():
        minutiae = encoder.minutiae(_sample(path, sample_set.pixels_per_inch))
        yield Impression(sample_set.name, finger, minutiae.quality, cylinders(minutiae))


def _sample(path: Path, pixels_per_inch: float) -> Sample:
    image = read_grey(path)
    return Sample(Modality.FINGER, Position.UNKNOWN, image, 8, pixels_per_inch, datetime.now(UTC), "file")


def table(template_format: str, calibration: Calibration, comparisons: int, sets: list[str]) -> Iterator[str]:
    """The table for manifest.toml, line by line."""
    yield f'[calibration."{template_format}"]'
    yield f"sets = {[*sets]}".replace("'", '"')
    yield f"comparisons = {comparisons}"
    yield f"scores = {[round(x, 5) for x in calibration.scores]}"
    yield f"rates = {list(calibration.rates)}"
    yield f"tail_scale = {calibration.tail_scale:.5f}"
    yield f"floor = {calibration.floor:.1e}"


if __name__ == "__main__":
    main()
