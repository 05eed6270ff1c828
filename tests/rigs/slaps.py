"""Pictures of several synthetic fingers, and of one finger with what is not another one."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from drivers.sample import Position
from simulators.people.person import Condition, Person

Picture = NDArray[np.uint8]

PAPER = 228  # grey of an empty window
INK = 150  # grey; ridges are darker
RIGHT_HAND = (Position.RIGHT_INDEX, Position.RIGHT_MIDDLE, Position.RIGHT_RING, Position.RIGHT_LITTLE)
THUMBS = (Position.LEFT_THUMB, Position.RIGHT_THUMB)


def print_of(seed: int, position: Position, condition: Condition = Condition.NORMAL) -> Picture:
    """A whole print of one finger, on a window of 400x520 pixels at 500 ppi."""
    return Person(seed).finger(position).impression(0, 400, 520, condition=condition)


def slap(seed: int, positions: Sequence[Position], gap: int, tilt: float = 0.0, turn: float = 0.0) -> Picture:
    """Fingers side by side, with at least `gap` pixels between them, each tilted (degrees), the whole turned."""
    prints = [
        _turned(print_of(seed, position), tilt if number % 2 else -tilt) for number, position in enumerate(positions)
    ]
    cut = [
        one[:, columns.min() : columns.max() + 1] for one in prints for columns in [np.flatnonzero(_ink(one).any(0))]
    ]
    height = max(one.shape[0] for one in cut)
    space = np.full((height, gap), PAPER, np.uint8)
    parts = [space]
    for one in cut:
        above = (height - one.shape[0]) // 2
        rows = ((above, height - one.shape[0] - above), (0, 0))
        parts += [np.pad(one, rows, constant_values=PAPER), space]
    return _turned(np.hstack(parts), turn)


def _ink(picture: Picture) -> NDArray[np.bool_]:
    ink: NDArray[np.bool_] = ndimage.uniform_filter((picture < INK).astype(np.float32), 9) > 0.2
    return ink


def _turned(picture: Picture, degrees: float) -> Picture:
    if not degrees:
        return picture
    return np.asarray(ndimage.rotate(picture, degrees, order=1, cval=PAPER), np.uint8)


def with_band(picture: Picture, width: int, degrees: float) -> Picture:
    """The picture with a bare band through its middle: a deep crease, a scar or a dry place."""
    height, length = picture.shape
    y, x = np.mgrid[:height, :length]
    angle = np.radians(degrees)
    distance = (x - length / 2) * np.cos(angle) + (y - height / 2) * np.sin(angle) + 3 * np.sin(y / 25)
    return np.asarray(np.where(np.abs(distance) < width / 2, np.uint8(PAPER), picture), np.uint8)


def with_ghost(picture: Picture, ghost: Picture, contrast: float, aside: int) -> Picture:
    """The picture on a window with a faint earlier print, `aside` pixels to the right of it."""
    wide = np.pad(picture, ((0, 0), (0, aside)), constant_values=PAPER).astype(np.float32)
    faint = np.pad(ghost, ((0, 0), (aside, 0)), constant_values=PAPER).astype(np.float32)
    return np.clip(wide - contrast * (PAPER - faint), 0, 255).astype(np.uint8)


def with_smears(picture: Picture, seed: int, strength: float) -> Picture:
    """The picture on a window that was wiped with a dirty cloth: long streaks and stains."""
    rng = np.random.default_rng(seed)
    streaks = ndimage.gaussian_filter(rng.normal(0, 1, picture.shape), (2, 40))
    stains = ndimage.gaussian_filter(rng.normal(0, 1, picture.shape), 12)
    dirt = streaks / streaks.std() + stains / stains.std()
    return np.asarray(np.clip(picture - strength * np.abs(dirt), 0, 255), np.uint8)
