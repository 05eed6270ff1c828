"""The two edges of an iris, to a fraction of a pixel: first the pupil, then the limbus, whose edge is softer.

The rise of the logarithm of the grey outwards is turned into a gain of 0 to 1, so that a bright lid does not outshine
the edge. The best circle of a coarse and a fine search comes first; then twice the closed path of most gain near it,
smoothed by a few waves.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models.compiled import NUMBA, compiled
from models.iris.segmentation.geometry import Boundary, Floats, spread
from models.iris.segmentation.location import Disc
from models.iris.segmentation.network import INSIDE_LIMBUS, Chances
from models.iris.segmentation.occlusion import Lids
from models.iris.segmentation.polar import Image, between_steps, closed_path, curve, sample, slope, smooth

Waves = npt.NDArray[np.float64]
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
    chances: Chances | None = None  # what the network says of it


class Kind(NamedTuple):
    """What is particular to one of the two edges."""

    reach: float  # of the radius, inwards and outwards, over which a rise is counted
    half: float  # the rise (of the logarithm) that counts half
    below: float  # trust in the directions straight down
    above: float  # trust in the directions straight up
    band: tuple[float, float]  # of the radius, in which a path is sought, first and second time
    waves: tuple[int, int]
    stiffness: float
    drift: float  # of the radius: how far its centre may be from where it was looked for
    sides: float  # how far both sides must show it, 0..1
    usual: float  # share of the radius that the disc within takes up at most, as a rule
    hinted: float  # share of what the network says of the limbus in the gain


PUPIL = Kind(0.10, 0.25, 1.0, 0.7, (0.25, 0.16), (2, 6), 1.0, 0.35, 0.0, 2.0, 0.0)
LIMBUS = Kind(0.045, 0.12, 0.3, 0.05, (0.12, 0.09), (1, 3), 8.0, 0.13, 0.5, 0.55, 0.3)


_WIDE = 1.5  # how fast evidence is discounted as a pupil fills more of the iris than usual
_LEFT = (0.7, 1.3)  # of the radii that a curve starts from, between which it stays
_HINT_REACH = 0.05  # of the radius, inwards and outwards, over which the network's chances fall
_SEEN = (0.9, 1.5)  # of the network's limbus: what lids hide is seldom in it, so the true one is rather larger
_UNLIKE, _LIKE = 4.0, 0.25  # how fast with what a circle is larger than seen, in logarithms; up to here lids explain it
_AWAY = 5.0  # how fast evidence is discounted with the distance of a circle's centre, in radii, squared


def trust(kind: Kind, angles: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """How far a direction is trusted to show an edge rather than a lid."""
    sides = np.clip((np.abs(np.cos(angles)) - 0.35) / 0.3, 0, 1)
    ends = np.where(np.sin(angles) > 0, kind.below, kind.above)
    return np.asarray(ends + (1 - ends) * sides, dtype=np.float64)


def gain_along(scene: Scene, kind: Kind, about: Boundary, offsets: npt.NDArray[np.floating]) -> Floats:
    """[angles, offsets]: how much brighter it gets outwards at each offset from a boundary, 0 to 1; 0 where unknown."""
    angles = spread(ANGLES)[:, None]
    distance = about.radius_at(angles[:, 0])[:, None] + offsets
    x, y = about.x + np.cos(angles) * distance, about.y + np.sin(angles) * distance
    logs, within = sample(scene.logs, x, y)
    glare = scene.glare[_pixel(y, scene.glare.shape[0]), _pixel(x, scene.glare.shape[1])] > 0
    step = offsets[1] - offsets[0]
    reach = max(2, round(kind.reach * about.mean_radius / step))
    rise = np.clip(slope(logs, reach), 0, None)
    gain = np.where(glare, 0, rise**2 / (rise**2 + kind.half**2))
    if scene.chances is not None and kind.hinted:
        wide = max(2, round(_HINT_REACH * about.mean_radius / step))
        hint = np.clip(-slope(scene.chances.at(INSIDE_LIMBUS, x, y), wide), 0, 1)
        gain = (1 - kind.hinted) * gain + kind.hinted * hint
    return np.where(within, gain, 0).astype(np.float32)


def _pixel(place: npt.NDArray[np.floating], size: int) -> npt.NDArray[np.intp]:
    return np.asarray(np.clip(np.rint(place), 0, size - 1), dtype=np.intp)


class Circle(NamedTuple):
    """A circle and the mean gain along it, less what speaks against its place and size."""

    boundary: Boundary
    evidence: float


def best_circle(
    scene: Scene, kind: Kind, disc: Disc, sizes: Floats, clear: float, expected: float | None = None
) -> Circle:
    """The circle of one of the sizes near a disc along which it gets brightest; `expected` is the radius that was seen.

    `clear`: within this distance of the disc's centre, in pixels, nothing counts.
    """
    x, y, _, _ = disc
    step = max(1.0, float(sizes[-1]) / 120)
    about = Boundary.circle(x, y, float(np.sqrt(sizes[0] * sizes[-1])), ANGLES)
    offsets = np.arange(max(1.0, clear, sizes[0] * (1 - kind.drift) - 2), sizes[-1] * (1 + kind.drift) + 2, step)
    gain = gain_along(scene, kind, about, offsets - about.mean_radius)
    shifts = np.linspace(-kind.drift, kind.drift, 7)
    across, down, size = (part.ravel() for part in np.meshgrid(shifts, shifts, sizes, indexing="ij"))
    rough = np.stack([across * size, down * size, size], axis=1).astype(np.float32)
    best, _ = _search(gain, kind, (disc.radius, expected), offsets, rough)
    finer = np.linspace(-kind.drift / 5, kind.drift / 5, 5) * best[2]
    near = best + np.stack([part.ravel() for part in np.meshgrid(finer, finer, finer)], axis=1)
    best, evidence = _search(gain, kind, (disc.radius, expected), offsets, near.astype(np.float32))
    return Circle(Boundary.circle(x + float(best[0]), y + float(best[1]), float(best[2]), ANGLES), evidence)


def _search(
    gain: Floats, kind: Kind, known: tuple[float, float | None], offsets: npt.NDArray[np.floating], circles: Floats
) -> tuple[Floats, float]:
    rows = gain[::2]
    angles = spread(len(rows))
    weights = np.stack([trust(kind, angles), np.cos(angles) < -0.8, np.cos(angles) > 0.8], axis=1).astype(np.float32)
    weights /= weights.sum(axis=0)
    first, step = float(offsets[0]), float(offsets[1] - offsets[0])
    gathered = gather(rows, weights, np.cos(angles), np.sin(angles), circles, first, step)
    sides = np.sqrt(gathered[:, 1] * gathered[:, 2])
    across, down, size = circles.T
    inner, expected = known
    against = _AWAY * (across**2 + down**2) / size**2 + _WIDE * np.maximum(inner / size - kind.usual, 0)
    if expected is not None:
        against = against + _UNLIKE * np.maximum(np.log(size / expected) - _LIKE, 0)
    scores = (1 - kind.sides) * gathered[:, 0] + kind.sides * sides - against
    best = int(scores.argmax())
    return circles[best], float(scores[best])


def _gather_plain(
    gain: Floats, weights: Floats, cos: Waves, sin: Waves, circles: Floats, first: float, step: float
) -> Floats:
    """[circles, weights]: the weighted means of the gain along circles (centre, radius)."""
    across, down, size = (circles[:, k : k + 1] for k in range(3))
    distance = across * cos + down * sin + np.sqrt(np.maximum(size**2 - (across * sin - down * cos) ** 2, 0))
    at = np.rint((distance - first) / step).astype(np.int32)
    inside = (at >= 0) & (at < gain.shape[1])
    along = np.where(inside, gain[np.arange(len(gain)), np.clip(at, 0, gain.shape[1] - 1)], 0)
    return np.asarray(along @ weights, dtype=np.float32)


@compiled
def _gather_fast(
    gain: Floats, weights: Floats, cos: Waves, sin: Waves, circles: Floats, first: float, step: float
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


gather = _gather_plain if NUMBA is None else _gather_fast


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
    around = about.radius_at(spread(ANGLES))
    radii = around + offsets[0] + between_steps(gain, path) * step
    fitted = smooth(radii.astype(np.float32), weights, waves, kind.stiffness)
    fitted = np.clip(fitted, _LEFT[0] * around, _LEFT[1] * around)
    shown = float((found[trusted > 0.6] > 0.25).mean()) if (trusted > 0.6).any() else 0.0
    return Edge(curve(about.x, about.y, fitted), float(np.average(found, weights=trusted + 1e-6)), shown)


def sizes_between(smallest: float, largest: float, factor: float = 1.05) -> Floats:
    """Radii from one to another, each a little larger."""
    count = max(2, int(np.log(largest / smallest) / np.log(factor)))
    return np.asarray(np.geomspace(smallest, largest, count), np.float32)


def pupil_circle(scene: Scene, disc: Disc) -> Circle:
    """The pupil near a disc."""
    return best_circle(scene, PUPIL, disc, sizes_between(0.65 * disc.radius, 1.6 * disc.radius), 0.0)


def circles_near(scene: Scene, pupil: Disc, limbus: float) -> tuple[Circle, Circle]:
    """Pupil and limbus where the network has seen them: near a disc, and near a radius about it."""
    inner = best_circle(scene, PUPIL, pupil, sizes_between(0.8 * pupil.radius, 1.25 * pupil.radius, 1.03), 0.0)
    size = inner.boundary.mean_radius
    sizes = sizes_between(max(_SEEN[0] * limbus, 1.2 * size), max(_SEEN[1] * limbus, 1.4 * size), 1.03)
    about = Disc(inner.boundary.x, inner.boundary.y, size, 0.0)
    return inner, best_circle(scene, LIMBUS, about, sizes, 1.15 * size, limbus)


def limbus_circle(scene: Scene, pupil: Boundary, smallest: float) -> Circle:
    """The limbus around a pupil, of at least a radius in pixels."""
    size = pupil.mean_radius
    smallest = max(1.4 * size, smallest)
    largest = min(size / 0.14, 0.5 * max(scene.logs.shape))
    sizes = sizes_between(smallest, max(largest, 1.2 * smallest))
    return best_circle(scene, LIMBUS, Disc(pupil.x, pupil.y, size, 0), sizes, 1.25 * size)
