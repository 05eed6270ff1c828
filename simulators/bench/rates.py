"""The comparisons of an accuracy test and the error rates from its scores: a small part of ISO/IEC 19795-1."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.calibration import fuse, load_calibration
from simulators.bench.compare_finger import ImageFile, Pair
from simulators.bench.files import image_files

FALSE_MATCH_RATE = 1e-3  # at which the false non-match rate is reported

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rates:
    """Error rates, per cent. An identification misses if the mated score is not above every other score of the test."""

    genuine: int
    impostor: int
    eer: float
    fnmr: float  # at FALSE_MATCH_RATE
    fnir0: float


def pairs_of(root: Path, name: str, pixels_per_inch: float | None) -> list[Pair]:
    """All pairs of impressions of the same finger, and every impression with the first one of every other finger.

    ValueError if there are no genuine or no impostor pairs; OSError.
    """
    fingers: dict[str, list[tuple[int, ImageFile]]] = {}
    for path in image_files(root / name):
        finger, _, impression = path.stem.rpartition("_")
        if finger and impression.isdigit():
            fingers.setdefault(finger, []).append((int(impression), ImageFile(f"{name}/{path.name}", pixels_per_inch)))
    impressions = {finger: [file for _, file in sorted(found)] for finger, found in fingers.items()}
    genuine = [Pair(b, a, "genuine") for own in impressions.values() for a, b in itertools.combinations(own, 2)]
    impostor = [
        Pair(probe, impressions[other][0], "impostor")
        for finger, own in impressions.items()
        for probe in own
        for other in impressions
        if other != finger
    ]
    if not genuine or not impostor:
        raise ValueError(
            f"{root / name} has {len(impressions)} fingers and {len(genuine)} pairs of impressions of one finger: "
            "rates need two fingers and two impressions of one, named FINGER_IMPRESSION.png as 101_1.png"
        )
    return genuine + impostor


def rates_of(pairs: Sequence[Pair], scores: Sequence[float | None]) -> Rates:
    """The error rates of the pairs. A pair with an image that cannot be used counts as a score below all others."""
    value, genuine = _values(pairs, scores)
    mated, non_mated = value[genuine], value[~genuine]
    return Rates(
        len(mated), len(non_mated), _per_cent(equal_error_rate(mated, non_mated)), _per_cent(_fnmr(mated, non_mated)),
        _per_cent(_fnir0(pairs, value)),
    )  # fmt: skip


def curve(pairs: Sequence[Pair], scores: Sequence[float | None]) -> tuple[Scores, Scores]:
    """False match rates and false non-match rates at every threshold, lowest threshold first."""
    value, genuine = _values(pairs, scores)
    return _errors(value[genuine], value[~genuine])


def _values(pairs: Sequence[Pair], scores: Sequence[float | None]) -> tuple[Scores, NDArray[np.bool_]]:
    """The scores, -1 instead of None, and which pairs are genuine."""
    value = np.array([-1.0 if score is None else score for score in scores])
    return value, np.array([pair.label == "genuine" for pair in pairs])


def equal_error_rate(mated: Scores, non_mated: Scores) -> float:
    """The error rate at the threshold where false match rate and false non-match rate are equal."""
    matched, missed = _errors(mated, non_mated)
    at = int(np.argmin(np.abs(matched - missed)))
    return float(matched[at] + missed[at]) / 2


def _errors(mated: Scores, non_mated: Scores) -> tuple[Scores, Scores]:
    thresholds = np.unique(np.concatenate([mated, non_mated]))
    matched = 1 - np.searchsorted(np.sort(non_mated), thresholds, "left") / len(non_mated)
    missed = np.searchsorted(np.sort(mated), thresholds, "left") / len(mated)
    return matched, missed


def _fnmr(mated: Scores, non_mated: Scores) -> float:
    threshold = np.sort(non_mated)[::-1][int(FALSE_MATCH_RATE * len(non_mated))]
    return float(np.mean(mated <= threshold))


def _fnir0(pairs: Iterable[Pair], value: Scores) -> float:
    references = {pair.reference for pair in pairs if pair.label == "impostor"}
    own: dict[ImageFile, float] = {}
    rival: dict[ImageFile, float] = {}
    for pair, score in zip(pairs, value.tolist(), strict=True):
        if pair.label == "genuine" and pair.reference in references:
            own[pair.probe] = score
        elif pair.label == "impostor" and pair.probe not in references:
            rival[pair.probe] = max(rival.get(pair.probe, -1.0), score)
    highest = max(rival.values(), default=-1.0)
    missed = [own[probe] <= highest for probe in own if probe in rival]
    return sum(missed) / max(1, len(missed))


def fused_rates(template_format: str, results: Sequence[Iterable[tuple[str, float]]]) -> dict[str, float]:
    """The false match rate of each candidate, fused as agent/watchlist/watchlist.py does.

    `results` are the (key, score) of one search for each finger or eye of the traveller.
    """
    rate = load_calibration(template_format).false_match_rate
    rates: dict[str, dict[int, float]] = {}
    for number, candidates in enumerate(results):
        for key, score in candidates:
            rates.setdefault(key, {})[number] = rate(score)
    return {key: fuse([one.get(n, 1.0) for n in range(len(results))]) for key, one in rates.items()}


def _per_cent(share: float) -> float:
    return round(100 * share, 3)
