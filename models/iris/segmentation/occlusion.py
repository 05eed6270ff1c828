"""What hides the iris between pupil and limbus: lids, lashes, highlights, the border of the image.

The iris at its sides says how an iris looks here, from the pupil outwards. A lid is the line that best parts what looks
so from what does not; lashes are what is far darker near a lid.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from models.iris.segmentation.filters import grown
from models.iris.segmentation.geometry import Bools, Boundary, Floats, spread
from models.iris.segmentation.network import USABLE, Chances
from models.iris.segmentation.polar import Image, best_path, sample

GRID = 72  # points along each side of the square about the limbus in which lids are sought
_DIRECTIONS = 720  # from which that of a point is taken
_RINGS = 8  # from the pupil to the limbus, in which the look of the iris is measured
_UNLIKE = 2.5  # standard deviations that look half unlike
_TOLERATED = 0.45  # unlikeness of what is still iris
_LASH = 4.0  # standard deviations darker than the iris near a lid: a lash; crypts are less dark
_SKIN = 8.0  # standard deviations brighter than the iris: lid or highlight; the collarette is less bright
_HINTED = 1.0  # weight of the network beside that
_BEND = 0.15  # cost of a step up or down from column to column


class Look(NamedTuple):
    """How the iris looks: the logarithm of its grey in rings outwards, how far it varies, and the grey of the pupil."""

    rings: Floats
    varies: float
    pupil: float


class Lids(NamedTuple):
    """Where the lids end, y for each x, in pixels of the image."""

    x: Floats
    upper: Floats
    lower: Floats

    def open_at(self, x: npt.NDArray[np.floating], y: npt.NDArray[np.floating], margin: float = 0.0) -> Bools:
        """Whether points are between the lids, at least `margin` pixels away from both."""
        above, below = np.interp(x, self.x, self.upper), np.interp(x, self.x, self.lower)
        return np.asarray((y > above + margin) & (y < below - margin))


def depth(x: npt.NDArray[np.floating], y: npt.NDArray[np.floating], pupil: Boundary, limbus: Boundary) -> Floats:
    """How far outwards points are: 0 on the pupil's edge, 1 on the limbus; negative within the pupil."""
    angles = spread(_DIRECTIONS)
    inner = pupil.radius_at(angles)
    outer = limbus.around(pupil.x, pupil.y).radius_at(angles)
    across, down = (x - pupil.x).astype(np.float32), (y - pupil.y).astype(np.float32)
    direction = np.rint(np.arctan2(down, across) * np.float32(_DIRECTIONS / (2 * np.pi))).astype(np.int32) % _DIRECTIONS
    share = 1 / np.maximum(outer - inner, 1)
    return np.asarray(np.hypot(across, down) * share[direction] - (inner * share)[direction], np.float32)


def look_of(logs: Image, glare: Image, pupil: Boundary, limbus: Boundary) -> Look:
    """How the iris looks at its sides and below, where lids seldom are."""
    angles = spread(64)
    angles = angles[np.sin(angles) > -0.35]
    angles = angles[np.sin(angles) < 0.8]
    shares = ((np.arange(_RINGS) + 0.5) / _RINGS)[:, None, None]
    points = pupil.at(angles) * (1 - shares) + limbus.at(angles) * shares
    values, within = sample(logs, points[..., 0], points[..., 1])
    known = within & (sample(glare, points[..., 0], points[..., 1]).values < 0.3)
    seen = np.where(known, values, np.nan)
    rows = zip(values, known, strict=True)
    rings = np.array([np.median(row[part]) if part.sum() > 5 else np.nan for row, part in rows])
    if np.isnan(rings).all():
        return Look(np.zeros(_RINGS, np.float32), 1.0, 0.0)
    rings = np.interp(np.arange(_RINGS), np.flatnonzero(~np.isnan(rings)), rings[~np.isnan(rings)])
    off = np.abs(seen - rings[:, None])
    inside = sample(logs, *(pupil.at(angles) * 0.5 + np.array([pupil.x, pupil.y]) * 0.5).T)
    return Look(rings.astype(np.float32), max(1.4826 * float(np.nanmedian(off)), 0.05), float(np.median(inside.values)))


def strangeness(logs: Floats, depths: Floats, look: Look) -> Floats:
    """How many standard deviations points are brighter (negative: darker) than the iris there, or than the pupil."""
    steps = np.clip(depths * _RINGS - 0.5, 0, _RINGS - 1)
    ring = np.minimum(steps.astype(np.int32), _RINGS - 2)
    expected = look.rings[ring] + (steps - ring) * np.diff(look.rings)[ring]
    rim = np.clip(depths / 0.08 + 0.5, 0, 1)
    within_pupil = np.maximum(logs - np.maximum(look.pupil, look.rings[0]), 0)
    return np.asarray((rim * (logs - expected) + (1 - rim) * within_pupil) / look.varies, dtype=np.float32)


def find_lids(logs: Image, pupil: Boundary, limbus: Boundary, look: Look, chances: Chances | None = None) -> Lids:
    """Both lids over the disc within the limbus; where one hides nothing, it is at the disc's edge."""
    size = 1.04 * float(limbus.radii.max())
    x, y = limbus.x + np.linspace(-size, size, GRID), limbus.y + np.linspace(-size, size, GRID)
    across, down = np.meshgrid(x, y)
    values, within = sample(logs, across, down)
    depths = depth(across, down, pupil, limbus)
    strange = strangeness(values, depths, look)
    unlike = strange**2 / (strange**2 + _UNLIKE**2)
    hidden = np.where((depths < 1) & within, unlike - _TOLERATED, 0).astype(np.float32)
    if chances is not None:
        hidden += np.where(depths < 1, _HINTED * (0.5 - chances.at(USABLE, across, down)), 0).astype(np.float32)
    hidden[(depths < 1) & ~within] = 1 - _TOLERATED
    middle = GRID // 2 + int(0.25 * GRID)
    upper = best_path(np.cumsum(hidden[:middle], axis=0).T.copy(), _BEND)
    lower = best_path(np.cumsum(hidden[: GRID // 2 - int(0.1 * GRID) : -1], axis=0).T.copy(), _BEND)
    step = y[1] - y[0]
    above = ndimage.gaussian_filter1d(y[0] + upper * step, 2.0, mode="nearest")
    below = ndimage.gaussian_filter1d(y[-1] - lower * step, 2.0, mode="nearest")
    return Lids(x.astype(np.float32), above.astype(np.float32), below.astype(np.float32))


def usable_pixels(logs: Image, glare: Image, pupil: Boundary, limbus: Boundary, lids: Lids, look: Look) -> Bools:
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
    strange = strangeness(logs[part], depths, look)
    usable[part] = ring & ~_lashes(strange, down, across, lids, limbus.mean_radius) & (strange < _SKIN)
    return usable


def _lashes(strange: Floats, down: Floats, across: Floats, lids: Lids, radius: float) -> Bools:
    """What is far darker than the iris and near the upper lid."""
    near = down < np.interp(across, lids.x, lids.upper) + 0.6 * radius
    dark = (strange < -_LASH) & near
    return grown(dark, 3)
