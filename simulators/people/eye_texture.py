"""The texture of a synthetic iris, unrolled: brightness by depth (pupil to limbus) and angle. No real eye was used.

An iris consists of fibres that run from the pupil outwards, a wavy ridge where two layers meet (the collarette),
hollows between the fibres (crypts), rings where it folds when the pupil widens, and spots. Each eye has its own.
"""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

Texture = NDArray[np.float32]
DEPTHS, ANGLES = 96, 1024  # samples of the unrolled iris

# Standard deviations of the smoothing that makes fibres from noise (depth, angle), and the weight of each scale.
FIBRES = (((14.0, 2.2), 0.30), ((9.0, 4.5), 0.34), ((6.0, 9.0), 0.26), ((10.0, 18.0), 0.20))


def grow_iris(rng: Generator) -> Texture:
    """A random texture f32[DEPTHS, ANGLES], mean 0, standard deviation 0.25; row 0 is at the pupil."""
    texture = sum((weight * _noise(rng, smooth) for smooth, weight in FIBRES), np.zeros((DEPTHS, ANGLES), np.float32))
    texture = _bend_fibres(rng, texture)
    edge = _collarette(rng)
    depth = np.arange(DEPTHS, dtype=np.float32)[:, None] / DEPTHS
    inner = 1 / (1 + np.exp((depth - edge) * 40))
    texture = texture * (0.75 + 0.5 * inner) + rng.uniform(0.05, 0.25) * inner
    texture += rng.uniform(0.1, 0.3) * np.exp(-(((depth - edge) * DEPTHS / 4) ** 2))
    texture += _rings(rng, depth, edge)
    texture -= _crypts(rng, edge, int(rng.integers(8, 90)), (2.0, 7.0), (5.0, 18.0), (0.2, 0.8))
    texture -= _crypts(rng, edge * 0, int(rng.poisson(4)), (1.5, 4.0), (3.0, 8.0), (0.3, 0.8))
    return np.asarray(0.25 * (texture - texture.mean()) / texture.std(), np.float32)


def sample_texture(texture: Texture, depth: NDArray[np.float32], angle: NDArray[np.float32]) -> NDArray[np.float32]:
    """The texture at depths 0..1 and angles in radians; both arrays have the same shape."""
    rows = np.clip(depth, 0, 1) * (DEPTHS - 1)
    columns = np.mod(angle, 2 * np.pi) / (2 * np.pi) * ANGLES
    # The first column again on the right, so that interpolation works across the full turn.
    closed = np.concatenate([texture, texture[:, :1]], axis=1)
    found: NDArray[np.float32] = ndimage.map_coordinates(closed, [rows, columns], order=1, mode="nearest")
    return found


def _noise(rng: Generator, smooth: tuple[float, float]) -> Texture:
    noise = ndimage.gaussian_filter(rng.standard_normal((DEPTHS, ANGLES)), smooth, mode=("nearest", "wrap"))
    return np.asarray(noise / noise.std(), np.float32)


def _bend_fibres(rng: Generator, texture: Texture) -> Texture:
    """Bend the fibres, which are not straight in real irises."""
    rows, columns = np.mgrid[0:DEPTHS, 0:ANGLES].astype(np.float32)
    columns = columns + 6 * _noise(rng, (18.0, 40.0)) + 3 * _noise(rng, (8.0, 14.0))
    bent: Texture = ndimage.map_coordinates(texture, [rows, columns], order=1, mode="grid-wrap")
    return bent


def _collarette(rng: Generator) -> NDArray[np.float32]:
    """The depth of the collarette at each angle: f32[1, ANGLES]."""
    wave = ndimage.gaussian_filter1d(rng.standard_normal(ANGLES), 22.0, mode="wrap")
    wave = wave / wave.std() * rng.uniform(0.02, 0.05)
    return np.asarray(rng.uniform(0.22, 0.38) + wave, np.float32)[None, :]


def _rings(rng: Generator, depth: NDArray[np.floating], edge: NDArray[np.float32]) -> NDArray[np.float32]:
    """Folds in the outer part; each one extends over a part of the circumference."""
    rings = np.zeros((DEPTHS, ANGLES), np.float32)
    for _ in range(int(rng.integers(1, 5))):
        where = rng.uniform(0.5, 0.92) + 0.015 * _noise(rng, (1.0, 60.0))[:1]
        strength = np.clip(_noise(rng, (1.0, 80.0))[:1] + 0.3, 0, 1.5) * rng.uniform(0.1, 0.35)
        rings -= strength * np.exp(-(((depth - where) * DEPTHS / 1.6) ** 2)) * (depth > edge)
    return rings


def _crypts(
    rng: Generator,
    centre: NDArray[np.float32],
    count: int,
    deep: tuple[float, float],
    long: tuple[float, float],
    dark: tuple[float, float],
) -> NDArray[np.float32]:
    """Dark spots, most of them near `centre`."""
    spots = np.zeros((DEPTHS, ANGLES), np.float32)
    middle = float(centre.mean())
    for _ in range(count):
        row = np.clip(rng.normal(middle + 0.12, 0.14) if middle > 0 else rng.uniform(0.1, 0.95), 0.03, 0.97) * DEPTHS
        column = rng.uniform(0, ANGLES)
        high, wide = rng.uniform(*long) / 2, rng.uniform(*deep) * 1.6
        rows = np.arange(DEPTHS, dtype=np.float32) - row
        columns = np.mod(np.arange(ANGLES, dtype=np.float32) - column + ANGLES / 2, ANGLES) - ANGLES / 2
        spots += np.outer(rng.uniform(*dark) * np.exp(-((rows / high) ** 2)), np.exp(-((columns / wide) ** 2)))
    return spots
