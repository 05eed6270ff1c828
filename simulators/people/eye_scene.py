"""The parameters of a synthetic eye image: the anatomy of the eye, and one presentation of it to the camera.

Lengths are in millimetres on the eye, x to the right of the image, y down, from the middle of the iris.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.random import Generator

IRIS_MM = 5.9  # radius of an adult's iris


class EyeCondition(StrEnum):
    """Conditions of a presentation. The values are words of the command line."""

    NORMAL = "normal"
    HALF_CLOSED = "half_closed"
    CLOSED = "closed"
    DILATED = "dilated"
    CONSTRICTED = "constricted"
    AWAY = "away"  # gaze away from the camera
    BLURRED = "blurred"
    MOVING = "moving"
    GLASSES = "glasses"
    FAR = "far"
    NEAR = "near"
    DARK = "dark"


@dataclass(frozen=True, slots=True)
class Anatomy:
    """The properties of an eye that are the same in every presentation."""

    radius: float  # radius of the iris
    pupil_offset: tuple[float, float]
    pupil_waves: tuple[complex, ...]  # waves of the pupil's outline, as shares of its radius
    iris_light: float
    contrast: float  # contrast of the iris texture
    limbus_width: float  # over which iris becomes sclera
    sclera_light: float
    skin_light: float
    half_width: float  # half the width of the opening between the lids
    upper: float  # height of the upper lid above the middle, wide open
    lower: float
    slant: float
    lashes: int
    lash_length: float
    lash_hang: float  # 1: they hang over the eye; -1: they turn up
    lash_light: float
    brow: float  # height of the eyebrow
    brow_hairs: int
    brow_shade: float  # how much darker the skin below it is
    nose: int  # 1 if the nose is on the right of the image, -1 if on the left
    peak: float  # where the opening between the lids is widest, a share of its half width
    roots: float  # how much the lash roots darken the edges of the lids
    mottle: float  # unevenness of the skin
    shine: float  # brightness of the pores of the skin
    iris_fall: float  # how much darker the iris is at the limbus
    glasses: bool


@dataclass(frozen=True, slots=True)
class Presentation:
    """The properties of one presentation of an eye."""

    pupil: float  # radius as a share of the iris
    iris_px: float  # radius in pixels of a frame 480 high
    x: float  # position of the iris in the frame: shares of the frame's size from its middle
    y: float
    roll: float  # radians
    gaze: tuple[float, float]  # radians, right and down
    opening: float  # 0 closed, 1 as wide as it goes
    highlights: tuple[tuple[float, float, float, float], ...]  # x, y, radius, light 0..1
    tears: int  # wet spots that shine
    pupil_light: float  # relative to the iris
    shadow: float  # darkness of the side of the face that is turned away
    lid_shadow: float
    ball_fall: float  # how much darker the corners of the eye are than its brightest point
    ball_side: float  # where that brightest point is, a share of the eye's half width
    glare: int  # number of reflections in glasses
    light: float
    gradient: tuple[float, float]
    focus_px: float  # blur
    motion_px: tuple[float, float]
    noise: float  # grey levels


def draw_anatomy(rng: Generator, nose: int) -> Anatomy:
    """Draw an eye at random; `nose` is 1 if the nose is on the right of the image, -1 if on the left."""
    iris_light = float(rng.uniform(0.22, 0.60))
    sclera_light = min(iris_light / float(0.97 - 0.55 * rng.uniform() ** 0.6), 0.85)
    radius = float(IRIS_MM * rng.normal(1, 0.03))
    offset = (float(rng.normal(0, 0.02) * radius), float(rng.normal(0, 0.02) * radius))
    waves = tuple(complex(*rng.normal(0, 0.010 / k, 2)) for k in range(2, 6))
    return Anatomy(
        radius=radius,
        pupil_offset=offset,
        pupil_waves=waves,
        iris_light=iris_light,
        contrast=float(rng.uniform(0.08, 0.28)),
        limbus_width=float(0.2 + 0.8 * rng.uniform() ** 2),
        sclera_light=sclera_light,
        skin_light=sclera_light * float(rng.uniform(0.75, 1.9)),
        half_width=float(rng.uniform(12.5, 16.0)),
        upper=float(rng.uniform(3.9, 6.6)),
        lower=float(rng.uniform(4.8, 6.8)),
        slant=float(rng.normal(0.0, 0.05)),
        lashes=int(rng.integers(40, 260)),
        lash_length=float(rng.uniform(3.0, 8.5)),
        lash_hang=float(rng.uniform(-0.6, 1.0)),
        lash_light=float(rng.uniform(0.06, 0.35)),
        brow=float(rng.uniform(12.0, 26.0)),
        brow_hairs=int(rng.integers(200, 700)) * int(rng.random() < 0.6),
        brow_shade=float(rng.uniform(0.0, 0.6)),
        nose=nose,
        peak=float(rng.normal(0.08 * nose, 0.10)),
        roots=float(rng.uniform(0.0, 1.0)),
        mottle=float(rng.uniform(0.04, 0.16)),
        shine=float(rng.uniform(0.0, 0.5)),
        iris_fall=float(rng.uniform(0.05, 0.35)),
        glasses=bool(rng.random() < 0.15),
    )


def draw_presentation(rng: Generator, anatomy: Anatomy, condition: EyeCondition | None) -> Presentation:
    """Draw a presentation at random. Without a condition it is mostly normal, sometimes each of the others."""
    if condition is None:
        condition = EyeCondition(rng.choice(list(EyeCondition), p=_HABITS))
    traits = _TRAITS[condition]
    gaze_spread = 0.34 if condition is EyeCondition.AWAY else 0.06
    return Presentation(
        pupil=float(np.clip(rng.normal(*traits.pupil), 0.16, 0.72)),
        iris_px=float(rng.uniform(*traits.iris_px)),
        x=float(rng.normal(0, 0.07)),
        y=float(rng.normal(0, 0.07)),
        roll=float(rng.normal(0, 0.09)),
        gaze=(float(rng.normal(0, gaze_spread)), float(rng.normal(0, gaze_spread))),
        opening=float(np.clip(rng.normal(*traits.opening), 0, 1.1)) if traits.opening[0] else 0.0,
        highlights=_highlights(rng, anatomy),
        glare=int(rng.integers(1, 4)) if traits.glasses or (anatomy.glasses and rng.random() < 0.3) else 0,
        tears=int(rng.poisson(rng.choice([0.0, 1.0, 6.0]))),
        pupil_light=float(rng.uniform(0.08, 0.36)),
        shadow=float(rng.uniform(0.0, 0.8) * (rng.random() < 0.4)),
        lid_shadow=float(rng.uniform(0.0, 0.45)),
        ball_fall=float(rng.uniform(0.05, 0.5)),
        ball_side=float(rng.normal(0, 0.3)),
        light=float(rng.uniform(*traits.light)),
        gradient=(float(rng.normal(0, 0.15)), float(rng.normal(0, 0.12))),
        focus_px=float(rng.uniform(*traits.focus_px)),
        motion_px=_motion(rng, traits.motion_px),
        noise=float(rng.uniform(0.8, 4.5)),
    )


@dataclass(frozen=True, slots=True)
class _Traits:
    """The ranges of a condition; (mean, standard deviation) for pupil and opening."""

    pupil: tuple[float, float] = (0.38, 0.07)
    iris_px: tuple[float, float] = (75, 190)
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
    EyeCondition.NEAR: _Traits(iris_px=(190, 220)),
    EyeCondition.DARK: _Traits(light=(0.30, 0.5)),
}

_HABITS = [0.45, 0.10, 0.0, 0.07, 0.06, 0.05, 0.04, 0.04, 0.06, 0.06, 0.04, 0.03]


def _motion(rng: Generator, size: float) -> tuple[float, float]:
    angle, length = rng.uniform(0, 2 * np.pi), abs(rng.normal(size, size / 3))
    return float(length * np.cos(angle)), float(length * np.sin(angle))


def _highlights(rng: Generator, anatomy: Anatomy) -> tuple[tuple[float, float, float, float], ...]:
    """Reflections of the light sources in the cornea: a ring, a pair or a single one, near the pupil."""
    count, spread, size = ((8, 0.75, 0.15), (4, 0.9, 0.18), (2, 1.2, 0.24), (1, 1.1, 0.36))[
        int(rng.choice(4, p=_LAMPS))
    ]
    x, y = rng.normal(0, 0.10 * anatomy.radius, 2)
    if count == 1:
        return _single(rng, x + rng.normal(0, spread), y + rng.normal(0, spread), rng.uniform(0.4, 1.3) * size)
    ring, radius, rotation = spread * rng.uniform(0.7, 1.3), size * rng.uniform(0.6, 1.4), rng.uniform(0, 2 * np.pi)
    lamps = _ring((x, y), ring, radius, count, rotation, 1.0)
    faint = float(rng.uniform(0.03, 0.3)) * (rng.random() < 0.5)  # the second reflection, in the lens
    return lamps + _ring((x, y), ring * rng.uniform(1.3, 1.9), radius * 0.6, count, rotation, faint) if faint else lamps


def _ring(
    middle: tuple[float, float], ring: float, radius: float, count: int, rotation: float, light: float
) -> tuple[tuple[float, float, float, float], ...]:
    angles = rotation + np.arange(count) * 2 * np.pi / count
    x, y = middle
    return tuple((float(x + ring * np.cos(a)), float(y + ring * np.sin(a)), float(radius), light) for a in angles)


def _single(rng: Generator, x: float, y: float, radius: float) -> tuple[tuple[float, float, float, float], ...]:
    """A lamp that is not round: a few overlapping discs."""
    offsets = rng.normal(0, 0.7 * radius, (int(rng.integers(0, 3)), 2))
    lamps = [(float(x + dx), float(y + dy), float(radius * rng.uniform(0.4, 0.9)), 1.0) for dx, dy in offsets]
    return ((float(x), float(y), float(radius), 1.0), *lamps)


_LAMPS = [0.35, 0.15, 0.25, 0.25]
