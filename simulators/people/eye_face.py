"""What is around a synthetic eyeball: lids, skin, lashes, brow, and the rim that is wet or black with roots."""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from simulators.people.eye_fields import Plane, bump, clouds, shares, soft
from simulators.people.eye_scene import Build, Moment

Points = NDArray[np.floating]
ROOTS_MM = 0.35  # from the edge of a lid, over which the roots of the lashes darken it
WET_MM = 0.2
STEPS = 6  # points of a strand


def lids(build: Build, moment: Moment, fx: Plane) -> tuple[Plane, Plane]:
    """Heights (y) of the upper and lower lid at places along the eye; equal where it is closed."""
    along = np.clip(fx / np.float32(build.half_width), -1, 1)
    bow = np.clip(1 - (along - build.peak * (1 - along**2)) ** 2, 0, None) ** 0.75
    meet = 0.65 * build.lower  # a lid that closes is mostly the upper one
    parted = min(1.0, moment.opening * 3)
    lowest = build.lower * (0.75 + 0.25 * moment.opening)
    upper = build.slant * fx - (build.upper * moment.opening - meet * (1 - moment.opening)) * bow
    lower = build.slant * fx + (lowest * parted + meet * (1 - parted)) * bow
    return np.asarray(upper, np.float32), np.asarray(lower, np.float32)


def opening(build: Build, moment: Moment, fx: Plane, fy: Plane, scale: float) -> tuple[Plane, tuple[Plane, Plane]]:
    """How much of each pixel is eyeball, and its distance in mm below the upper and above the lower lid."""
    upper, lower = lids(build, moment, fx)
    below, above = fy - upper, lower - fy
    share = soft(-np.minimum(below, above), 2.8 / scale) * (np.abs(fx) < build.half_width)
    return np.asarray(share, np.float32), (below, above)


def rim(build: Build, fx: Plane, edge: tuple[Plane, Plane]) -> Plane:
    """How dark the roots of the lashes make each pixel, 0..1: most at the upper lid, towards the temple."""
    along = np.clip(1 + 0.5 * build.nose * fx / np.float32(build.half_width), 0, 1.5)
    upper, lower = (bump(np.clip(distance + 0.1, -2, 2), ROOTS_MM) for distance in edge)
    within = np.abs(fx) < build.half_width
    return np.asarray(build.roots * along * np.maximum(upper, 0.45 * lower) * within, np.float32)


def skin(rng: Generator, build: Build, moment: Moment, fx: Plane, fy: Plane, edge: tuple[Plane, Plane]) -> Plane:
    """Lids with a fold, wrinkles along them, pores, a moist rim, the shadows of brow and nose."""
    height, width = fx.shape
    broad, pores = clouds(rng, height, width, height / 7), clouds(rng, height, width, 1.0)
    creases = clouds(rng, height, width, height / 30)
    above, below = -edge[0], -edge[1]
    within = soft(np.abs(fx) - np.float32(build.half_width + 1), 3.0)  # past the corners of the eye there are no lids
    fold = within * bump(above - rng.uniform(1.5, 5.0), rng.uniform(0.25, 0.9)) * rng.uniform(0.0, 0.4)
    wrinkled = np.sin(np.minimum(above, below) * rng.uniform(2, 4) + 4 * broad + 2 * creases)
    lines = rng.uniform(0, 0.2) * np.clip(wrinkled - 0.3, 0, 1) * np.clip(creases + 0.3, 0, 1)
    moist = 0.12 * within * bump(np.minimum(np.abs(above), np.abs(below)), 0.4)
    shine = build.shine * np.clip(pores - 1.2, 0, 1) * np.clip(broad, 0, 1.5)
    look = (1 + build.mottle * broad + 0.03 * pores) * (1 - fold - lines) + moist + shine
    return np.asarray(build.skin_light * look * _shadows(rng, build, moment, fx, fy), np.float32)


