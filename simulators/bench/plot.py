"""The plot of kiosk-bench report: error curves with those of other systems, and search time by size of the gallery."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulators.bench.search_finger import SearchFigures

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEAST = 1e-5  # the lowest rate that is shown
BAR_S = {"100 000 persons, two fingers": (100_000, 0.6), "a million, one finger": (1_000_000, 3.0)}


class Peer(NamedTuple):
    """Error rates of another system on the same comparisons, per cent, measured earlier."""

    name: str
    eer: float
    fnmr: float  # at a false match rate of 0.1 %
    fnir0: float


# On UareU, FVC2002 DB1 and DB2, FVC2000 DB1, pooled: measured for this project, not by this program.
PEERS = (
    Peer("SourceAFIS 3.18.1", 2.14, 4.17, 7.67),
    Peer("LEADER + SourceAFIS", 0.19, 0.19, 0.45),
    Peer("prototype (LEADER + MCC)", 0.10, 0.08, 0.15),
)


class Curve(NamedTuple):
    """False match and false non-match rates, one for each threshold."""

    matched: NDArray[np.float64]
    missed: NDArray[np.float64]


def draw(path: Path, curves: Mapping[str, Curve], searches: Sequence[SearchFigures], *, peers: bool) -> None:
    """Write the plot. ImportError without matplotlib."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - optional: the tables do not need it

    figure = Figure(figsize=(12, 5.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    _errors(left, curves, peers=peers)
    _times(right, searches)
    figure.savefig(path, dpi=110)


def _errors(axes: "Axes", curves: Mapping[str, Curve], *, peers: bool) -> None:
    for name, one in curves.items():
        style = {"linewidth": 2.5, "color": "black"} if name == "all" else {"linewidth": 1.2}
        matched, missed = np.maximum(one.matched, LEAST), np.maximum(one.missed, LEAST)
        axes.step(matched, missed, where="post", label=name, **style)
    for peer in PEERS if peers else ():
        (made,) = axes.plot([1e-3], [peer.fnmr / 100], "o", label=peer.name)
        axes.plot([peer.eer / 100], [peer.eer / 100], "x", color=made.get_color())
    axes.plot([LEAST, 1], [LEAST, 1], ":", color="grey", linewidth=0.8)
    axes.set(xscale="log", yscale="log", xlim=(LEAST, 1), ylim=(LEAST, 1), xlabel="false match rate")
    axes.set(ylabel="false non-match rate", title="Comparison (o at 0.1 %, x equal errors; the lower edge is 0)")
    if curves or peers:
        axes.legend(fontsize=8)
    axes.grid(visible=True, which="major", alpha=0.3)


def _times(axes: "Axes", searches: Sequence[SearchFigures]) -> None:
    for fingers in sorted({one.fingers for one in searches}):
        own = sorted((one for one in searches if one.fingers == fingers), key=lambda one: one.persons)
        sizes = [one.persons for one in own]
        label = f"{fingers} finger{'s' * (fingers > 1)} a person, {own[0].threads} threads"
        axes.plot(sizes, [one.search_s for one in own], "o-", label=label)
        axes.plot(sizes, [one.search_longest_s for one in own], "_", color=axes.lines[-1].get_color())
    for name, (size, seconds) in BAR_S.items():
        axes.plot([size], [seconds], "v", color="grey")
        axes.annotate(f"at most, {name}", (size, seconds), ha="center", va="bottom", fontsize=8)
    axes.margins(x=0.3)
    axes.set(xscale="log", yscale="log", xlabel="persons", ylabel="seconds", title="Search (o median, _ longest)")
    if searches:
        axes.legend(fontsize=8)
    axes.grid(visible=True, which="major", alpha=0.3)
