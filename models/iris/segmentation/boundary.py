"""Finds the two edges of an iris to a fraction of a pixel: first the pupil, then the limbus, whose edge is softer.

The outward rise of the logarithm of the grey is mapped to a gain of 0 to 1, so that a bright lid does not outweigh the
edge. A coarse and a fine search give the best circle. Then, twice, the closed path of most gain near the current curve
is found and smoothed with a few harmonics.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models.compiled import NUMBA, compiled
from models.iris.segmentation.geometry import Boundary, Floats, even_angles
from models.iris.segmentation.location import Disc
from models.iris.segmentation.network import INSIDE_LIMBUS, ProbabilityMaps
from models.iris.segmentation.occlusion import Lids
from models.iris.segmentation.polar import Image, about_centroid, closed_path, peak_positions, sample, slope, smooth

Directions = npt.NDArray[np.float64]
ANGLES = 128  # directions in which an edge is measured


class Edge(NamedTuple):
    """A boundary, the rise of brightness across it, and the share of its trusted directions in which it is visible."""

    boundary: Boundary
    rise: float  # mean of the gain along it, 0..1
    shown: float  # 0..1


class PreparedImage(NamedTuple):
    """An image without noise and highlights, and where the highlights were."""

    logs: Image  # logarithm of the grey: the same contrast is the same step in dark and in bright regions
    glare: Image  # 1 where a highlight was
    probabilities: ProbabilityMaps | None = None  # maps of the network, if it was certain of the eye


class EdgeKind(NamedTuple):
    """The parameters of one of the two edges. Lengths are shares of the radius."""

    reach: float  # distance, inwards and outwards, over which a rise is measured
    half: float  # rise of the logarithm that gives a gain of one half
    below: float  # trust in the directions straight down
    above: float  # trust in the directions straight up
    band: tuple[float, float]  # distance from the curve in which a path is searched, in the first and second pass
    harmonics: tuple[int, int]  # of the smoothing, in the first and second pass
    stiffness: float
    drift: float  # largest distance of the centre from where the search starts
    sides: float  # weight of the sides, both of which must show the edge, 0..1
    usual: float  # usual upper limit of the radius of the disc inside
    network_share: float  # weight of the network's limbus in the gain, 0..1


PUPIL = EdgeKind(0.10, 0.25, 1.0, 0.7, (0.25, 0.16), (2, 6), 1.0, 0.35, 0.0, 2.0, 0.0)
LIMBUS = EdgeKind(0.045, 0.12, 0.3, 0.05, (0.12, 0.09), (1, 3), 8.0, 0.13, 0.5, 0.55, 0.3)


_DILATION_PENALTY = 1.5  # loss of evidence as the pupil fills more of the iris than usual
_RADIUS_RANGE = (0.7, 1.3)  # limits of the radii of a followed curve, relative to the curve it starts from
_NETWORK_REACH = 0.05  # of the radius, inwards and outwards, over which the network's probabilities fall
# Limits of the radius of the limbus, relative to the network's: its map seldom covers what lids hide, so the true one
# is often larger.
_LIMBUS_RANGE = (0.9, 1.5)
# Loss of evidence with the logarithm of the radius relative to the network's, above a tolerance that lids explain.
_SIZE_PENALTY, _SIZE_TOLERANCE = 4.0, 0.25
_OFFSET_PENALTY = 5.0  # loss of evidence with the squared distance of the centre from the start, in radii


def trust(kind: EdgeKind, angles: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """How far each direction is trusted to show the edge rather than a lid, 0 to 1."""
    sides = np.clip((np.abs(np.cos(angles)) - 0.35) / 0.3, 0, 1)
    ends = np.where(np.sin(angles) > 0, kind.below, kind.above)
    return np.asarray(ends + (1 - ends) * sides, dtype=np.float64)


def gain_along(prepared: PreparedImage, kind: EdgeKind, start: Boundary, offsets: npt.NDArray[np.floating]) -> Floats:
    """[angles, offsets]: the outward rise of brightness at each offset from a boundary, 0 to 1; 0 where unknown."""
    angles = even_angles(ANGLES)[:, None]
    distance = start.radius_at(angles[:, 0])[:, None] + offsets
    x, y = start.x + np.cos(angles) * distance, start.y + np.sin(angles) * distance
    logs, within = sample(prepared.logs, x, y)
    glare = prepared.glare[_pixel(y, prepared.glare.shape[0]), _pixel(x, prepared.glare.shape[1])] > 0
    step = offsets[1] - offsets[0]
    reach = max(2, round(kind.reach * start.mean_radius / step))
    rise = np.clip(slope(logs, reach), 0, None)
    gain = np.where(glare, 0, rise**2 / (rise**2 + kind.half**2))
    if prepared.probabilities is not None and kind.network_share:
        wide = max(2, round(_NETWORK_REACH * start.mean_radius / step))
        network_gain = np.clip(-slope(prepared.probabilities.at(INSIDE_LIMBUS, x, y), wide), 0, 1)
        gain = (1 - kind.network_share) * gain + kind.network_share * network_gain
    return np.where(within, gain, 0).astype(np.float32)


def _pixel(place: npt.NDArray[np.floating], size: int) -> npt.NDArray[np.intp]:
    return np.asarray(np.clip(np.rint(place), 0, size - 1), dtype=np.intp)


class Circle(NamedTuple):
    """A circle and its evidence: the mean gain along it, minus penalties for its position and size."""

    boundary: Boundary
    evidence: float


def best_circle(
    prepared: PreparedImage,
    kind: EdgeKind,
    disc: Disc,
    radii: Floats,
    inner_limit: float,
    expected: float | None = None,
) -> Circle:
    """The circle near a disc, of one of the radii, with the most evidence. `expected` is the radius of the network.

    Gain within `inner_limit` pixels of the disc's centre is ignored.
    """
    x, y, _, _ = disc
    step = max(1.0, float(radii[-1]) / 120)
    start = Boundary.circle(x, y, float(np.sqrt(radii[0] * radii[-1])), ANGLES)
    offsets = np.arange(max(1.0, inner_limit, radii[0] * (1 - kind.drift) - 2), radii[-1] * (1 + kind.drift) + 2, step)
    gain = gain_along(prepared, kind, start, offsets - start.mean_radius)
    shifts = np.linspace(-kind.drift, kind.drift, 7)
    across, down, size = (part.ravel() for part in np.meshgrid(shifts, shifts, radii, indexing="ij"))
    coarse = np.stack([across * size, down * size, size], axis=1).astype(np.float32)
    best, _ = _search(gain, kind, (disc.radius, expected), offsets, coarse)
    finer = np.linspace(-kind.drift / 5, kind.drift / 5, 5) * best[2]
    near = best + np.stack([part.ravel() for part in np.meshgrid(finer, finer, finer)], axis=1)
    best, evidence = _search(gain, kind, (disc.radius, expected), offsets, near.astype(np.float32))
    return Circle(Boundary.circle(x + float(best[0]), y + float(best[1]), float(best[2]), ANGLES), evidence)


def _search(
    gain: Floats, kind: EdgeKind, known: tuple[float, float | None], offsets: npt.NDArray[np.floating], circles: Floats
) -> tuple[Floats, float]:
    rows = gain[::2]
    angles = even_angles(len(rows))
    weights = np.stack([trust(kind, angles), np.cos(angles) < -0.8, np.cos(angles) > 0.8], axis=1).astype(np.float32)
    weights /= weights.sum(axis=0)
    first, step = float(offsets[0]), float(offsets[1] - offsets[0])
    means = circle_gains(rows, weights, np.cos(angles), np.sin(angles), circles, first, step)
    sides = np.sqrt(means[:, 1] * means[:, 2])
    across, down, size = circles.T
    inner, expected = known
    against = _OFFSET_PENALTY * (across**2 + down**2) / size**2 + _DILATION_PENALTY * np.maximum(
        inner / size - kind.usual, 0
    )
    if expected is not None:
        against = against + _SIZE_PENALTY * np.maximum(np.log(size / expected) - _SIZE_TOLERANCE, 0)
    scores = (1 - kind.sides) * means[:, 0] + kind.sides * sides - against
    best = int(scores.argmax())
    return circles[best], float(scores[best])


def _circle_gains_plain(
    gain: Floats, weights: Floats, cos: Directions, sin: Directions, circles: Floats, first: float, step: float
) -> Floats:
    """[circles, weights]: the weighted means of the gain along circles (centre x, centre y, radius)."""
    across, down, size = (circles[:, k : k + 1] for k in range(3))
    distance = across * cos + down * sin + np.sqrt(np.maximum(size**2 - (across * sin - down * cos) ** 2, 0))
    at = np.rint((distance - first) / step).astype(np.int32)
    inside = (at >= 0) & (at < gain.shape[1])
    along = np.where(inside, gain[np.arange(len(gain)), np.clip(at, 0, gain.shape[1] - 1)], 0)
    return np.asarray(along @ weights, dtype=np.float32)


@compiled
def _circle_gains_compiled(
    gain: Floats, weights: Floats, cos: Directions, sin: Directions, circles: Floats, first: float, step: float
) -> Floats:
    found = np.zeros((len(circles), weights.shape[1]), np.float32)
    for number in range(len(circles)):
        across, down, size = circles[number]
        for row in range(len(gain)):
            aside = across * sin[row] - down * cos[row]
            distance = across * cos[row] + down * sin[row] + np.sqrt(max(size * size - aside * aside, 0.0))
            at = int(np.rint((distance - first) / step))
            if 0 <= at < gain.shape[1]:
                for column in range(weights.shape[1]):
                    found[number, column] += weights[row, column] * gain[row, at]
    return found


circle_gains = _circle_gains_plain if NUMBA is None else _circle_gains_compiled


def refine(prepared: PreparedImage, kind: EdgeKind, circle: Boundary, lids: Lids | None = None) -> Edge:
    """The curve of the most gain near a circle."""
    edge = Edge(circle, 0.0, 0.0)
    for band, harmonics in zip(kind.band, kind.harmonics, strict=True):
        edge = _follow_once(prepared, kind, edge.boundary, band, harmonics, lids)
    return edge


def _follow_once(
    prepared: PreparedImage, kind: EdgeKind, start: Boundary, band: float, harmonics: int, lids: Lids | None
) -> Edge:
    size = start.mean_radius
    reach = max(3.0, band * size)
    step = max(0.5, size / 120)
    offsets = np.arange(-reach, reach + step / 2, step)
    gain = gain_along(prepared, kind, start, offsets)
    gain *= (1 - 0.4 * (offsets / reach) ** 2).astype(np.float32)
    path = closed_path(gain, 0.12)
    found = gain[np.arange(ANGLES), path]
    trusted = trust(kind, even_angles(ANGLES))
    if lids is not None:
        points = start.at(even_angles(ANGLES))
        trusted = np.maximum(trusted, 0.7) * np.where(lids.open_at(points[:, 0], points[:, 1], 0.04 * size), 1, 0.02)
    weights = np.clip(found / 0.4, 0, 1) * trusted**2
    start_radii = start.radius_at(even_angles(ANGLES))
    radii = start_radii + offsets[0] + peak_positions(gain, path) * step
    fitted = smooth(radii.astype(np.float32), weights, harmonics, kind.stiffness)
    fitted = np.clip(fitted, _RADIUS_RANGE[0] * start_radii, _RADIUS_RANGE[1] * start_radii)
    shown = float((found[trusted > 0.6] > 0.25).mean()) if (trusted > 0.6).any() else 0.0
    return Edge(about_centroid(start.x, start.y, fitted), float(np.average(found, weights=trusted + 1e-6)), shown)


def radii_between(smallest: float, largest: float, factor: float = 1.05) -> Floats:
    """Radii from the smallest to the largest, in geometric steps of about `factor`."""
    count = max(2, int(np.log(largest / smallest) / np.log(factor)))
    return np.asarray(np.geomspace(smallest, largest, count), np.float32)


def pupil_circle(prepared: PreparedImage, disc: Disc) -> Circle:
    """The pupil near a disc."""
    return best_circle(prepared, PUPIL, disc, radii_between(0.65 * disc.radius, 1.6 * disc.radius), 0.0)


def circles_near(prepared: PreparedImage, pupil: Disc, limbus: float) -> tuple[Circle, Circle]:
    """Pupil and limbus near those of the network: the disc `pupil`, and around it the radius `limbus`."""
    inner = best_circle(prepared, PUPIL, pupil, radii_between(0.8 * pupil.radius, 1.25 * pupil.radius, 1.03), 0.0)
    size = inner.boundary.mean_radius
    radii = radii_between(max(_LIMBUS_RANGE[0] * limbus, 1.2 * size), max(_LIMBUS_RANGE[1] * limbus, 1.4 * size), 1.03)
    start = Disc(inner.boundary.x, inner.boundary.y, size, 0.0)
    return inner, best_circle(prepared, LIMBUS, start, radii, 1.15 * size, limbus)


def limbus_circle(prepared: PreparedImage, pupil: Boundary, smallest: float) -> Circle:
    """The limbus around a pupil, with a radius of at least `smallest` pixels."""
    size = pupil.mean_radius
    smallest = max(1.4 * size, smallest)
    largest = min(size / 0.14, 0.5 * max(prepared.logs.shape))
    radii = radii_between(smallest, max(largest, 1.2 * smallest))
    return best_circle(prepared, LIMBUS, Disc(pupil.x, pupil.y, size, 0), radii, 1.25 * size)
