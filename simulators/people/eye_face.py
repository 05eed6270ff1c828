"""Draws what surrounds a synthetic eyeball: lids, skin, lashes, eyebrow, and lid edges with tears and lash roots."""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from simulators.people.eye_fields import Plane, bump, clouds, coverage, soft
from simulators.people.eye_scene import Anatomy, Presentation

Points = NDArray[np.floating]
ROOTS_MM = 0.35  # distance from the edge of a lid over which the lash roots darken it
TEAR_MM = 0.2
STEPS = 6  # points of a hair


def lids(anatomy: Anatomy, presentation: Presentation, fx: Plane) -> tuple[Plane, Plane]:
    """The heights (y) of the upper and lower lid at places along the eye; equal where the eye is closed."""
    along = np.clip(fx / np.float32(anatomy.half_width), -1, 1)
    bow = np.clip(1 - (along - anatomy.peak * (1 - along**2)) ** 2, 0, None) ** 0.75
    meet = 0.65 * anatomy.lower  # it is mostly the upper lid that closes
    parted = min(1.0, presentation.opening * 3)
    lowest = anatomy.lower * (0.75 + 0.25 * presentation.opening)
    upper = anatomy.slant * fx - (anatomy.upper * presentation.opening - meet * (1 - presentation.opening)) * bow
    lower = anatomy.slant * fx + (lowest * parted + meet * (1 - parted)) * bow
    return np.asarray(upper, np.float32), np.asarray(lower, np.float32)


def opening(
    anatomy: Anatomy, presentation: Presentation, fx: Plane, fy: Plane, scale: float
) -> tuple[Plane, tuple[Plane, Plane]]:
    """The share of each pixel that is eyeball, and the distances in mm below the upper and above the lower lid."""
    upper, lower = lids(anatomy, presentation, fx)
    below, above = fy - upper, lower - fy
    share = soft(-np.minimum(below, above), 2.8 / scale) * (np.abs(fx) < anatomy.half_width)
    return np.asarray(share, np.float32), (below, above)


def root_shade(anatomy: Anatomy, fx: Plane, edge: tuple[Plane, Plane]) -> Plane:
    """How much the lash roots darken each pixel, 0..1: most at the upper lid, towards the temple."""
    along = np.clip(1 + 0.5 * anatomy.nose * fx / np.float32(anatomy.half_width), 0, 1.5)
    upper, lower = (bump(np.clip(distance + 0.1, -2, 2), ROOTS_MM) for distance in edge)
    within = np.abs(fx) < anatomy.half_width
    return np.asarray(anatomy.roots * along * np.maximum(upper, 0.45 * lower) * within, np.float32)


def skin(
    rng: Generator, anatomy: Anatomy, presentation: Presentation, fx: Plane, fy: Plane, edge: tuple[Plane, Plane]
) -> Plane:
    """The skin: lids with a fold, wrinkles along them, pores, moist edges, and the shadows of eyebrow and nose."""
    height, width = fx.shape
    broad, pores = clouds(rng, height, width, height / 7), clouds(rng, height, width, 1.0)
    creases = clouds(rng, height, width, height / 30)
    above, below = -edge[0], -edge[1]
    within = soft(np.abs(fx) - np.float32(anatomy.half_width + 1), 3.0)  # no lids beyond the corners of the eye
    fold = within * bump(above - rng.uniform(1.5, 5.0), rng.uniform(0.25, 0.9)) * rng.uniform(0.0, 0.4)
    wrinkled = np.sin(np.minimum(above, below) * rng.uniform(2, 4) + 4 * broad + 2 * creases)
    lines = rng.uniform(0, 0.2) * np.clip(wrinkled - 0.3, 0, 1) * np.clip(creases + 0.3, 0, 1)
    moist = 0.12 * within * bump(np.minimum(np.abs(above), np.abs(below)), 0.4)
    shine = anatomy.shine * np.clip(pores - 1.2, 0, 1) * np.clip(broad, 0, 1.5)
    surface = (1 + anatomy.mottle * broad + 0.03 * pores) * (1 - fold - lines) + moist + shine
    return np.asarray(anatomy.skin_light * surface * _shadows(rng, anatomy, presentation, fx, fy), np.float32)


