"""Validates a calibration, and the quality of samples, on comparisons that were not used for the fit.

Pure arithmetic on scores, used by models/training/fit_finger.py and fit_iris.py. Comparisons of one finger are not
independent, so an interval that assumes it (Clopper and Pearson) is too narrow; the spread over random halves of the
fingers is more informative.

If comparisons come from several sets, all sets have the same weight: the number of pairs grows with the square of the
number of fingers, and otherwise the largest set would decide alone.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from models.calibration import Calibration

PREDICTED = (1e-1, 1e-2, 1e-3, 1e-4)
HALVINGS = 20
DROPPED = 0.1  # share of the impressions that is left out
DRAWS = 200  # random choices of that share
FALSE_MATCH_RATES = (1e-3, 1e-4)  # at which false non-matches are counted
CONFIDENCE = 0.95

Scores = NDArray[np.float64]
Numbers = NDArray[np.intp]
Fit = Callable[[Scores, Scores | None], Calibration]  # scores and their weights


@dataclass(frozen=True, slots=True, eq=False)
class Comparisons:
    """Impressions, by number, and the scores of pairs of them."""

    finger: Numbers  # the finger of each impression
    quality: Scores  # the quality of each impression
    first: Numbers  # impression of each pair
    second: Numbers
    scores: Scores
    set: Numbers | None = None  # the set of each pair; None: all pairs are of one set

    def weights(self, pairs: NDArray[np.bool_]) -> Scores | None:
        """The weights of some pairs, with the same total for each set; None if all are equal."""
        if self.set is None:
            return None
        _, of, count = np.unique(self.set[pairs], return_inverse=True, return_counts=True)
        return np.asarray(1 / count[of])

    @property
    def genuine(self) -> NDArray[np.bool_]:
        """Whether each pair is of one finger."""
        same: NDArray[np.bool_] = self.finger[self.first] == self.finger[self.second]
        return same

    @property
    def impostors(self) -> Scores:
        """The scores of the pairs of two fingers."""
        return self.scores[~self.genuine]

    def within(self, impressions: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether both impressions of each pair are among these."""
        inside: NDArray[np.bool_] = impressions[self.first] & impressions[self.second]
        return inside


@dataclass(frozen=True, slots=True)
class Observed:
    """How many impostor comparisons of other fingers reach the score of a predicted rate."""

    predicted: float
    count: int
    comparisons: int
    rate: float  # with the same weight for each set

    @property
    def interval(self) -> tuple[float, float]:
        """The confidence interval of the rate, as if the comparisons were independent (Clopper and Pearson)."""
        found = stats.binomtest(self.count, self.comparisons).proportion_ci(CONFIDENCE, "exact")
        return float(found.low), float(found.high)


def manifest_lines(comparisons: Comparisons, calibration: Calibration) -> Iterator[str]:
    """A calibration that was fitted on other data, observed on all impostor pairs."""
    for one in _observed(comparisons, ~comparisons.genuine, calibration):
        yield f"calibration of the manifest, {_rate_line(one)}"


def observe(comparisons: Comparisons, fitted_on: NDArray[np.bool_], fit: Fit) -> list[Observed]:
    """A calibration fitted on impostor pairs within some impressions, observed on those within the others."""
    impostor = ~comparisons.genuine
    seen, unseen = (impostor & comparisons.within(some) for some in (fitted_on, ~fitted_on))
    return list(_observed(comparisons, unseen, _fitted(comparisons, seen, fit)))


def _fitted(comparisons: Comparisons, seen: NDArray[np.bool_], fit: Fit) -> Calibration:
    return fit(comparisons.scores[seen], comparisons.weights(seen))


def _observed(comparisons: Comparisons, unseen: NDArray[np.bool_], calibration: Calibration) -> Iterator[Observed]:
    rates = np.array([calibration.false_match_rate(float(one)) for one in comparisons.scores[unseen]])
    weights = comparisons.weights(unseen)
    for level in PREDICTED:
        reached = rates <= level
        yield Observed(level, int(reached.sum()), len(rates), float(np.average(reached, weights=weights)))


def calibration_lines(comparisons: Comparisons, fit: Fit) -> Iterator[str]:
    """Calibrations fitted on one half of the fingers, observed on the other."""
    even = comparisons.finger % 2 == 0
    for half, fitted_on in (("even", even), ("odd", ~even)):
        for one in observe(comparisons, fitted_on, fit):
            yield f"fitted on {half} fingers, {_rate_line(one)}"
    yield from _set_lines(comparisons, fit)
    rng = np.random.default_rng(1)
    observed = [observe(comparisons, _half(rng, comparisons.finger), fit) for _ in range(HALVINGS)]
    for level in zip(*observed, strict=True):
        spread = np.quantile([one.rate for one in level], (0.5, 0.1, 0.9))
        middle, least, most = (f"{rate:.2g}" for rate in spread)
        yield f"random halves, predicted {level[0].predicted:g}: observed {middle} ({least} to {most} in 8 of 10)"


def _set_lines(comparisons: Comparisons, fit: Fit) -> Iterator[str]:
    """Calibrations fitted on all sets except one, observed on that one."""
    if comparisons.set is None:
        return
    impostor = ~comparisons.genuine
    for number in np.unique(comparisons.set):
        own = comparisons.set == number
        for one in _observed(comparisons, impostor & own, _fitted(comparisons, impostor & ~own, fit)):
            yield f"fitted without set {number + 1}, {_rate_line(one)}"


def _rate_line(one: Observed) -> str:
    low, high = one.interval
    return (
        f"predicted {one.predicted:g}: observed on the others {one.rate:.2g}"
        f" ({one.count} of {one.comparisons}; 95 % interval {low:.2g} to {high:.2g})"
    )


def _half(rng: np.random.Generator, finger: Numbers) -> NDArray[np.bool_]:
    chosen: NDArray[np.bool_] = np.isin(finger, rng.permutation(np.unique(finger))[::2])
    return chosen


def false_non_match_rate(comparisons: Comparisons, kept: NDArray[np.bool_], threshold: float) -> float:
    """The share of the genuine pairs of kept impressions that does not score above the threshold."""
    scores = comparisons.scores[comparisons.genuine & comparisons.within(kept)]
    return float((scores <= threshold).mean())


def quality_lines(comparisons: Comparisons) -> Iterator[str]:
    """Whether leaving out the impressions of lowest quality helps more than leaving out random ones."""
    count = len(comparisons.finger)
    dropped = round(DROPPED * count)
    rng = np.random.default_rng(1)
    random = [rng.permutation(count) >= dropped for _ in range(DRAWS)]
    good = np.argsort(np.argsort(comparisons.quality, kind="stable"), kind="stable") >= dropped
    for rate in FALSE_MATCH_RATES:
        threshold = float(np.quantile(comparisons.impostors, 1 - rate))
        whole, best, *others = (
            100 * false_non_match_rate(comparisons, kept, threshold) for kept in (good | True, good, *random)
        )
        low, high = np.quantile(others, (0.025, 0.975))
        yield (
            f"FNMR at FMR {rate:g}: {whole:.3f} % of all; without the {DROPPED:.0%} of lowest quality {best:.3f} %,"
            f" without a random {DROPPED:.0%} {np.mean(others):.3f} % ({low:.3f} to {high:.3f})"
        )
