"""The ridge flow of a finger: pattern class, and orientation and spacing of the ridges over the pad.

Orientation is a sum of half angles around cores and deltas (the zero-pole model of Sherlock and Monro, with a smooth
correction of each angle after Vizcaya and Gerhardt), a dome that bends the ridges over the fingertip, and low-frequency
noise of the individual. Coordinates are millimetres from the middle of the pad, x to the right of the print, y to the
fingertip.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from drivers.sample import Position

Field = NDArray[np.float32]
Point = tuple[float, float]


class Pattern(StrEnum):
    """The classes of Henry's system, as seen in the print: a right loop opens to the right of the image."""

    ARCH = "arch"
    TENTED_ARCH = "tented_arch"
    LEFT_LOOP = "left_loop"
    RIGHT_LOOP = "right_loop"
    WHORL = "whorl"
    DOUBLE_LOOP = "double_loop"


@dataclass(frozen=True, slots=True)
class Grid:
    """Sample points `pitch` mm apart, row 0 at the fingertip; `x` is [1, w], `y` is [h, 1], both in mm."""

    x: Field
    y: Field
    pitch: float

    @classmethod
    def of(cls, half_width: float, half_height: float, pitch: float, multiple: int = 8) -> "Grid":
        """The grid that covers at least the given half axes (mm), centred, its sides a multiple of `multiple`."""
        width, height = (2 * round(half / pitch / multiple) * multiple for half in (half_width, half_height))
        x = (np.arange(width, dtype=np.float32) - (width - 1) / 2) * pitch
        y = ((height - 1) / 2 - np.arange(height, dtype=np.float32)) * pitch
        return cls(x[None, :].astype(np.float32), y[:, None].astype(np.float32), pitch)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.y.shape[0], self.x.shape[1]


@dataclass(frozen=True, slots=True)
class Flow:
    """Ridge orientation (radians, counter-clockwise from the x axis, modulo pi) and ridge period (mm) on a grid."""

    orientation: Field
    period: Field


@dataclass(frozen=True, slots=True)
class SingularPoints:
    """The singular points of one finger, and how strongly its ridges bend at the fingertip."""

    cores: tuple[Point, ...]
    deltas: tuple[Point, ...]
    dome: float  # radians at the sides of the fingertip
    arch: float = 0.0  # height of the bump of a plain arch, mm
    axes: tuple[float, ...] = ()  # direction in which the ridges of each core bulge, radians counter-clockwise from up


# Share of each pattern by digit, in the order of _CLASSES: our estimates, not a published table. Over all ten fingers
# they give the 60 to 70 % loops, 25 to 35 % whorls and 5 % arches of textbooks; whorls are most common on thumb and
# ring finger, radial loops and arches on the index finger.
_CLASSES = ("arch", "tented_arch", "ulnar", "radial", "whorl", "double_loop")
_SHARES = {
    "thumb": (0.020, 0.005, 0.580, 0.005, 0.290, 0.100),
    "index": (0.060, 0.040, 0.400, 0.170, 0.280, 0.050),
    "middle": (0.045, 0.025, 0.730, 0.020, 0.150, 0.030),
    "ring": (0.012, 0.008, 0.545, 0.010, 0.390, 0.035),
    "little": (0.008, 0.007, 0.835, 0.005, 0.120, 0.025),
}


def digit(position: Position) -> str:
    """The name of the digit: thumb, index, middle, ring or little."""
    return position.value.partition("_")[2]


def _side(name: str, position: Position) -> str:
    """Convert ulnar and radial to left and right. Ulnar loops open to the little finger: right in a right hand."""
    if name not in ("ulnar", "radial"):
        return name
    right = (name == "ulnar") == position.value.startswith("right")
    return "right_loop" if right else "left_loop"


def draw_pattern(rng: Generator, position: Position, leaning: float) -> Pattern:
    """Draw the class of one finger. `leaning` (about -1 to 1): more or fewer whorls on all fingers of a person."""
    shares = np.array(_SHARES[digit(position)]) * np.exp(leaning * np.array((-1.5, -1.5, 0.0, 0.0, 1.5, 1.5)))
    name = _CLASSES[int(rng.choice(len(_CLASSES), p=shares / shares.sum()))]
    return Pattern(_side(name, position))


def _around(rng: Generator, middle: Point, spread: float) -> Point:
    return middle[0] + spread * rng.standard_normal(), middle[1] + spread * rng.standard_normal()


def _arch(rng: Generator) -> SingularPoints:
    return SingularPoints((), (), dome=rng.uniform(0.25, 0.45), arch=rng.uniform(2.5, 5.0))


def _tented(rng: Generator) -> SingularPoints:
    core = _around(rng, (0.0, 0.0), 0.5)
    delta = core[0] + 0.3 * rng.standard_normal(), core[1] - rng.uniform(2.2, 4.5)
    return SingularPoints((core,), (delta,), dome=rng.uniform(0.45, 0.65), axes=(0.0,))


def _right_loop(rng: Generator) -> SingularPoints:
    core = _around(rng, (0.0, 0.8), 0.6)
    delta = core[0] - rng.uniform(3.2, 6.5), core[1] - rng.uniform(5.0, 8.0)
    return SingularPoints((core,), (delta,), dome=rng.uniform(0.35, 0.6), axes=(rng.uniform(0.2, 0.6),))


def _mirrored(points: tuple[Point, ...]) -> tuple[Point, ...]:
    return tuple((-x, y) for x, y in points)


def _left_loop(rng: Generator) -> SingularPoints:
    loop = _right_loop(rng)
    return SingularPoints(_mirrored(loop.cores), _mirrored(loop.deltas), loop.dome, axes=(-loop.axes[0],))


