"""Renders the impression of a finger: placement on the sensor, distortion of the skin, image of the sensor.

The skin sticks where the pressure is highest and slides with the finger around that area (after Cappelli, Maio and
Maltoni, "Modelling plastic distortion in fingerprint images", 2001). Lengths are millimetres on the sensor unless
another unit is given.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.special import expit

from simulators.people.fingerprint import SKIN_PPI, Skin
from simulators.people.ridge_flow import Field, smooth_noise


class Condition(StrEnum):
    """How a finger touches the sensor. The values are words of the command line."""

    NORMAL = "normal"
    DRY = "dry"
    WET = "wet"
    PARTIAL = "partial"
    LIGHT = "light"
    HEAVY = "heavy"
    UNREADABLE = "unreadable"


Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Traits:
    """The ranges from which one touch is drawn."""

    width: Range = (-0.10, 0.12)  # ridges thinner (-) or thicker (+) than valleys, in units of the ridge wave
    relief: Range = (0.9, 1.0)  # height of the ridges; low for worn skin
    grain: Range = (0.12, 0.25)  # fine unevenness of contact, which breaks ridges into dots
    blotch: Range = (0.10, 0.22)  # areas with better or worse contact
    pores: Range = (0.3, 0.9)
    creases: Range = (0.8, 1.3)
    blur: Range = (0.16, 0.20)  # width of the transition from no contact to full contact, in units of the ridge wave
    ink: Range = (0.80, 0.95)  # darkness of a ridge in full contact
    reach: Range = (0.92, 1.06)  # size of the contact relative to a normal one
    shift: Range = (0.0, 1.8)  # distance from the middle of the sensor, mm
    rotation: float = 7.0  # standard deviation, degrees
    slide: float = 0.55  # displacement of the finger relative to the sticking skin, standard deviation, mm


TRAITS: dict[Condition, Traits] = {
    Condition.NORMAL: Traits(),
    Condition.DRY: Traits(width=(-0.45, -0.2), grain=(0.4, 0.6), blotch=(0.25, 0.4), ink=(0.6, 0.75), pores=(0.6, 1.0)),
    Condition.WET: Traits(width=(0.3, 0.5), grain=(0.08, 0.15), blotch=(0.25, 0.4), ink=(0.9, 0.98), pores=(0.0, 0.2)),
    Condition.PARTIAL: Traits(shift=(5.0, 6.5)),
    Condition.LIGHT: Traits(width=(-0.35, -0.15), reach=(0.72, 0.84), ink=(0.6, 0.75), slide=0.25),
    Condition.HEAVY: Traits(width=(0.2, 0.4), reach=(1.08, 1.2), ink=(0.9, 0.98), pores=(0.1, 0.4), slide=0.9),
}
# Fingers that cannot be read: worn and dry; hardly touching; very wet.
UNREADABLE: tuple[Traits, ...] = (
    Traits(
        width=(-0.4, -0.2),
        relief=(0.10, 0.18),
        grain=(0.22, 0.3),
        blotch=(0.3, 0.45),
        ink=(0.3, 0.45),
        blur=(0.3, 0.45),
    ),
    Traits(width=(-0.5, -0.3), reach=(0.12, 0.18), ink=(0.5, 0.7), shift=(2.0, 5.0)),
    Traits(
        width=(0.5, 0.7),
        relief=(0.06, 0.10),
        grain=(0.10, 0.14),
        blotch=(0.4, 0.6),
        creases=(0.0, 0.2),
        blur=(0.25, 0.35),
    ),
)
# The mixture for touches without a given condition.
_USUAL = {Condition.NORMAL: 0.6, Condition.DRY: 0.12, Condition.WET: 0.1, Condition.LIGHT: 0.09, Condition.HEAVY: 0.09}

_COARSE = 0.5  # grid of the low-resolution fields of a touch, mm
_FIELD = (80, 72)  # its size: 40 by 36 mm, larger than any sensor here
_FINE_ENOUGH = 400.0  # pixels per inch; for a lower resolution, a pixel is the mean of several finer ones


@dataclass(frozen=True, slots=True)
class Touch:
    """One placement of a finger, drawn from Traits: numbers, then fields f32 on the coarse grid."""

    width: float
    relief: float
    grain: float
    pores: float
    creases: float
    blur: float
    ink: float
    reach: float
    shift: tuple[float, float]
    rotation: float
    push: tuple[float, float]
    twist: float
    patches: Field
    give: Field  # [2, h, w], mm
    outline: Field


def traits_of(condition: Condition | None, rng: Generator, n: int) -> Traits:
    """The ranges of a condition; None draws a usual condition at random."""
    if condition is Condition.UNREADABLE:
        return UNREADABLE[n % len(UNREADABLE)]
    if condition is None:
        condition = list(_USUAL)[int(rng.choice(len(_USUAL), p=list(_USUAL.values())))]
    return TRAITS[condition]


def draw_touch(rng: Generator, traits: Traits) -> Touch:
    """Draw one placement. The coarse fields are drawn here, in millimetres, so every sensor sees the same touch."""
    distance, bearing = rng.uniform(*traits.shift), rng.uniform(0, 2 * np.pi)
    push = traits.slide * rng.standard_normal(2)
    ranges = (
        traits.width,
        traits.relief,
        traits.grain,
        traits.pores,
        traits.creases,
        traits.blur,
        traits.ink,
        traits.reach,
    )
    width, relief, grain, pores, creases, blur, ink, reach = (float(rng.uniform(*each)) for each in ranges)
    patches = smooth_noise(rng, _FIELD, 2.6) * rng.uniform(*traits.blotch)
    give = np.stack([0.11 * smooth_noise(rng, _FIELD, 6.0) for _ in range(2)])
    return Touch(
        *(width, relief, grain, pores, creases, blur, ink, reach),
        shift=(distance * np.cos(bearing), distance * np.sin(bearing)),
        rotation=float(np.clip(rng.normal(0.0, np.radians(traits.rotation)), -0.45, 0.45)),
        push=(float(push[0]), float(push[1])),
        twist=float(np.clip(rng.normal(0.0, 0.05), -0.12, 0.12)),
        patches=patches,
        give=give,
        outline=0.03 * smooth_noise(rng, _FIELD, 5.0) + 0.015 * smooth_noise(rng, _FIELD, 1.5),
    )


def _sensor_points(width: int, height: int, pitch: float) -> tuple[Field, Field]:
    """The position of each pixel in millimetres from the middle of the sensor: x [1, w] to the right, y [h, 1] up."""
    x = (np.arange(width, dtype=np.float32) - (width - 1) / 2) * pitch
    y = ((height - 1) / 2 - np.arange(height, dtype=np.float32)) * pitch
    return x[None, :].astype(np.float32), y[:, None].astype(np.float32)


def _at(field: Field, x: Field, y: Field) -> Field:
    """A coarse field at the given points (mm)."""
    rows = field.shape[0] / 2 - y / _COARSE
    columns = field.shape[1] / 2 + x / _COARSE
    points = np.stack(np.broadcast_arrays(rows, columns))
    return np.asarray(map_coordinates(field, points, order=1, mode="nearest"), dtype=np.float32)


def _edge(x: Field, y: Field, half_axes: tuple[float, float]) -> Field:
    """0 in the middle of the contact, 1 on its outline: an ellipse, more rectangular towards the joint."""
    u, v = np.abs(x) / half_axes[0], y / half_axes[1]
    power = np.where(v > 0, 2.3, 3.0)
    return np.asarray((u**power + np.abs(v) ** power) ** (1 / power), dtype=np.float32)


def _undistorted(touch: Touch, x: Field, y: Field, edge: Field) -> tuple[Field, Field]:
    """The coordinates, on undistorted skin, of the skin that is at each point."""
    brake = 0.5 - 0.5 * np.cos(np.pi * np.clip((edge - 0.25) / 0.9, 0.0, 1.0))
    pull_x = touch.push[0] - touch.twist * y
    pull_y = touch.push[1] + touch.twist * x
    return x + brake * pull_x + _at(touch.give[0], x, y), y + brake * pull_y + _at(touch.give[1], x, y)


def _layer(layer: Field, x: Field, y: Field) -> Field:
    per_mm = SKIN_PPI / 25.4
    at = np.stack(((layer.shape[0] - 1) / 2 - y * per_mm, (layer.shape[1] - 1) / 2 + x * per_mm))
    return np.asarray(map_coordinates(layer, at, order=1, mode="constant", cval=-1.0), dtype=np.float32)


def _contact(rng: Generator, skin: Skin, touch: Touch, x: Field, y: Field) -> Field:
    """The contact of the skin at each point of the sensor, 0 to 1. `x` and `y` are on the finger, before distortion."""
    axes = skin.half_axes[0] * touch.reach, skin.half_axes[1] * touch.reach
    pitch = float(np.hypot(x[0, 1] - x[0, 0], y[0, 1] - y[0, 0]))
    edge = _edge(x, y, axes)
    skin_x, skin_y = _undistorted(touch, x, y, edge)
    ragged = edge + _at(touch.outline, x, y)
    press = touch.width + _at(touch.patches, x, y) - 0.10 - 2.2 * np.clip(ragged - 0.86, 0.0, 2.0) / 0.14
    press = press + 0.25 * (1 - np.clip(ragged, 0.0, 1.0) ** 2)
    height = touch.relief * _layer(skin.ridges, skin_x, skin_y) + press
    height = height + touch.grain * smooth_noise(rng, x.shape, 0.075 / pitch)
    holes = 1.1 * touch.pores * np.clip(_layer(skin.pores, skin_x, skin_y), 0, 1)
    holes = holes + 2.4 * touch.creases * np.clip(_layer(skin.creases, skin_x, skin_y), 0, 1)
    depth = height - holes
    firm = 0.72 + 0.28 * np.clip(depth, 0.0, 1.0)  # more pressure makes a crest darker
    return np.asarray(expit(depth / touch.blur) * firm, dtype=np.float32)


def _background(rng: Generator, x: Field, y: Field) -> Field:
    """The image of an empty sensor: light, brighter in the middle, with faint stains of earlier fingers."""
    stain = 5.0 * _at(smooth_noise(rng, _FIELD, 5.0), x, y) + 1.5 * _at(smooth_noise(rng, _FIELD, 0.8), x, y)
    fall = rng.uniform(0.0, 0.10) * (x * x + y * y)
    return np.asarray(rng.uniform(218, 238) - fall + stain, dtype=np.float32)


def _seen(rng: Generator, contact: Field, paper: Field, ink: float, pitch: float) -> NDArray[np.float32]:
    """Grey levels: the optics blur, moist skin makes the valleys grey, the sensor adds noise."""
    blurred = gaussian_filter(contact, 0.035 / pitch)
    halo = gaussian_filter(contact, 0.45 / pitch)
    uneven = 1.0 + 0.05 * smooth_noise(rng, contact.shape, 0.09 / pitch)
    grey = paper * (1.0 - ink * blurred * uneven) * (1.0 - 0.14 * halo)
    return np.asarray(grey + rng.normal(0.0, rng.uniform(1.5, 4.0), grey.shape), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Window:
    """The image area of a sensor: width and height in pixels, and pixels per inch."""

    width: int
    height: int
    ppi: float


def press(rng: Generator, skin: Skin, touch: Touch, window: Window) -> NDArray[np.uint8]:
    """The image u8[height, width] that a sensor takes of one touch."""
    finer = int(np.ceil(_FINE_ENOUGH / window.ppi))
    grey = _image(rng, skin, touch, Window(window.width * finer, window.height * finer, window.ppi * finer))
    blocks = grey.reshape(window.height, finer, window.width, finer)
    return np.asarray(np.clip(np.rint(blocks.mean(axis=(1, 3))), 0, 255), dtype=np.uint8)


def _image(rng: Generator, skin: Skin, touch: Touch, window: Window) -> Field:
    """Grey levels f32[height, width]."""
    pitch = 25.4 / window.ppi
    x, y = _sensor_points(window.width, window.height, pitch)
    across, up = x - touch.shift[0], y - touch.shift[1]
    cos, sin = np.cos(touch.rotation), np.sin(touch.rotation)
    finger_x, finger_y = (cos * across + sin * up).astype(np.float32), (cos * up - sin * across).astype(np.float32)
    contact = _contact(rng, skin, touch, finger_x, finger_y)
    return _seen(rng, contact, _background(rng, x, y), touch.ink, pitch)
