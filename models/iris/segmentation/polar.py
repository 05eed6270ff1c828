"""Interpolates images, finds closed paths through polar images, and fits smooth curves to such paths."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models.compiled import NUMBA, compiled
from models.iris.segmentation.geometry import Bools, Boundary, Floats, even_angles

Image = npt.NDArray[np.float32]
_TUKEY = 4.0  # standard deviations at which the weight of a point is 0
_ROUNDS = 5  # iterations of each kind of reweighting


class Sampled(NamedTuple):
    """`values` of an image at some points, and whether each point lies `within` the image."""

    values: Floats
    within: Bools


def sample(image: Image, x: npt.NDArray[np.floating], y: npt.NDArray[np.floating]) -> Sampled:
    """An image at any points, interpolated between its pixels."""
    height, width = image.shape
    within = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    x, y = np.clip(x, 0, width - 1.001), np.clip(y, 0, height - 1.001)
    values = bilinear(np.ascontiguousarray(image), x.astype(np.float32).ravel(), y.astype(np.float32).ravel())
    return Sampled(values.reshape(within.shape), within)


def _bilinear_plain(image: Image, x: Floats, y: Floats) -> Floats:
    left, top = x.astype(np.int32), y.astype(np.int32)
    across, down = x - left, y - top
    flat, width = image.ravel(), image.shape[1]
    first = top * width + left
    upper = flat[first] * (1 - across) + flat[first + 1] * across
    lower = flat[first + width] * (1 - across) + flat[first + width + 1] * across
    return np.asarray(upper * (1 - down) + lower * down, dtype=np.float32)


@compiled
def _bilinear_compiled(image: Image, x: Floats, y: Floats) -> Floats:
    found = np.empty(len(x), np.float32)
    for number in range(len(x)):
        left, top = int(x[number]), int(y[number])
        across, down = x[number] - left, y[number] - top
        upper = image[top, left] * (1 - across) + image[top, left + 1] * across
        lower = image[top + 1, left] * (1 - across) + image[top + 1, left + 1] * across
        found[number] = upper * (1 - down) + lower * down
    return found


bilinear = _bilinear_plain if NUMBA is None else _bilinear_compiled


def slope(values: Floats, reach: int) -> Floats:
    """The rise of brightness along each ray: the mean of the next `reach` steps minus the mean of the previous ones."""
    padded = np.pad(values, ((0, 0), (reach + 1, reach)), mode="edge")
    sums = np.cumsum(padded, axis=1, dtype=np.float64)
    at = np.arange(values.shape[1]) + reach
    outer = sums[:, at + reach + 1] - sums[:, at + 1]
    inner = sums[:, at] - sums[:, at - reach]
    return np.asarray((outer - inner) / reach, dtype=np.float32)


@compiled
def best_path(gain: Floats, bend: float) -> npt.NDArray[np.int64]:
    """The path through the rows of `gain` with the largest sum. From row to row it moves by at most one column.

    Each such move costs `bend`.
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
    """The best path around a circle. It runs around twice and keeps the middle, so that its ends meet."""
    count = len(gain)
    path = best_path(np.concatenate([gain, gain]), bend)
    return np.concatenate([path[count : count + count // 2], path[count // 2 : count]])


def peak_positions(gain: Floats, path: npt.NDArray[np.int64]) -> Floats:
    """The position of the gain peak near a path, to a fraction of a step: the vertex of a parabola through 3 values."""
    rows = np.arange(len(path))
    middle = np.clip(path, 1, gain.shape[1] - 2)
    before, at, after = gain[rows, middle - 1], gain[rows, middle], gain[rows, middle + 1]
    curvature = before - 2 * at + after
    shift = np.where(curvature < -1e-6, 0.5 * (before - after) / np.minimum(curvature, -1e-6), 0)
    return np.asarray(middle + np.clip(shift, -0.75, 0.75), dtype=np.float32)


def fourier_basis(count: int, harmonics: int) -> npt.NDArray[np.float64]:
    """1, cos, cos 2, ..., sin, sin 2, ... at `count` angles of a full circle: [count, 1 + 2 harmonics]."""
    angles = even_angles(count)[:, None] * np.arange(1, harmonics + 1)
    return np.concatenate([np.ones((count, 1)), np.cos(angles), np.sin(angles)], axis=1)


def smooth(radii: Floats, weights: Floats, harmonics: int, stiffness: float, least: float = 0.5) -> Floats:
    """A robust fit of a few harmonics to radii, of which some may be wrong. A weight of 0 means unknown.

    `stiffness` keeps the higher harmonics small where little is known; `least` is the smallest noise level, in pixels.
    """
    base = fourier_basis(len(radii), harmonics)
    order = np.concatenate([[0], np.tile(np.arange(1, harmonics + 1), 2)])
    hold = np.diag(stiffness * np.where(order == 1, 0.1, np.maximum(order - 1, 0) ** 2.0) + 1e-9)
    current = weights.astype(np.float64)
    fitted = np.full(len(radii), np.median(radii))
    known = weights > 0
    for iteration in range(2 * _ROUNDS):
        weighted = base * current[:, None]
        fitted = base @ np.linalg.solve(base.T @ weighted + hold * len(radii) / 256, weighted.T @ radii)
        off = np.abs(radii - fitted)
        if iteration < _ROUNDS:  # least absolute deviations first: a few wrong points have little influence
            current = weights / np.maximum(off / least, 1)
        else:
            noise = max(1.4826 * float(np.median(off[known])) if known.any() else 1.0, least)
            current = weights * np.clip(1 - (off / (_TUKEY * noise)) ** 2, 0, 1) ** 2
    return fitted.astype(np.float32)


def about_centroid(x: float, y: float, radii: Floats) -> Boundary:
    """A boundary around the centroid of its area, so that its radii differ as little as possible."""
    first = Boundary(x, y, radii)
    angles = even_angles(len(radii))
    cubed = radii.astype(np.float64) ** 3
    area = float((radii.astype(np.float64) ** 2).sum()) / 2
    across, down = float((cubed * np.cos(angles)).sum()) / 3 / area, float((cubed * np.sin(angles)).sum()) / 3 / area
    return first.recentred(x + across, y + down)
