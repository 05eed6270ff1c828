"""Measures how realistic the synthetic fingers are, with the project's own encoder and comparison.

python -m tests.rigs.people_figures [PERSONS [IMPRESSIONS]]        ten fingers a person
python -m tests.rigs.people_figures FOLDER                         real prints, <finger>_<impression>.png at 500 ppi
"""

import sys
import timeit
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from drivers.sample import Modality, Position, Sample
from models.finger.compare.score import score
from models.finger.cylinders import Cylinders, cylinders
from models.finger.encoder import FingerEncoder
from simulators.people.person import Person

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """The features that the encoder found in one image."""

    minutiae: int  # of quality 0.5 or better
    cylinders: Cylinders


def read(encoder: FingerEncoder, image: Pixels, ppi: float = 500.0) -> Read:
    """Reads the minutiae of one image."""
    when = datetime(2026, 1, 1, tzinfo=UTC)
    found = encoder.minutiae(Sample(Modality.FINGER, Position.UNKNOWN, image, 8, ppi, when, "figures"))
    return Read(int((found.qualities >= 50).sum()), cylinders(found))


def mate_scores(fingers: Sequence[Sequence[Read]]) -> NDArray[np.float64]:
    """The scores of every two impressions of the same finger."""
    pairs = (pair for finger in fingers for pair in combinations(finger, 2))
    return np.array([score(one.cylinders, other.cylinders) for one, other in pairs])


def non_mate_scores(fingers: Sequence[Sequence[Read]]) -> NDArray[np.float64]:
    """The scores of the first impressions of every two fingers."""
    return np.array([score(a[0].cylinders, b[0].cylinders) for a, b in combinations(fingers, 2)])


def equal_error_rate(mates: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """The error rate at the threshold where false non-matches and false matches are equally frequent."""
    thresholds = np.unique(np.concatenate((mates, others)))
    missed = np.searchsorted(np.sort(mates), thresholds) / len(mates)
    taken = 1 - np.searchsorted(np.sort(others), thresholds) / len(others)
    best = int(np.argmin(np.abs(missed - taken)))
    return float(missed[best] + taken[best]) / 2


def report(fingers: Sequence[Sequence[Read]]) -> str:
    """Three lines of figures."""
    counts = np.array([read.minutiae for finger in fingers for read in finger])
    mates, others = mate_scores(fingers), non_mate_scores(fingers)
    spread = np.percentile(counts, (0, 5, 50, 95, 100)).astype(int)
    within = ((counts >= 20) & (counts <= 80)).mean()
    lines = (
        f"{len(counts)} images: minutiae {spread} (0, 5, 50, 95, 100 %), {within:.1%} in 20..80",
        f"{len(mates)} mated: {np.percentile(mates, (0, 1, 5, 50)).round(3)} (0, 1, 5, 50 %)",
        f"{len(others)} non-mated: {np.percentile(others, (50, 99, 100)).round(3)} (50, 99, 100 %)",
        f"EER {equal_error_rate(mates, others):.2%}; not above the best non-mated {(mates <= others.max()).mean():.2%}",
    )
    return "\n".join(lines)


def real(encoder: FingerEncoder, folder: Path) -> list[list[Read]]:
    """Reads the images of a folder, grouped by finger."""
    fingers = defaultdict(list)
    for path in sorted(folder.glob("*_*.png")):
        fingers[path.stem.rpartition("_")[0]].append(read(encoder, np.asarray(Image.open(path).convert("L"))))
    return list(fingers.values())


def synthetic(encoder: FingerEncoder, persons: int, impressions: int) -> list[list[Read]]:
    """Ten fingers each of persons with seeds from 1000."""
    fingers = [finger for seed in range(1000, 1000 + persons) for finger in Person(seed).fingers]
    return [[read(encoder, finger.impression(n)) for n in range(impressions)] for finger in fingers]


def seconds(persons: int) -> str:
    """The time of a first impression, which generates the skin, and of another one."""
    fingers = [finger for seed in range(5000, 5000 + persons) for finger in Person(seed).fingers]
    taken = [timeit.repeat(partial(finger.impression, 0), number=1, repeat=2) for finger in fingers]
    first, again = np.median(taken, axis=0)
    return f"first impression {first:.2f} s (longest {np.max(taken):.2f}), another {again:.3f} s"


def main() -> None:
    """Print the figures."""
    encoder = FingerEncoder()
    words = sys.argv[1:]
    if words and not words[0].isdigit():
        lines = [report(real(encoder, Path(words[0])))]
    else:
        persons, impressions = [int(word) for word in words] + [6, 3][len(words) :]
        lines = [seconds(min(persons, 3)), report(synthetic(encoder, persons, impressions))]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
