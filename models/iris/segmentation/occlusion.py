"""Finds what hides the iris between pupil and limbus: lids, lashes, highlights, the border of the image.

The sides of the iris show its appearance from the pupil outwards. A lid is the line that best separates pixels of that
appearance from others; lashes are pixels near a lid that are far darker.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from models.iris.segmentation.filters import maximum_filter
from models.iris.segmentation.geometry import Bools, Boundary, Floats, even_angles
from models.iris.segmentation.network import USABLE, ProbabilityMaps
from models.iris.segmentation.polar import Image, best_path, sample

GRID = 72  # points along each side of the square around the limbus in which lids are searched
_DIRECTIONS = 720  # to which the direction of a point is rounded
_RINGS = 8  # from the pupil to the limbus, in which the appearance of the iris is measured
_HALF_UNLIKE = 2.5  # standard deviations at which dissimilarity is one half
_TOLERATED = 0.45  # dissimilarity of pixels that still count as iris
_LASH = 4.0  # standard deviations darker than the iris near a lid: a lash; crypts are less dark
_SKIN = 8.0  # standard deviations brighter than the iris: lid or highlight; the collarette is less bright
_NETWORK_WEIGHT = 1.0  # of the network, relative to the dissimilarity
_BEND = 0.15  # cost of a step up or down from column to column


class Appearance(NamedTuple):
    """The appearance of an iris. All values are of the logarithm of the grey."""

    rings: Floats  # medians of the rings, from the pupil outwards
    spread: float  # standard deviation, estimated from the median deviation
    pupil: float  # median of the pupil


class Lids(NamedTuple):
    """The edges of the lids: y for each x, in pixels of the image."""

    x: Floats
    upper: Floats
    lower: Floats

    def open_at(self, x: npt.NDArray[np.floating], y: npt.NDArray[np.floating], margin: float = 0.0) -> Bools:
        """Whether points are between the lids, at least `margin` pixels away from both."""
        above, below = np.interp(x, self.x, self.upper), np.interp(x, self.x, self.lower)
        return np.asarray((y > above + margin) & (y < below - margin))


def depth(x: npt.NDArray[np.floating], y: npt.NDArray[np.floating], pupil: Boundary, limbus: Boundary) -> Floats:
    """How far outwards points are: 0 on the edge of the pupil, 1 on the limbus; negative inside the pupil."""
    angles = even_angles(_DIRECTIONS)
    inner = pupil.radius_at(angles)
    outer = limbus.recentred(pupil.x, pupil.y).radius_at(angles)
    across, down = (x - pupil.x).astype(np.float32), (y - pupil.y).astype(np.float32)
    direction = np.rint(np.arctan2(down, across) * np.float32(_DIRECTIONS / (2 * np.pi))).astype(np.int32) % _DIRECTIONS
    share = 1 / np.maximum(outer - inner, 1)
    return np.asarray(np.hypot(across, down) * share[direction] - (inner * share)[direction], np.float32)


def appearance_of(logs: Image, glare: Image, pupil: Boundary, limbus: Boundary) -> Appearance:
    """The appearance of the iris, measured at its sides and below, where lids are rare."""
    angles = even_angles(64)
    angles = angles[np.sin(angles) > -0.35]
    angles = angles[np.sin(angles) < 0.8]
    shares = ((np.arange(_RINGS) + 0.5) / _RINGS)[:, None, None]
    points = pupil.at(angles) * (1 - shares) + limbus.at(angles) * shares
    values, within = sample(logs, points[..., 0], points[..., 1])
    known = within & (sample(glare, points[..., 0], points[..., 1]).values < 0.3)
    visible = np.where(known, values, np.nan)
    rows = zip(values, known, strict=True)
    rings = np.array([np.median(row[part]) if part.sum() > 5 else np.nan for row, part in rows])
    if np.isnan(rings).all():
        return Appearance(np.zeros(_RINGS, np.float32), 1.0, 0.0)
    rings = np.interp(np.arange(_RINGS), np.flatnonzero(~np.isnan(rings)), rings[~np.isnan(rings)])
    off = np.abs(visible - rings[:, None])
    inside = sample(logs, *(pupil.at(angles) * 0.5 + np.array([pupil.x, pupil.y]) * 0.5).T)
    return Appearance(
        rings.astype(np.float32), max(1.4826 * float(np.nanmedian(off)), 0.05), float(np.median(inside.values))
    )


def standard_deviations(logs: Floats, depths: Floats, appearance: Appearance) -> Floats:
    """By how many standard deviations points are brighter (negative: darker) than the iris there or the pupil."""
    steps = np.clip(depths * _RINGS - 0.5, 0, _RINGS - 1)
    ring = np.minimum(steps.astype(np.int32), _RINGS - 2)
    expected = appearance.rings[ring] + (steps - ring) * np.diff(appearance.rings)[ring]
    rim = np.clip(depths / 0.08 + 0.5, 0, 1)
    within_pupil = np.maximum(logs - np.maximum(appearance.pupil, appearance.rings[0]), 0)
    return np.asarray((rim * (logs - expected) + (1 - rim) * within_pupil) / appearance.spread, dtype=np.float32)


def find_lids(
    logs: Image, pupil: Boundary, limbus: Boundary, appearance: Appearance, probabilities: ProbabilityMaps | None = None
) -> Lids:
    """Both lids across the disc inside the limbus. A lid that hides nothing lies on the edge of the disc."""
    size = 1.04 * float(limbus.radii.max())
    x, y = limbus.x + np.linspace(-size, size, GRID), limbus.y + np.linspace(-size, size, GRID)
    across, down = np.meshgrid(x, y)
    values, within = sample(logs, across, down)
    depths = depth(across, down, pupil, limbus)
    deviation = standard_deviations(values, depths, appearance)
    unlike = deviation**2 / (deviation**2 + _HALF_UNLIKE**2)
    hidden = np.where((depths < 1) & within, unlike - _TOLERATED, 0).astype(np.float32)
    if probabilities is not None:
        unusable = _NETWORK_WEIGHT * (0.5 - probabilities.at(USABLE, across, down))
        hidden += np.where(depths < 1, unusable, 0).astype(np.float32)
    hidden[(depths < 1) & ~within] = 1 - _TOLERATED
    middle = GRID // 2 + int(0.25 * GRID)
    upper = best_path(np.cumsum(hidden[:middle], axis=0).T.copy(), _BEND)
    lower = best_path(np.cumsum(hidden[: GRID // 2 - int(0.1 * GRID) : -1], axis=0).T.copy(), _BEND)
    step = y[1] - y[0]
    above = ndimage.gaussian_filter1d(y[0] + upper * step, 2.0, mode="nearest")
    below = ndimage.gaussian_filter1d(y[-1] - lower * step, 2.0, mode="nearest")
    return Lids(x.astype(np.float32), above.astype(np.float32), below.astype(np.float32))


def usable_pixels(
    logs: Image, glare: Image, pupil: Boundary, limbus: Boundary, lids: Lids, appearance: Appearance
) -> Bools:
    """The pixels that show the iris, bool [h, w]."""
    height, width = logs.shape
    usable = np.zeros((height, width), dtype=bool)
    size = float(limbus.radii.max()) + 2
    left, right = max(0, int(limbus.x - size)), min(width, int(limbus.x + size) + 2)
    top, bottom = max(0, int(limbus.y - size)), min(height, int(limbus.y + size) + 2)
    if left >= right or top >= bottom:
        return usable
    across, down = np.arange(left, right, dtype=np.float32)[None, :], np.arange(top, bottom, dtype=np.float32)[:, None]
    part = (slice(top, bottom), slice(left, right))
    depths = depth(across, down, pupil, limbus)
    margin = 0.02 * limbus.mean_radius
    ring = (depths > 0) & (depths < 1) & lids.open_at(across, down, margin) & (glare[part] == 0)
    deviation = standard_deviations(logs[part], depths, appearance)
    usable[part] = ring & ~_lashes(deviation, down, across, lids, limbus.mean_radius) & (deviation < _SKIN)
    return usable


def _lashes(deviation: Floats, down: Floats, across: Floats, lids: Lids, radius: float) -> Bools:
    """The pixels near the upper lid that are far darker than the iris."""
    near = down < np.interp(across, lids.x, lids.upper) + 0.6 * radius
    dark = (deviation < -_LASH) & near
    return maximum_filter(dark, 3)