def _shadows(rng: Generator, anatomy: Anatomy, presentation: Presentation, fx: Plane, fy: Plane) -> Plane:
    """The light on the skin: less below the eyebrow and on the side of the face that is turned away."""
    brow = 1 - anatomy.brow_shade * bump(fy + anatomy.brow - 0.02 * fx**2, 3.0)
    bearing = rng.uniform(0, 2 * np.pi)
    away = fx * np.float32(np.cos(bearing)) + fy * np.float32(np.sin(bearing))
    turned = soft(np.asarray(rng.uniform(8, 22) - away, np.float32), rng.uniform(4, 20))
    return np.asarray(brow * (1 - presentation.shadow * turned), np.float32)


def hair(rng: Generator, strands: NDArray[np.float32], scale: float, shape: tuple[int, int]) -> Plane:
    """The share of each pixel of an image (height, width) that hairs [n, k, 2] cover; hairs in pixels, `scale` a mm."""
    height, width = shape
    double = Image.new("L", (width * 2, height * 2))
    draw = ImageDraw.Draw(double)
    for strand in (2 * strands).reshape(len(strands), -1).tolist():
        draw.line(strand, fill=int(rng.uniform(120, 255)), width=max(1, round(scale * rng.uniform(0.12, 0.30))))
    return np.asarray(np.clip(coverage(double, width, height) * 1.15, 0, 0.95), np.float32)


def hair_strands(rng: Generator, anatomy: Anatomy, presentation: Presentation) -> Points:
    """All lashes and hairs of the eyebrow: [hairs, STEPS, 2] in mm."""
    lengths = anatomy.lash_length * rng.uniform(0.4, 1.2, anatomy.lashes)
    above = _lashes(rng, anatomy, presentation, lengths, upper=True)
    below = _lashes(rng, anatomy, presentation, lengths[::3] / 2, upper=False)
    return np.concatenate([above, below, _brow(rng, anatomy)])


def _lashes(rng: Generator, anatomy: Anatomy, presentation: Presentation, lengths: Points, *, upper: bool) -> Points:
    """The lashes of one lid, from their roots."""
    count = len(lengths)
    roots = rng.uniform(-0.95, 0.95, count) * anatomy.half_width
    above, below = lids(anatomy, presentation, roots.astype(np.float32))
    steps, long = np.linspace(0, 1, STEPS)[None, :], lengths[:, None]
    outwards = (0.6 * roots / anatomy.half_width + rng.normal(0, 0.25, count))[:, None]
    # Seen from the front a lash points to the camera; some hang over the eye, some bend upwards in front of the lid.
    hang = np.clip(anatomy.lash_hang + rng.normal(0, 0.25, count), -0.9, 1)[:, None]
    fall = long * (0.35 * steps + (hang - 0.35) * steps**2) if upper else long * (0.3 * steps + 0.5 * steps**2)
    return np.stack([roots[:, None] + long * outwards * steps, (above if upper else below)[:, None] + fall], axis=2)


def _brow(rng: Generator, anatomy: Anatomy) -> Points:
    """The hairs of the eyebrow, which point to the temple."""
    count, steps = anatomy.brow_hairs, np.linspace(0, 1, STEPS)[None, :]
    x = rng.uniform(-1.6, 1.6, (count, 1)) * anatomy.half_width
    y = -anatomy.brow + 0.02 * x**2 + rng.normal(0, 2.2, (count, 1))
    along, up = rng.uniform(3, 6, (count, 1)), rng.uniform(-1, 3, (count, 1))
    return np.stack([x - anatomy.nose * along * steps, y - up * steps], axis=2)


def tear_glints(rng: Generator, anatomy: Anatomy, presentation: Presentation) -> list[tuple[float, float, float]]:
    """Reflections in tears on the lower lid and in the corners: x, y, radius in mm."""
    places = rng.uniform(-0.9, 0.9, presentation.tears) * anatomy.half_width
    _, lower = lids(anatomy, presentation, places.astype(np.float32))
    return [
        (float(x), float(y + rng.normal(0, 0.2)), float(TEAR_MM * rng.uniform(0.3, 1.6)))
        for x, y in zip(places, lower, strict=True)
    ]
