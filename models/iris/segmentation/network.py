"""Detects eyes with the segmentation network: coarse circles of pupil and limbus in a small image.

The network (models/training/networks/iris_segmenter.py) is trained on synthetic eyes only. It knows what edges do not
show: a dark disc between lids is a pupil, and the reflection of a lamp in it is not. Its result is coarse;
models/iris/segmentation/boundary.py follows the edges.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from models.iris.segmentation.geometry import Bools, Floats
from models.iris.segmentation.polar import sample
from models.manifest import load_card
from models.onnx_session import Session

HEIGHT, WIDTH = 128, 160  # input size of the network
INSIDE_PUPIL, INSIDE_LIMBUS, USABLE = range(3)  # its maps
MIN_PIXELS = 12  # area of a pupil or limbus, in pixels of the network
_INSIDE = 0.5  # probability above which a pixel is inside
_MIN_AREA_SHARE = 0.1  # of the area of the largest iris: smaller patches are noise, not a second eye
MIN_CERTAINTY = 0.5  # an eye of less certainty does not count as detected
# A rival with less than this share of the radius must be certain: in one of the 495 images of MMU2 the network takes
# an eyebrow for an eye, with a certainty of 0.61 and a share of 0.49.
_SIMILAR_SIZE, _CERTAIN = 0.55, 0.7


class Letterbox(NamedTuple):
    """How an image is placed in the input of the network: its scale, and the first column and row that it fills."""

    scale: float  # network pixels for one image pixel
    left: float
    top: float

    def to_image(self, x: float, y: float) -> tuple[float, float]:
        """From pixels of the network to pixels of the image."""
        return (x + 0.5 - self.left) / self.scale - 0.5, (y + 0.5 - self.top) / self.scale - 0.5


class ProbabilityMaps(NamedTuple):
    """The maps of the network, f32[3, HEIGHT, WIDTH], for any point of an image."""

    maps: Floats
    letterbox: Letterbox

    def at(self, which: int, x: npt.NDArray[np.floating], y: npt.NDArray[np.floating]) -> Floats:
        """The probability, 0 to 1, at points of the image, in the map INSIDE_PUPIL, INSIDE_LIMBUS or USABLE."""
        scale, left, top = self.letterbox
        return sample(self.maps[which], (x + 0.5) * scale - 0.5 + left, (y + 0.5) * scale - 0.5 + top).values

    def of_part(self, left: int, top: int) -> "ProbabilityMaps":
        """The same maps for the part of the image that begins at pixel (left, top)."""
        scale, across, down = self.letterbox
        return ProbabilityMaps(self.maps, Letterbox(scale, across + left * scale, down + top * scale))


class DetectedEye(NamedTuple):
    """One eye as circles, in pixels of the image; the certainty of the network and the usable share, both 0 to 1."""

    x: float
    y: float
    pupil: float
    limbus_x: float
    limbus_y: float
    limbus: float
    certainty: float
    usable: float
    roundness: float  # of the pupil: its shorter axis as a share of the longer
    probabilities: ProbabilityMaps


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


def predict_maps(image: npt.NDArray[np.uint8]) -> tuple[Floats, Letterbox]:
    """The maps f32[3, HEIGHT, WIDTH] of an image u8[h, w], and its letterbox. ModelError if there is no network."""
    height, width = image.shape
    scale = min(HEIGHT / height, WIDTH / width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = Image.fromarray(image).resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR)
    letterbox = Letterbox(scale, (WIDTH - size[0]) // 2, (HEIGHT - size[1]) // 2)
    pixels = np.asarray(small)
    framed = np.full((1, 1, HEIGHT, WIDTH), float(np.median(pixels)), np.float32)
    framed[0, 0, letterbox.top :, letterbox.left :][: size[1], : size[0]] = pixels
    return _session().run_named({"image": framed})[0][0], letterbox


def detect_eyes(image: npt.NDArray[np.uint8]) -> tuple[DetectedEye, ...]:
    """The eyes in an image u8[h, w], the most certain first; empty if the network detects none."""
    maps, letterbox = predict_maps(image)
    pupils = _blobs(maps[INSIDE_PUPIL], 0.0)
    probabilities = ProbabilityMaps(maps, letterbox)
    found = (_eye_of(limbus, pupils, probabilities) for limbus in _blobs(maps[INSIDE_LIMBUS], _MIN_AREA_SHARE))
    return tuple(sorted((eye for eye in found if eye is not None), key=lambda eye: -eye.certainty))


def number_of_rivals(eyes: Sequence[DetectedEye]) -> int:
    """How many eyes there are besides the first, most certain one: of similar size, or certain themselves."""
    return sum(
        eye.certainty >= _CERTAIN or (eye.certainty >= MIN_CERTAINTY and eye.limbus >= _SIMILAR_SIZE * eyes[0].limbus)
        for eye in eyes[1:]
    )


def _eye_of(limbus: _Blob, pupils: list[_Blob], probabilities: ProbabilityMaps) -> DetectedEye | None:
    """The eye of a limbus; None if there is no pupil inside it."""
    within = [one for one in pupils if limbus.pixels[round(one.y), round(one.x)] and one.radius < limbus.radius]
    if not within:
        return None
    pupil, letterbox = within[0], probabilities.letterbox
    x, y = letterbox.to_image(pupil.x, pupil.y)
    limbus_x, limbus_y = letterbox.to_image(limbus.x, limbus.y)
    certainty = min(pupil.certainty, limbus.certainty)
    usable = float(probabilities.maps[USABLE][limbus.pixels].mean())
    radii = (pupil.radius / letterbox.scale, limbus.radius / letterbox.scale)
    return DetectedEye(x, y, radii[0], limbus_x, limbus_y, radii[1], certainty, usable, pupil.roundness, probabilities)


def _blobs(probabilities: Floats, least_share: float) -> list[_Blob]:
    """The connected patches of a map, the largest first, without those smaller than `least_share` of the largest."""
    parts, _ = ndimage.label(probabilities > _INSIDE)
    areas = np.bincount(parts.ravel())[1:]
    least = max(MIN_PIXELS, least_share * areas.max(initial=0))
    return [
        _blob(probabilities, parts == 1 + part) for part in np.argsort(-areas, kind="stable") if areas[part] >= least
    ]


def _blob(probabilities: Floats, pixels: Bools) -> _Blob:
    """A patch as a disc: its centre, the radius of a disc of the same area, its certainty and its roundness.

    The certainty is the overlap with that disc times the mean probability.
    """
    rows, columns = np.nonzero(pixels)
    y, x = float(rows.mean()), float(columns.mean())
    radius = float(np.sqrt(len(rows) / np.pi))
    within = (np.arange(HEIGHT)[:, None] - y) ** 2 + (np.arange(WIDTH)[None, :] - x) ** 2 < radius**2
    share = float((within & pixels).sum()) / max(int((within | pixels).sum()), 1)
    axes = np.linalg.eigvalsh(np.cov(np.stack([rows, columns])))
    roundness = float(np.sqrt(max(axes[0], 0.0) / max(axes[1], 1e-9)))
    return _Blob(x, y, radius, share * float(probabilities[pixels].mean()), roundness, pixels)
