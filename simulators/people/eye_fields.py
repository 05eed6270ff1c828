"""Building blocks of synthetic eye images: soft edges, smooth noise, anti-aliased shapes."""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Plane = NDArray[np.float32]


def soft(distance: Plane, width: float) -> Plane:
    """A soft edge: 1 inside (distance below 0), 0 outside, over about `width`."""
    return np.asarray(1 / (1 + np.exp(np.clip(distance * np.float32(4 / width), -40, 40))), np.float32)


def bump(distance: Plane, width: float) -> Plane:
    """A Gaussian: 1 at distance 0, falling to both sides."""
    return np.asarray(np.exp(-np.square(distance * np.float32(1 / width))), np.float32)


def clouds(rng: Generator, height: int, width: int, size: float) -> Plane:
    """Smooth noise of standard deviation 1, blobs of about `size` pixels. Large blobs are made at low resolution."""
    step = max(1, int(size / 2))
    noise = rng.standard_normal((-(-height // step) + 4, -(-width // step) + 4), np.float32)
    noise = ndimage.gaussian_filter(noise, size / step, truncate=2.5)
    noise *= 1 / max(float(noise.std()), 1e-6)
    return upscaled(noise, step)[:height, :width]


def upscaled(plane: Plane, step: int) -> Plane:
    """The plane enlarged `step` times by linear interpolation."""
    if step == 1:
        return plane
    size = (plane.shape[1] * step, plane.shape[0] * step)
    return np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BILINEAR), np.float32)


def coverage(drawn: Image.Image, width: int, height: int) -> Plane:
    """A drawing of twice the size, as the covered share 0..1 of each pixel."""
    return np.asarray(drawn.resize((width, height), Image.Resampling.BOX), np.float32) / np.float32(255)
