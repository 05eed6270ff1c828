"""Which comparisons make a test of accuracy, and what its scores say: ISO/IEC 19795-1, small."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simulators.bench.compare_finger import Pair, Picture

SUFFIXES = frozenset({".png", ".bmp", ".tif", ".jpg"})
FALSE_MATCH_RATE = 1e-3  # at which false non-matches are told

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rates:
    """In per cent. An identification finds nobody when its mate is not above every other score of the test."""

    genuine: int
    impostor: int
    eer: float
    fnmr: float  # at FALSE_MATCH_RATE
    fnir0: float


def pairs_of(root: Path, name: str, pixels_per_inch: float) -> list[Pair]:
    """Every two impressions of a finger, and every impression with the first of every other finger of the set.

    ValueError when these are not of both kinds; OSError.
    """
    fingers: dict[str, list[tuple[int, Picture]]] = {}
    for path in sorted((root / name).iterdir()):
        finger, _, impression = path.stem.rpartition("_")
        if path.suffix.lower() in SUFFIXES and finger and impression.isdigit():
            fingers.setdefault(finger, []).append((int(impression), Picture(f"{name}/{path.name}", pixels_per_inch)))
    seen = {finger: [picture for _, picture in sorted(found)] for finger, found in fingers.items()}
    genuine = [Pair(b, a, "genuine") for found in seen.values() for a, b in itertools.combinations(found, 2)]
    impostor = [
        Pair(probe, seen[other][0], "impostor")
        for finger, found in seen.items()
        for probe in found
        for other in seen
        if other != finger
    ]
    if not genuine or not impostor:
        raise ValueError(
            f"{root / name} has {len(seen)} fingers and {len(genuine)} pairs of impressions of one finger: rates need "
            "two fingers and two impressions of one, named FINGER_IMPRESSION.png as 101_1.png"
        )
    return genuine + impostor


def rates_of(pairs: Sequence[Pair], scores: Sequence[float | None]) -> Rates:
    """Of the pairs of one set or several. An image that cannot be used is like nobody, its own finger included."""
    value = np.array([-1.0 if score is None else score for score in scores])
    genuine = np.array([pair.label == "genuine" for pair in pairs])
    mates, others = value[genuine], value[~genuine]
    return Rates(
        len(mates), len(others), _per_cent(equal_error_rate(mates, others)), _per_cent(_fnmr(mates, others)),
        _per_cent(_fnir0(pairs, value)),
    )  # fmt: skip


def curve(pairs: Sequence[Pair], scores: Sequence[float | None]) -> tuple[Scores, Scores]:
    """False match rates and false non-match rates at every threshold, from the lowest."""
    value = np.array([-1.0 if score is None else score for score in scores])
    genuine = np.array([pair.label == "genuine" for pair in pairs])
    return _errors(value[genuine], value[~genuine])


def equal_error_rate(mates: Scores, others: Scores) -> float:
    """Where as many mates are missed as others are taken for mates."""
    matched, missed = _errors(mates, others)
    at = int(np.argmin(np.abs(matched - missed)))
    return float(matched[at] + missed[at]) / 2


def _errors(mates: Scores, others: Scores) -> tuple[Scores, Scores]:
    thresholds = np.unique(np.concatenate([mates, others]))
    matched = 1 - np.searchsorted(np.sort(others), thresholds, "left") / len(others)
    missed = np.searchsorted(np.sort(mates), thresholds, "left") / len(mates)
    return matched, missed


def _fnmr(mates: Scores, others: Scores) -> float:
    threshold = np.sort(others)[::-1][int(FALSE_MATCH_RATE * len(others))]
    return float(np.mean(mates <= threshold))


def _fnir0(pairs: Iterable[Pair], value: Scores) -> float:
    references = {pair.reference for pair in pairs if pair.label == "impostor"}
    mate: dict[Picture, float] = {}
    rival: dict[Picture, float] = {}
    for pair, score in zip(pairs, value.tolist(), strict=True):
        if pair.label == "genuine" and pair.reference in references:
            mate[pair.probe] = score
        elif pair.label == "impostor" and pair.probe not in references:
            rival[pair.probe] = max(rival.get(pair.probe, -1.0), score)
    highest = max(rival.values(), default=-1.0)
    missed = [mate[probe] <= highest for probe in mate if probe in rival]
    return sum(missed) / max(1, len(missed))


def _per_cent(share: float) -> float:
    return round(100 * share, 3)
