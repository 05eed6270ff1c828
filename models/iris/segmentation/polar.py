"""A picture unrolled around a point, closed paths through it, and smooth curves through such paths."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models.compiled import NUMBA, compiled
from models.iris.segmentation.geometry import Bools, Boundary, Floats, spread

Image = npt.NDArray[np.float32]
_TUKEY = 4.0  # standard deviations at which a point counts no more
_ROUNDS = 5  # of each kind of reweighting


class Unrolled(NamedTuple):
    """`values` [angles, radii] of a picture around (`x`, `y`), and where they lie `within` it."""

    values: Floats
    within: Bools


def unroll(image: Image, x: float, y: float, radii: npt.NDArray[np.floating], count: int) -> Unrolled:
    """A picture on rays from (x, y), interpolated between its pixels: one row for each of `count` angles."""
    angles = spread(count)[:, None]
    return sample(image, x + np.cos(angles) * radii, y + np.sin(angles) * radii)


def sample(image: Image, x: npt.NDArray[np.floating], y: npt.NDArray[np.floating]) -> Unrolled:
    """A picture at any points, interpolated between its pixels."""
    height, width = image.shape
    within = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    x, y = np.clip(x, 0, width - 1.001), np.clip(y, 0, height - 1.001)
    values = between_pixels(np.ascontiguousarray(image), x.astype(np.float32).ravel(), y.astype(np.float32).ravel())
    return Unrolled(values.reshape(within.shape), within)


def _between_plain(image: Image, x: Floats, y: Floats) -> Floats:
    left, top = x.astype(np.int32), y.astype(np.int32)
    across, down = x - left, y - top
    flat, width = image.ravel(), image.shape[1]
    first = top * width + left
    upper = flat[first] * (1 - across) + flat[first + 1] * across
    lower = flat[first + width] * (1 - across) + flat[first + width + 1] * across
    return np.asarray(upper * (1 - down) + lower * down, dtype=np.float32)


@compiled
def _between_fast(image: Image, x: Floats, y: Floats) -> Floats:
    found = np.empty(len(x), np.float32)
    for number in range(len(x)):
        left, top = int(x[number]), int(y[number])
        across, down = x[number] - left, y[number] - top
        upper = image[top, left] * (1 - across) + image[top, left + 1] * across
        lower = image[top + 1, left] * (1 - across) + image[top + 1, left + 1] * across
        found[number] = upper * (1 - down) + lower * down
    return found


between_pixels = _between_plain if NUMBA is None else _between_fast


def slope(values: Floats, reach: int) -> Floats:
    """How much brighter a ray gets over `reach` steps outwards and as many inwards: means of both sides, subtracted."""
    padded = np.pad(values, ((0, 0), (reach + 1, reach)), mode="edge")
    sums = np.cumsum(padded, axis=1, dtype=np.float64)
    at = np.arange(values.shape[1]) + reach
    outer = sums[:, at + reach + 1] - sums[:, at + 1]
    inner = sums[:, at] - sums[:, at - reach]
    return np.asarray((outer - inner) / reach, dtype=np.float32)


@compiled
def best_path(gain: Floats, bend: float) -> npt.NDArray[np.int64]:
    """The path through the rows of `gain` that gathers most, at most one column left or right from row to row.

    Each step to the side costs `bend`.
    """
    count, width = gain.shape
    total = gain[0].copy()
    came = np.zeros((count, width), np.int8)
    for row in range(1, count):
        left = np.full(width, -1e9, np.float32)
        left[1:] = total[:-1] - np.float32(bend)
        right = np.full(width, -1e9, np.float32)
        right[:-1] = total[1:] - np.float32(bend)
        came[row] = np.where(right > np.maximum(total, left), 1, np.where(left > total, -1, 0))
        total = np.maximum(np.maximum(total, left), right) + gain[row]
    path = np.zeros(count, np.int64)
    path[-1] = np.argmax(total)
    for row in range(count - 1, 0, -1):
        path[row - 1] = path[row] + came[row, path[row]]
    return path


def closed_path(gain: Floats, bend: float) -> npt.NDArray[np.int64]:
    """The same around a turn: two turns are walked and the middle of them is kept, so that the ends meet."""
    count = len(gain)
    path = best_path(np.concatenate([gain, gain]), bend)
    return np.concatenate([path[count : count + count // 2], path[count // 2 : count]])


def between_steps(gain: Floats, path: npt.NDArray[np.int64]) -> Floats:
    """Where the gain peaks near a path, to a fraction of a step: the top of the parabola through three values."""
    rows = np.arange(len(path))
    middle = np.clip(path, 1, gain.shape[1] - 2)
    before, at, after = gain[rows, middle - 1], gain[rows, middle], gain[rows, middle + 1]
    curve = before - 2 * at + after
    shift = np.where(curve < -1e-6, 0.5 * (before - after) / np.minimum(curve, -1e-6), 0)
    return np.asarray(middle + np.clip(shift, -0.75, 0.75), dtype=np.float32)


def waves(count: int, harmonics: int) -> npt.NDArray[np.float64]:
    """1, cos, sin, cos 2, sin 2 ... of `count` angles around a turn: [count, 1 + 2 harmonics]."""
    angles = spread(count)[:, None] * np.arange(1, harmonics + 1)
    return np.concatenate([np.ones((count, 1)), np.cos(angles), np.sin(angles)], axis=1)


def smooth(radii: Floats, weights: Floats, harmonics: int, stiffness: float, least: float = 0.5) -> Floats:
    """The curve of a few waves through radii that may be wrong here and there and unknown where their weight is 0.

    `stiffness` holds the higher waves small where little is known; `least` is the smallest spread, in pixels, that is
    taken for noise.
    """
    base = waves(len(radii), harmonics)
    order = np.concatenate([[0], np.tile(np.arange(1, harmonics + 1), 2)])
    hold = np.diag(stiffness * np.where(order == 1, 0.1, np.maximum(order - 1, 0) ** 2.0) + 1e-9)
    current = weights.astype(np.float64)
    fitted = np.full(len(radii), np.median(radii))
    known = weights > 0
    for turn in range(2 * _ROUNDS):
        weighted = base * current[:, None]
        fitted = base @ np.linalg.solve(base.T @ weighted + hold * len(radii) / 256, weighted.T @ radii)
        off = np.abs(radii - fitted)
        if turn < _ROUNDS:  # the least sum of distances first: few wrong points cannot pull it
            current = weights / np.maximum(off / least, 1)
        else:
            noise = max(1.4826 * float(np.median(off[known])) if known.any() else 1.0, least)
            current = weights * np.clip(1 - (off / (_TUKEY * noise)) ** 2, 0, 1) ** 2
    return fitted.astype(np.float32)


def curve(x: float, y: float, radii: Floats) -> Boundary:
    """A boundary with its centre moved to the middle of its area, so that its radii differ as little as may be."""
    first = Boundary(x, y, radii)
    angles = spread(len(radii))
    cubed = radii.astype(np.float64) ** 3
    area = float((radii.astype(np.float64) ** 2).sum()) / 2
    across, down = float((cubed * np.cos(angles)).sum()) / 3 / area, float((cubed * np.sin(angles)).sum()) / 3 / area
    return first.around(x + across, y + down)