def _shadows(rng: Generator, build: Build, moment: Moment, fx: Plane, fy: Plane) -> Plane:
    """Light on the skin: less beneath the brow and where the face turns away."""
    brow = 1 - build.brow_shade * bump(fy + build.brow - 0.02 * fx**2, 3.0)
    bearing = rng.uniform(0, 2 * np.pi)
    away = fx * np.float32(np.cos(bearing)) + fy * np.float32(np.sin(bearing))
    turned = soft(np.asarray(rng.uniform(8, 22) - away, np.float32), rng.uniform(4, 20))
    return np.asarray(brow * (1 - moment.shadow * turned), np.float32)


def hair(rng: Generator, strands: NDArray[np.float32], scale: float, shape: tuple[int, int]) -> Plane:
    """The share of each pixel of (height, width) that strands [n, k, 2] cover, in pixels, `scale` of them a mm."""
    height, width = shape
    double = Image.new("L", (width * 2, height * 2))
    draw = ImageDraw.Draw(double)
    for strand in (2 * strands).reshape(len(strands), -1).tolist():
        draw.line(strand, fill=int(rng.uniform(120, 255)), width=max(1, round(scale * rng.uniform(0.12, 0.30))))
    return np.asarray(np.clip(shares(double, width, height) * 1.15, 0, 0.95), np.float32)


def strands_of(rng: Generator, build: Build, moment: Moment) -> Points:
    """Every lash and hair of the brow: [strands, STEPS, 2] in mm."""
    lengths = build.lash_length * rng.uniform(0.4, 1.2, build.lashes)
    above = _lashes(rng, build, moment, lengths, upper=True)
    below = _lashes(rng, build, moment, lengths[::3] / 2, upper=False)
    return np.concatenate([above, below, _brow(rng, build)])


def _lashes(rng: Generator, build: Build, moment: Moment, lengths: Points, *, upper: bool) -> Points:
    """Lashes of one lid, from their roots on it."""
    count = len(lengths)
    roots = rng.uniform(-0.95, 0.95, count) * build.half_width
    above, below = lids(build, moment, roots.astype(np.float32))
    steps, long = np.linspace(0, 1, STEPS)[None, :], lengths[:, None]
    outwards = (0.6 * roots / build.half_width + rng.normal(0, 0.25, count))[:, None]
    # Seen from the front a lash comes towards the camera; some hang over the eye, some turn up before the lid.
    hang = np.clip(build.lash_hang + rng.normal(0, 0.25, count), -0.9, 1)[:, None]
    fall = long * (0.35 * steps + (hang - 0.35) * steps**2) if upper else long * (0.3 * steps + 0.5 * steps**2)
    return np.stack([roots[:, None] + long * outwards * steps, (above if upper else below)[:, None] + fall], axis=2)


def _brow(rng: Generator, build: Build) -> Points:
    """Hairs that lie towards the temple."""
    count, steps = build.brow_hairs, np.linspace(0, 1, STEPS)[None, :]
    x = rng.uniform(-1.6, 1.6, (count, 1)) * build.half_width
    y = -build.brow + 0.02 * x**2 + rng.normal(0, 2.2, (count, 1))
    along, up = rng.uniform(3, 6, (count, 1)), rng.uniform(-1, 3, (count, 1))
    return np.stack([x - build.nose * along * steps, y - up * steps], axis=2)


def wet_spots(rng: Generator, build: Build, moment: Moment) -> list[tuple[float, float, float]]:
    """Glints of tears on the lower lid and in the corners: x, y, radius in mm."""
    places = rng.uniform(-0.9, 0.9, moment.tears) * build.half_width
    _, lower = lids(build, moment, places.astype(np.float32))
    return [
        (float(x), float(y + rng.normal(0, 0.2)), float(WET_MM * rng.uniform(0.3, 1.6)))
        for x, y in zip(places, lower, strict=True)
    ]