def _two_cores(rng: Generator, apart: float, tilt: float) -> SingularPoints:
    """Two cores `apart` mm from each other, their axis `tilt` radians from upright, between two deltas."""
    x, y = _around(rng, (0.0, 0.3), 0.6)
    half = 0.5 * apart * np.sin(tilt), 0.5 * apart * np.cos(tilt)
    cores = (x + half[0], y + half[1]), (x - half[0], y - half[1])
    deltas = tuple((x + s * rng.uniform(4.5, 7.0), y - rng.uniform(5.0, 8.0)) for s in (-1, 1))
    return SingularPoints(cores, deltas, dome=rng.uniform(0.1, 0.3), axes=(-tilt, np.pi - tilt))


def _whorl(rng: Generator) -> SingularPoints:
    return _two_cores(rng, rng.uniform(0.6, 2.8), rng.normal(0.0, 0.25))


def _double_loop(rng: Generator) -> SingularPoints:
    return _two_cores(rng, rng.uniform(3.0, 4.6), rng.choice((-1, 1)) * rng.uniform(0.35, 0.8))


_SINGULAR_POINTS: dict[Pattern, Callable[[Generator], SingularPoints]] = {
    Pattern.ARCH: _arch,
    Pattern.TENTED_ARCH: _tented,
    Pattern.LEFT_LOOP: _left_loop,
    Pattern.RIGHT_LOOP: _right_loop,
    Pattern.WHORL: _whorl,
    Pattern.DOUBLE_LOOP: _double_loop,
}


def smooth_noise(rng: Generator, shape: tuple[int, int], sigma: float) -> Field:
    """Gaussian noise of unit variance, smoothed with `sigma` samples."""
    noise = gaussian_filter(rng.standard_normal(shape).astype(np.float32), sigma, mode="reflect")
    return np.asarray(noise / max(float(noise.std()), 1e-6), dtype=np.float32)


def _rise(values: Field, centre: float, width: float) -> Field:
    """0 far below `centre`, 1 far above it."""
    return np.asarray(1.0 / (1.0 + np.exp((centre - values) / width)), dtype=np.float32)


def _half_angle(rng: Generator, grid: Grid, point: Point) -> Field:
    """Half the angle around a singular point, measured from straight up, with a small random distortion."""
    angle = np.arctan2(point[0] - grid.x, grid.y - point[1])
    first, second = 0.10 * rng.standard_normal(2), 0.05 * rng.standard_normal(2)
    warp = first[0] * np.sin(angle) + first[1] * np.cos(angle)
    warp = warp + second[0] * np.sin(2 * angle) + second[1] * np.cos(2 * angle)
    return np.asarray(0.5 * (angle + warp), dtype=np.float32)


def _recurve(rng: Generator, grid: Grid, core: Point, axis: float) -> Field:
    """Correction at a core: ridges go around it in half circles and leave it in parallel, not as parabolas."""
    x, y = grid.x - core[0], grid.y - core[1]
    near = np.exp(-(x * x + y * y) / (2 * 4.5**2))
    return np.asarray(0.5 * rng.uniform(0.7, 1.0) * near * np.sin(np.arctan2(-x, y) - axis), dtype=np.float32)


def _dome(grid: Grid, layout: SingularPoints) -> Field:
    """Bend of the ridges over the fingertip and down its sides; none at the crease of the joint."""
    return np.asarray(-layout.dome * np.tanh(grid.x / 5.0) * _rise(grid.y, -3.0, 2.0), dtype=np.float32)


def _bump(grid: Grid, layout: SingularPoints) -> Field:
    """The slope of a plain arch: ridges rise to the middle, most of all a little below the centre of the pad."""
    height = layout.arch * np.exp(-(((grid.y + 1.5) / 5.5) ** 2))
    slope = -height * grid.x / 3.4**2 * np.exp(-(grid.x**2) / (2 * 3.4**2))
    return np.asarray(np.arctan(slope), dtype=np.float32)


def _orientation(rng: Generator, grid: Grid, layout: SingularPoints) -> Field:
    field = _dome(grid, layout) + _bump(grid, layout)
    for core, axis in zip(layout.cores, layout.axes, strict=True):
        field = field + _half_angle(rng, grid, core) + _recurve(rng, grid, core, axis)
    for delta in layout.deltas:
        field = field - _half_angle(rng, grid, delta)
    wander = 0.07 * smooth_noise(rng, grid.shape, 2.2 / grid.pitch)
    return np.asarray(field + wander, dtype=np.float32)


_PERIOD_LIMIT = 4.0  # standard deviations: limit of the ridge period


def _period(rng: Generator, grid: Grid, layout: SingularPoints, mean: float) -> Field:
    """The ridge period: larger towards the joint than at the fingertip, with random variation."""
    foot = min((y for _, y in layout.deltas), default=-3.0)
    below = 1.0 - _rise(grid.y, foot, 1.5)
    wander = np.clip(smooth_noise(rng, grid.shape, 1.8 / grid.pitch), -_PERIOD_LIMIT, _PERIOD_LIMIT)
    return np.asarray(mean * (0.97 + 0.16 * below + 0.05 * wander), np.float32)


def draw_flow(rng: Generator, grid: Grid, pattern: Pattern, mean_period: float) -> Flow:
    """The ridge flow of one finger of the given class; `mean_period` in mm."""
    layout = _SINGULAR_POINTS[pattern](rng)
    return Flow(_orientation(rng, grid, layout), _period(rng, grid, layout, mean_period))
