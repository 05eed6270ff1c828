"""Images without a live eye. A correct pipeline reports this and makes no template."""

from collections.abc import Callable
from enum import StrEnum

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from simulators.people.eye import EyeScene

Image = NDArray[np.uint8]
DOT = 5  # pixels between the dots of a print


class Blank(StrEnum):
    """Kinds of images without an eye."""

    EMPTY = "empty"  # a room, out of focus
    BLACK = "black"
    WHITE = "white"
    NOISE = "noise"
    SKIN = "skin"  # a cheek
    STRIPES = "stripes"


def blank(rng: Generator, width: int, height: int, kind: Blank | None = None) -> EyeScene:
    """A scene without an eye; of a random kind if `kind` is None."""
    kind = kind or Blank(rng.choice(list(Blank)))
    image = np.clip(_DRAWN[kind](rng, width, height), 0, 255).astype(np.uint8)
    nowhere = np.zeros((0, 2), np.float32)
    return EyeScene(image, nowhere, nowhere, np.zeros((height, width), np.bool_), {})


def printed(image: Image) -> Image:
    """The image as a print of dots in front of the camera."""
    y, x = np.mgrid[0 : image.shape[0], 0 : image.shape[1]]
    screen = np.cos(2 * np.pi * (x + y) / DOT) + np.cos(2 * np.pi * (x - y) / DOT)
    ink = 255 - ndimage.gaussian_filter(image.astype(np.float32), 1.0)
    dots = np.where(ink > 127 + 60 * screen, 40.0, 215.0)
    return np.asarray(ndimage.gaussian_filter(dots, 0.6), np.float32).astype(np.uint8)


def two_eyes(left: Image, right: Image) -> Image:
    """A face that is too far away: both eyes in one image of the same size."""
    height, width = left.shape
    halves = [ndimage.zoom(image, 0.5, order=1)[: height // 2, : width // 2] for image in (left, right)]
    face = np.full((height, width), int(np.median(left)), np.uint8)
    top = height // 4
    for number, half in enumerate(halves):
        face[top : top + half.shape[0], number * (width // 2) : number * (width // 2) + half.shape[1]] = half
    return face


def _clouds(rng: Generator, width: int, height: int, size: float) -> NDArray[np.float64]:
    noise = ndimage.gaussian_filter(rng.standard_normal((height, width)), size)
    return np.asarray(noise / max(noise.std(), 1e-9))


def _empty(rng: Generator, width: int, height: int) -> NDArray[np.float64]:
    return rng.uniform(40, 160) + 40 * _clouds(rng, width, height, height / 8) + rng.normal(0, 3, (height, width))


def _noise(rng: Generator, width: int, height: int) -> NDArray[np.float64]:
    return rng.uniform(0, 255, (height, width))


def _skin(rng: Generator, width: int, height: int) -> NDArray[np.float64]:
    return rng.uniform(120, 230) + 12 * _clouds(rng, width, height, height / 10) + 5 * _clouds(rng, width, height, 1.2)


def _stripes(rng: Generator, width: int, height: int) -> NDArray[np.float64]:
    x = np.arange(width) * rng.uniform(0.05, 0.6)
    return np.asarray(127 + 100 * np.sin(x)[None, :] + rng.normal(0, 4, (height, width)))


_DRAWN: dict[Blank, Callable[[Generator, int, int], NDArray[np.float64]]] = {
    Blank.EMPTY: _empty,
    Blank.BLACK: lambda rng, width, height: rng.normal(2, 2, (height, width)),
    Blank.WHITE: lambda rng, width, height: rng.normal(253, 2, (height, width)),
    Blank.NOISE: _noise,
    Blank.SKIN: _skin,
    Blank.STRIPES: _stripes,
}
