"""Converts a comparison score to a false match rate. Done only here, so that a policy uses only rates, never scores.

The false match rate of a score is the share of comparisons of different fingers, or different eyes, that reach it. Up
to the last of the `scores` of the manifest it was counted; values between are interpolated from the `rates`. Beyond,
where counts are few, it falls by a factor of e for each `tail_scale` of score, and never below `floor`, because the
data do not allow a lower rate.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.manifest import MANIFEST, ModelError, calibration_table


@dataclass(frozen=True, slots=True)
class Calibration:
    """The calibration of a template format: a `[calibration."FORMAT"]` table of the manifest."""

    scores: tuple[float, ...]  # rising
    rates: tuple[float, ...]  # falling, one for each score; at the last one the tail begins
    tail_scale: float  # beyond the last of `scores`, the rate falls to 1/e for each such step of score
    floor: float

    def false_match_rate(self, score: float) -> float:
        """The probability that different fingers or eyes reach this score. Falls as the score rises."""
        if math.isnan(score):
            raise ValueError("a comparison score is a number, not NaN")
        if score <= self.scores[-1]:
            return float(np.exp(np.interp(score, self.scores, np.log(self.rates))))
        tail = self.rates[-1] * math.exp(-(score - self.scores[-1]) / self.tail_scale)
        return max(self.floor, tail)


@functools.cache  # read once, because every search of every probe needs it
def load_calibration(template_format: str, manifest: Path = MANIFEST) -> Calibration:
    """The calibration of a template format. ModelError if the manifest has none or an invalid one."""
    table = calibration_table(template_format, manifest)
    try:
        found = Calibration(
            tuple(table["scores"]), tuple(table["rates"]), float(table["tail_scale"]), float(table["floor"])
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{manifest}: calibration of {template_format}: {error!r}") from error
    _check(found, f"{manifest}: calibration of {template_format}")
    return found


def _check(calibration: Calibration, where: str) -> None:
    scores, rates = np.array(calibration.scores), np.array(calibration.rates)
    if len(scores) < 2 or len(scores) != len(rates):
        raise ModelError(f"{where}: scores and rates must be of equal length, at least two")
    if np.any(np.diff(scores) <= 0) or np.any(np.diff(rates) > 0):
        raise ModelError(f"{where}: scores must rise and rates must fall")
    if not (0 < calibration.floor <= rates[-1] and rates[0] <= 1 and calibration.tail_scale > 0):
        raise ModelError(f"{where}: rates, floor or tail_scale out of range")


def any_of(rate: float, chances: int) -> float:
    """The probability that at least one of `chances` false comparisons reaches a score of false match rate `rate`.

    1 - (1 - rate) ** chances, computed so that very small rates are not rounded away.
    """
    return 1.0 if rate >= 1.0 else -math.expm1(chances * math.log1p(-rate))


def fuse(rates: Sequence[float]) -> float:
    """The false match rate of several independent probes against one reference (Fisher's method in closed form).

    The probability that as many false comparisons have a product of rates this small: with p the product of k rates,
    p * sum over i < k of (-ln p)^i / i!. For one rate it is that rate; for none it is 1.
    """
    if min(rates, default=1.0) <= 0:
        raise ValueError("a false match rate must be above 0: a match that was never seen is still possible")
    log_product = math.fsum(math.log(rate) for rate in rates)
    terms = [1.0]
    for i in range(1, len(rates)):
        terms.append(terms[-1] * -log_product / i)
    return min(1.0, math.exp(log_product) * math.fsum(terms))
