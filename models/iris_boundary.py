"""The two edges of an iris, to a fraction of a pixel: first the pupil, then the limbus, whose edge is softer.

Each edge is the closed path of the steepest rise around a rough centre, smoothed by a few waves; the second time around its
own centre. Values are limited to what iris and pupil can have, so that a bright lid does not outshine the edge.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models.iris_geometry import Boundary, Floats, spread
from models.iris_location import Disc
from models.iris_occlusion import Lids
from models.iris_polar import Image, between_steps, closed_path, curve, sample, slope, smooth

ANGLES = 128


class Edge(NamedTuple):
    """A boundary, how much brighter it gets across it, and the share of its trusted directions that show it."""

    boundary: Boundary
    rise: float  # mean of the gain along it, 0..1
    shown: float  # 0..1


class Scene(NamedTuple):
    """A picture made ready: noise and highlights taken out, and where the highlights were."""

    logs: Image  # logarithm of the grey, so that a step means the same in the dark and in the light
    glare: Image  # 1 where a highlight was


class Kind(NamedTuple):
    """What is particular to one of the two edges."""

    reach: float  # of the radius, inwards and outwards, over which a rise is counted
    half: float  # the rise (of the logarithm) that counts half
    below: float  # trust in the directions straight down
    above: float  # trust in the directions straight up
    band: tuple[float, float]  # of the radius, in which a path is sought, first and second time
    waves: tuple[int, int]
    stiffness: float


PUPIL = Kind(0.10, 0.20, 1.0, 0.7, (0.25, 0.16), (2, 6), 1.0)
LIMBUS = Kind(0.045, 0.12, 0.3, 0.15, (0.12, 0.09), (1, 3), 8.0)


_AWAY = 5.0  # how fast evidence is discounted with the distance of a circle's centre, in radii, squared


def trust(kind: Kind, angles: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """How far a direction is trusted to show an edge rather than a lid."""
    sides = np.clip((np.abs(np.cos(angles)) - 0.35) / 0.3, 0, 1)
    ends = np.where(np.sin(angles) > 0, kind.below, kind.above)
    return ends + (1 - ends) * sides


def gain_along(scene: Scene, kind: Kind, about: Boundary, offsets: npt.NDArray[np.floating]) -> Floats:
    """[angles, offsets]: how much brighter it gets outwards at each offset from a boundary, 0 to 1; 0 where unknown."""
    angles = spread(ANGLES)[:, None]
    distance = about.radius_at(angles[:, 0])[:, None] + offsets
    x, y = about.x + np.cos(angles) * distance, about.y + np.sin(angles) * distance
    logs, within = sample(scene.logs, x, y)
    glare = sample(scene.glare, x, y).values > 0.3
    step = offsets[1] - offsets[0]
    reach = max(2, round(kind.reach * about.mean_radius / step))
    rise = np.clip(slope(logs, reach), 0, None)
    return np.where(within & ~glare, rise**2 / (rise**2 + kind.half**2), 0).astype(np.float32)


def best_circle(scene: Scene, kind: Kind, x: float, y: float, sizes: Floats, drift: float, clear: float = 0.0) -> tuple[Boundary, float]:
    """The circle of one of the sizes near (x, y) along which it gets brightest, and the mean gain along it.

    `drift`: how far its centre may be from (x, y), as a share of its radius.
    """
    step = max(1.0, sizes[-1] / 120)
    about = Boundary.circle(x, y, float(np.sqrt(sizes[0] * sizes[-1])), ANGLES)
    offsets = np.arange(sizes[0] * (1 - drift) - 2, sizes[-1] * (1 + drift) + 2, step)
    offsets = offsets[offsets > max(1.0, clear)] - about.mean_radius
    gain = gain_along(scene, kind, about, offsets)
    first = about.mean_radius + offsets[0]
    shifts = np.linspace(-drift, drift, 7)
    circles = np.array([(a * r, b * r, r) for r in sizes for a in shifts for b in shifts])
    best, _ = _search(gain, kind, first, step, circles)
    finer = np.linspace(-drift / 5, drift / 5, 5) * best[2]
    near = np.array([(best[0] + a, best[1] + b, best[2] + c) for a in finer for b in finer for c in finer])
    best, score = _search(gain, kind, first, step, near)
    return Boundary.circle(x + best[0], y + best[1], best[2], ANGLES), score


def _search(
    gain: Floats, kind: Kind, first: float, step: float, circles: npt.NDArray[np.float64]
) -> tuple[tuple[float, float, float], float]:
    rows = np.arange(0, len(gain), 2)
    angles = spread(len(gain))[rows]
    weights = trust(kind, angles)
    across, down, size = (circles[:, k : k + 1] for k in range(3))
    cos, sin = np.cos(angles), np.sin(angles)
    distance = across * cos + down * sin + np.sqrt(np.maximum(size**2 - (across * sin - down * cos) ** 2, 0))
    at = np.rint((distance - first) / step).astype(np.int32)
    inside = (at >= 0) & (at < gain.shape[1])
    gathered = np.where(inside, gain[rows, np.clip(at, 0, gain.shape[1] - 1)], 0)
    scores = gathered @ weights / weights.sum()
    if kind is LIMBUS:
        left, right = gathered[:, cos < -0.8].mean(axis=1), gathered[:, cos > 0.8].mean(axis=1)
        scores = 0.5 * scores + 0.5 * np.sqrt(left * right)
    scores = scores - _AWAY * ((across**2 + down**2) / size**2)[:, 0]
    best = int(scores.argmax())
    return (float(circles[best, 0]), float(circles[best, 1]), float(circles[best, 2])), float(scores[best])


def refine(scene: Scene, kind: Kind, circle: Boundary, lids: Lids | None = None) -> Edge:
    """The curve of the steepest rise near a circle."""
    edge = Edge(circle, 0.0, 0.0)
    for band, waves in zip(kind.band, kind.waves, strict=True):
        edge = _pass(scene, kind, edge.boundary, band, waves, lids)
    return edge


def _pass(scene: Scene, kind: Kind, about: Boundary, band: float, waves: int, lids: Lids | None) -> Edge:
    size = about.mean_radius
    reach = max(3.0, band * size)
    step = max(0.5, size / 120)
    offsets = np.arange(-reach, reach + step / 2, step)
    gain = gain_along(scene, kind, about, offsets)
    gain *= (1 - 0.4 * (offsets / reach) ** 2).astype(np.float32)
    path = closed_path(gain, 0.12)
    found = gain[np.arange(ANGLES), path]
    trusted = trust(kind, spread(ANGLES))
    if lids is not None:
        seen = about.at(spread(ANGLES))
        trusted = np.maximum(trusted, 0.7) * np.where(lids.open_at(seen[:, 0], seen[:, 1], 0.04 * size), 1, 0.02)
    weights = np.clip(found / 0.4, 0, 1) * trusted**2
    radii = about.radius_at(spread(ANGLES)) + offsets[0] + between_steps(gain, path) * step
    fitted = smooth(radii.astype(np.float32), weights, waves, kind.stiffness)
    return Edge(curve(about.x, about.y, fitted), float(np.average(found, weights=trusted + 1e-6)), float((found[trusted > 0.6] > 0.25).mean()) if (trusted > 0.6).any() else 0.0)


def sizes_between(smallest: float, largest: float, factor: float = 1.05) -> Floats:
    """Radii from one to another, each a little larger."""
    return np.asarray(np.geomspace(smallest, largest, max(2, int(np.log(largest / smallest) / np.log(factor)))), dtype=np.float32)


def pupil_circle(scene: Scene, disc: Disc) -> tuple[Boundary, float]:
    """The circle of a pupil near a disc and the mean gain along it."""
    return best_circle(scene, PUPIL, disc.x, disc.y, sizes_between(0.65 * disc.radius, 1.6 * disc.radius), 0.35)


def limbus_circle(scene: Scene, pupil: Boundary) -> tuple[Boundary, float]:
    """The circle of a limbus around a pupil and the mean gain along it."""
    height, width = scene.logs.shape
    size = pupil.mean_radius
    largest = min(size / 0.14, 0.5 * max(height, width))
    return best_circle(scene, LIMBUS, pupil.x, pupil.y, sizes_between(1.45 * size, max(largest, 1.6 * size)), 0.13, 1.25 * size)
