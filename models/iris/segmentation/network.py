"""Where the network sees an eye: circles of pupil and limbus, found at a glance in a small picture.

The network (models/training/networks/iris_segmenter.py) has learned from synthetic eyes alone what no edge tells: that
a dark disc between lids is a pupil, and a lamp in it is not. It is coarse; models/iris/segmentation/boundary.py follows
the edges.
"""

import functools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from models.iris.segmentation.geometry import Bools, Floats
from models.iris.segmentation.polar import sample
from models.manifest import load_card
from models.session import Session

HEIGHT, WIDTH = 128, 160  # what the network sees
INSIDE_PUPIL, INSIDE_LIMBUS, USABLE = range(3)  # its maps
LEAST_PIXELS = 12  # of its picture, inside a pupil
_SURE = 0.5
_LIKE = 0.1  # of the area of the largest iris: stray patches are smaller than a second eye
GLIMPSED = 0.5  # certainty below which nobody is seen


class Frame(NamedTuple):
    """How a picture lies in the network's: the network's pixels to one of its own, and where it begins there."""

    scale: float
    left: float
    top: float

    def back(self, x: float, y: float) -> tuple[float, float]:
        """From the network's picture to the other."""
        return (x + 0.5 - self.left) / self.scale - 0.5, (y + 0.5 - self.top) / self.scale - 0.5


class Chances(NamedTuple):
    """The maps of the network, f32[3, HEIGHT, WIDTH], for any point of a picture."""

    maps: Floats
    frame: Frame

    def at(self, which: int, x: npt.NDArray[np.floating], y: npt.NDArray[np.floating]) -> Floats:
        """What the map INSIDE_PUPIL, INSIDE_LIMBUS or USABLE says of points, 0 to 1."""
        scale, left, top = self.frame
        return sample(self.maps[which], (x + 0.5) * scale - 0.5 + left, (y + 0.5) * scale - 0.5 + top).values

    def of_part(self, left: int, top: int) -> "Chances":
        """For the part of the picture that begins at a pixel."""
        scale, across, down = self.frame
        return Chances(self.maps, Frame(scale, across + left * scale, down + top * scale))


class Seen(NamedTuple):
    """One eye as circles, in pixels of the picture; how sure the network is, 0 to 1; and how much of it is usable."""

    x: float
    y: float
    pupil: float
    limbus_x: float
    limbus_y: float
    limbus: float
    certainty: float
    usable: float
    roundness: float  # of the pupil: its shorter axis as a share of the longer
    chances: Chances


class _Blob(NamedTuple):
    x: float
    y: float
    radius: float
    certainty: float
    roundness: float
    pixels: Bools


@functools.cache
def _session() -> Session:
    return Session(load_card("iris-segmenter"), 1, {"image": np.zeros((1, 1, HEIGHT, WIDTH), np.float32)})


def maps_of(image: npt.NDArray[np.uint8]) -> tuple[Floats, Frame]:
    """The maps f32[3, HEIGHT, WIDTH] of an image u8[h, w], and how it lies in them. ModelError: no network."""
    height, width = image.shape
    scale = min(HEIGHT / height, WIDTH / width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = Image.fromarray(image)
    small = picture.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR)
    frame = Frame(scale, (WIDTH - size[0]) // 2, (HEIGHT - size[1]) // 2)
    pixels = np.asarray(small)
    framed = np.full((1, 1, HEIGHT, WIDTH), float(np.median(pixels)), np.float32)
    framed[0, 0, frame.top :, frame.left :][: size[1], : size[0]] = pixels
    return _session().run_named({"image": framed})[0][0], frame


def see(image: npt.NDArray[np.uint8]) -> tuple[Seen, ...]:
    """The eyes in an image u8[h, w], the surest first; none where the network sees none."""
    maps, frame = maps_of(image)
    pupils = _discs(maps[INSIDE_PUPIL], 0.0)
    found = (_seen(limbus, pupils, Chances(maps, frame)) for limbus in _discs(maps[INSIDE_LIMBUS], _LIKE))
    return tuple(sorted((seen for seen in found if seen is not None), key=lambda seen: -seen.certainty))


def _seen(limbus: _Blob, pupils: list[_Blob], chances: Chances) -> Seen | None:
    """The eye of a limbus; None where no pupil is within."""
    within = [one for one in pupils if limbus.pixels[round(one.y), round(one.x)] and one.radius < limbus.radius]
    if not within:
        return None
    pupil, frame = within[0], chances.frame
    x, y = frame.back(pupil.x, pupil.y)
    limbus_x, limbus_y = frame.back(limbus.x, limbus.y)
    certainty = min(pupil.certainty, limbus.certainty)
    usable = float(chances.maps[USABLE][limbus.pixels].mean())
    radii = (pupil.radius / frame.scale, limbus.radius / frame.scale)
    return Seen(x, y, radii[0], limbus_x, limbus_y, radii[1], certainty, usable, pupil.roundness, chances)


def _discs(chances: Floats, like: float) -> list[_Blob]:
    """The patches that a map shows, the largest first; those of less than `like` of its area left out."""
    parts, _ = ndimage.label(chances > _SURE)
    areas = np.bincount(parts.ravel())[1:]
    least = max(LEAST_PIXELS, like * areas.max(initial=0))
    return [_disc(chances, parts == 1 + part) for part in np.argsort(-areas, kind="stable") if areas[part] >= least]


def _disc(chances: Floats, pixels: Bools) -> _Blob:
    """A patch as a disc: its middle, its radius by its area, how much of a disc it is, and how round."""
    rows, columns = np.nonzero(pixels)
    y, x = float(rows.mean()), float(columns.mean())
    radius = float(np.sqrt(len(rows) / np.pi))
    within = (np.arange(HEIGHT)[:, None] - y) ** 2 + (np.arange(WIDTH)[None, :] - x) ** 2 < radius**2
    share = float((within & pixels).sum()) / max(int((within | pixels).sum()), 1)
    axes = np.linalg.eigvalsh(np.cov(np.stack([rows, columns])))
    roundness = float(np.sqrt(max(axes[0], 0.0) / max(axes[1], 1e-9)))
    return _Blob(x, y, radius, share * float(chances[pixels].mean()), roundness, pixels)
