"""What a camera has in front of it when a synthetic person looks: the eye's build, and one moment of it, in numbers.

Lengths are in millimetres on the eye, x towards the right of the picture, y down, from the middle of the iris.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.random import Generator

IRIS_MM = 5.9  # radius of an adult's iris


class EyeCondition(StrEnum):
    """What may be the matter with a look."""

    NORMAL = "normal"
    HALF_CLOSED = "half_closed"
    CLOSED = "closed"
    DILATED = "dilated"
    CONSTRICTED = "constricted"
    AWAY = "away"  # looks elsewhere
    BLURRED = "blurred"
    MOVING = "moving"
    GLASSES = "glasses"
    FAR = "far"
    NEAR = "near"
    DARK = "dark"


@dataclass(frozen=True, slots=True)
class Build:
    """What an eye is like whenever it looks."""

    radius: float  # of the iris
    pupil_offset: tuple[float, float]
    pupil_waves: tuple[complex, ...]  # of the pupil's outline, as shares of its radius
    iris_light: float
    contrast: float  # of its texture
    limbus_width: float  # over which iris becomes sclera
    sclera_light: float
    skin_light: float
    half_width: float  # of the opening between the lids
    upper: float  # height of the upper lid above the middle, wide open
    lower: float
    slant: float
    lashes: int
    lash_length: float
    lash_hang: float  # 1: they hang over the eye; -1: they turn up
    lash_light: float
    brow: float  # height of the eyebrow
    glasses: bool


@dataclass(frozen=True, slots=True)
class Moment:
    """One look of it."""

    pupil: float  # radius as a share of the iris
    iris_px: float  # radius in pixels of a frame 480 high
    x: float  # where the iris is in the frame: shares of its size from the middle
    y: float
    roll: float  # radians
    gaze: tuple[float, float]  # radians, right and down
    opening: float  # 0 closed, 1 as wide as it goes
    highlights: tuple[tuple[float, float, float], ...]  # x, y, radius
    glare: int  # spots of a pair of glasses
    light: float
    gradient: tuple[float, float]
    focus_px: float  # blur
    motion_px: tuple[float, float]
    noise: float  # grey levels


def draw_build(rng: Generator) -> Build:
    """Another eye."""
    radius = float(IRIS_MM * rng.normal(1, 0.03))
    offset = (float(rng.normal(0, 0.02) * radius), float(rng.normal(0, 0.02) * radius))
    waves = tuple(complex(*rng.normal(0, 0.010 / k, 2)) for k in range(2, 6))
    return Build(
        radius=radius,
        pupil_offset=offset,
        pupil_waves=waves,
        iris_light=float(rng.uniform(0.24, 0.62)),
        contrast=float(rng.uniform(0.10, 0.40)),
        limbus_width=float(rng.uniform(0.2, 0.8)),
        sclera_light=float(rng.uniform(0.50, 1.0)),
        skin_light=float(rng.uniform(0.40, 1.2)),
        half_width=float(rng.uniform(12.5, 16.0)),
        upper=float(rng.uniform(3.9, 6.6)),
        lower=float(rng.uniform(4.8, 6.8)),
        slant=float(rng.normal(0.0, 0.05)),
        lashes=int(rng.integers(40, 160)),
        lash_length=float(rng.uniform(3.0, 8.5)),
        lash_hang=float(rng.uniform(-0.6, 1.0)),
        lash_light=float(rng.uniform(0.06, 0.35)),
        brow=float(rng.uniform(14.0, 30.0)),
        glasses=bool(rng.random() < 0.15),
    )


def draw_moment(rng: Generator, build: Build, condition: EyeCondition | None) -> Moment:
    """Another look. Without a condition it is what people do: mostly well, at times each of the rest."""
    if condition is None:
        condition = EyeCondition(rng.choice(list(EyeCondition), p=_HABITS))
    traits = _TRAITS[condition]
    gaze_spread = 0.34 if condition is EyeCondition.AWAY else 0.06
    return Moment(
        pupil=float(np.clip(rng.normal(*traits.pupil), 0.16, 0.72)),
        iris_px=float(rng.uniform(*traits.iris_px)),
        x=float(rng.normal(0, 0.07)),
        y=float(rng.normal(0, 0.07)),
        roll=float(rng.normal(0, 0.09)),
        gaze=(float(rng.normal(0, gaze_spread)), float(rng.normal(0, gaze_spread))),
        opening=float(np.clip(rng.normal(*traits.opening), 0, 1.1)) if traits.opening[0] else 0.0,
        highlights=_highlights(rng, build),
        glare=int(rng.integers(1, 4)) if traits.glasses or (build.glasses and rng.random() < 0.7) else 0,
        light=float(rng.uniform(*traits.light)),
        gradient=(float(rng.normal(0, 0.15)), float(rng.normal(0, 0.12))),
        focus_px=float(rng.uniform(*traits.focus_px)),
        motion_px=_motion(rng, traits.motion_px),
        noise=float(rng.uniform(0.8, 4.5)),
    )


@dataclass(frozen=True, slots=True)
class _Traits:
    """Ranges of a condition; (mean, spread) for pupil and opening."""

    pupil: tuple[float, float] = (0.38, 0.07)
    iris_px: tuple[float, float] = (75, 180)
    opening: tuple[float, float] = (0.92, 0.08)
    focus_px: tuple[float, float] = (0.3, 1.1)
    motion_px: float = 0.4
    light: tuple[float, float] = (0.8, 1.15)
    glasses: bool = False


_TRAITS = {
    EyeCondition.NORMAL: _Traits(),
    EyeCondition.HALF_CLOSED: _Traits(opening=(0.45, 0.1)),
    EyeCondition.CLOSED: _Traits(opening=(0.0, 0.0)),
    EyeCondition.DILATED: _Traits(pupil=(0.60, 0.05)),
    EyeCondition.CONSTRICTED: _Traits(pupil=(0.23, 0.03)),
    EyeCondition.AWAY: _Traits(),
    EyeCondition.BLURRED: _Traits(focus_px=(2.5, 5.0)),
    EyeCondition.MOVING: _Traits(motion_px=7.0),
    EyeCondition.GLASSES: _Traits(glasses=True),
    EyeCondition.FAR: _Traits(iris_px=(40, 65)),
    EyeCondition.NEAR: _Traits(iris_px=(180, 215)),
    EyeCondition.DARK: _Traits(light=(0.30, 0.5)),
}

_HABITS = [0.45, 0.10, 0.0, 0.07, 0.06, 0.05, 0.04, 0.04, 0.06, 0.06, 0.04, 0.03]


def _motion(rng: Generator, size: float) -> tuple[float, float]:
    angle, length = rng.uniform(0, 2 * np.pi), abs(rng.normal(size, size / 3))
    return float(length * np.cos(angle)), float(length * np.sin(angle))


def _highlights(rng: Generator, build: Build) -> tuple[tuple[float, float, float], ...]:
    """The light sources, mirrored by the cornea: a ring, a pair or a single one, near the pupil."""
    count, spread, size = ((8, 1.1, 0.26), (4, 1.0, 0.24), (2, 1.4, 0.35), (1, 1.2, 0.5))[int(rng.choice(4, p=_LAMPS))]
    x, y = rng.normal(0, 0.10 * build.radius, 2)
    if count == 1:
        return (
            (float(x + rng.normal(0, spread)), float(y + rng.normal(0, spread)), float(rng.uniform(0.5, 1.3) * size)),
        )
    turn = rng.uniform(0, 2 * np.pi)
    angles = turn + np.arange(count) * 2 * np.pi / count
    ring = spread * rng.uniform(0.7, 1.3)
    radius = size * rng.uniform(0.7, 1.4)
    return tuple((float(x + ring * np.cos(a)), float(y + ring * np.sin(a)), float(radius)) for a in angles)


_LAMPS = [0.35, 0.15, 0.25, 0.25]
