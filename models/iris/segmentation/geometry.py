"""The result of a segmentation: two closed curves and the pixels between them that show the iris.

Image coordinates: x to the right, y down, in pixels, the middle of the first pixel is (0, 0). Angles run from +x
towards +y.
"""

from dataclasses import dataclass, field
from typing import Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
POINTS = 256  # default number of radii of a boundary made from points
FULL_CIRCLE = 2 * np.pi


@dataclass(frozen=True, slots=True)
class Boundary:
    """A closed curve around (`x`, `y`), star-shaped: `radii` float32 [n], pixels, at the angles 2 pi k / n."""

    x: float
    y: float
    radii: Floats = field(repr=False)

    @property
    def mean_radius(self) -> float:
        """The mean of the radii, in pixels."""
        return float(self.radii.mean())

    def radius_at(self, angles: npt.NDArray[np.floating]) -> Floats:
        """The radii at any angles, interpolated; float32 [m], pixels."""
        steps = np.asarray(angles) % FULL_CIRCLE * (len(self.radii) / FULL_CIRCLE)
        below = np.floor(steps).astype(np.intp)
        share = (steps - below).astype(np.float32)
        first, second = self.radii[below % len(self.radii)], self.radii[(below + 1) % len(self.radii)]
        return np.asarray(first + share * (second - first), dtype=np.float32)

    def at(self, angles: npt.NDArray[np.floating]) -> Floats:
        """The points of the curve at any angles around its own centre: float32 [m, 2], x and y."""
        radii = self.radius_at(angles)
        return np.stack([self.x + radii * np.cos(angles), self.y + radii * np.sin(angles)], axis=1).astype(np.float32)

    def points(self) -> Floats:
        """The points at the angles of the radii: float32 [n, 2], x and y."""
        return self.at(even_angles(len(self.radii)))

    def recentred(self, x: float, y: float) -> "Boundary":
        """The same curve with its radii measured from another point inside it."""
        dense = self.at(even_angles(4 * len(self.radii)))
        return Boundary.from_points(dense, centre=(x, y), count=len(self.radii))

    @classmethod
    def circle(cls, x: float, y: float, radius: float, count: int = POINTS) -> Self:
        """A circle as a boundary."""
        return cls(x, y, np.full(count, radius, dtype=np.float32))

    @classmethod
    def from_points(cls, points: npt.ArrayLike, centre: tuple[float, float] | None = None, count: int = POINTS) -> Self:
        """The curve through at least 3 points [m, 2], in any order, around `centre` (default: the mean of the points).

        ValueError if there are fewer points.
        """
        found = np.asarray(points, dtype=np.float64)
        if found.ndim != 2 or len(found) < 3:
            raise ValueError(f"a boundary needs at least 3 points, these have the shape {found.shape}")
        x, y = found.mean(axis=0) if centre is None else centre
        offsets = found - (x, y)
        angles = np.arctan2(offsets[:, 1], offsets[:, 0]) % FULL_CIRCLE
        order = np.argsort(angles)
        radii = np.interp(even_angles(count), angles[order], np.hypot(*offsets[order].T), period=FULL_CIRCLE)
        return cls(float(x), float(y), radii.astype(np.float32))


@dataclass(frozen=True, slots=True)
class Segmentation:
    """The iris of one eye: the pixels between `pupil` and `limbus` that are marked `usable`, bool [h, w] as the image.

    The limbus continues behind the lids. Pixels under lids, lashes and reflections, and outside the image, are not
    usable. `certainty` is 0 to 1: how clearly the two edges stand out where they are visible.
    """

    pupil: Boundary
    limbus: Boundary
    usable: Bools = field(repr=False)
    certainty: float
    measures: dict[str, float] = field(default_factory=dict)


def even_angles(count: int) -> npt.NDArray[np.float64]:
    """`count` evenly spaced angles of a full circle, from 0."""
    return np.asarray(np.arange(count) * (FULL_CIRCLE / count), dtype=np.float64)
