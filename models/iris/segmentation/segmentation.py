"""Finds the iris in an image of an eye: both edges to a fraction of a pixel, and the pixels that show the iris.

1. A small network detects eyes                                                             network.py
   or, if it is not certain, dark discs surrounded by edges are the candidates.             location.py
2. The best circles of pupil and limbus near there; the eye with the clearest edges wins.   boundary.py
3. Both edges are followed at full resolution, the limbus only where no lid hides it.       boundary.py
4. Lids, lashes, highlights and what lies outside the image are marked as not usable.       occlusion.py

Steps 1 and 2 work on an image of at most COARSE_SIZE pixels a side.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models.iris.segmentation.boundary import (
    LIMBUS,
    PUPIL,
    Circle,
    Edge,
    PreparedImage,
    circles_near,
    limbus_circle,
    pupil_circle,
    refine,
)
from models.iris.segmentation.filters import gaussian_filter, grey_opening, maximum_filter
from models.iris.segmentation.geometry import Bools, Boundary, Segmentation, even_angles
from models.iris.segmentation.location import Disc, block_means, find_discs
from models.iris.segmentation.network import DetectedEye, detect_eyes, number_of_rivals
from models.iris.segmentation.occlusion import Appearance, Lids, appearance_of, find_lids, usable_pixels
from models.iris.segmentation.polar import sample

COARSE_SIZE = 320  # pixels; longest side of the reduced image in which the eye is searched
SURE_CERTAINTY = 0.7  # certainty of the network from which on no discs are searched
MIN_EVIDENCE = 0.6  # evidence of both edges together below which there is no eye
_LONGEST = 8  # longest side of an image, relative to the shorter
SMALLEST = 48  # pixels; shortest side of an image in which an iris can be read
_PUPILS = 4  # number of pupils around which a limbus is searched
_SMALLEST_LIMBUS = 0.09  # radius, of the shorter side
_BRIGHT, _ABOVE_SURROUNDING = 150, 35  # grey of a highlight, and how far it exceeds its surroundings
_FIBRES, _ABOVE_FIBRES = 90, 25  # percentile of the grey of the iris, and how far at least a highlight exceeds it
_RIM = 1.05  # in radii of the pupil: further out is iris
_COARSE_SPOT = 11  # pixels of the reduced image: highlights are smaller
_SURROUNDING = 1.3  # radii around the centre of the limbus that are processed at full resolution
_DARKEST = 12.0  # grey added before the logarithm: noise of the darkest pixels counts little


class Eye(NamedTuple):
    """A pupil and the limbus around it, as circles, and the certainty of the network; 0 if it was not used."""

    pupil: Circle
    limbus: Circle
    certainty: float = 0.0

    @property
    def evidence(self) -> float:
        """The evidence for an eye here: 0 to 0.8 where there is none, 1 to 1.7 where there is one."""
        edges = self.pupil.evidence + self.limbus.evidence
        return edges if not self.certainty else 0.5 * edges + self.certainty


def segment(image: npt.NDArray[np.uint8]) -> Segmentation | None:
    """The iris in an image u8[h, w]; None if no eye is found. models.iris.quality gives the reason."""
    if not readable(image):
        return None
    detected = detect_eyes(image)
    eyes = find_eyes(image, detected)
    if not eyes or eyes[0].evidence < MIN_EVIDENCE:
        return None
    best = eyes[0]
    apart = [eye.evidence for eye in eyes[1:] if _is_other_eye(best.limbus.boundary, eye.limbus.boundary)]
    return _refined(image, best, max(apart, default=0.0), detected)


def readable(image: npt.NDArray[np.uint8]) -> bool:
    """Whether an image u8[h, w] has a size and shape in which an eye can be found."""
    shorter, longer = min(image.shape), max(image.shape)
    return bool(shorter >= SMALLEST and longer <= _LONGEST * shorter)


def warm_up() -> None:
    """Compiles the code that `segment` needs, by segmenting a drawn eye, so that no traveller waits for it."""
    y, x = np.mgrid[0:240, 0:320]
    away = np.hypot(x - 160, y - 120)
    segment(np.select([away < 25, away < 60], [20, 90], 200).astype(np.uint8))


def find_eyes(image: npt.NDArray[np.uint8], detected: Sequence[DetectedEye] = ()) -> list[Eye]:
    """Candidate eyes in an image u8[h, w], in its pixels, the most likely first; those of the network if it is sure."""
    means, side = block_means(image, COARSE_SIZE)
    coarse = np.rint(means).astype(np.uint8)
    prepared = prepare(coarse, _COARSE_SPOT, 1.2)
    smallest = _SMALLEST_LIMBUS * min(coarse.shape)
    if detected and detected[0].certainty >= SURE_CERTAINTY:
        return [
            _enlarged(_detected_eye(prepared, one, side), side) for one in detected if one.certainty >= SURE_CERTAINTY
        ]
    return [_enlarged(eye, side) for eye in _eyes(prepared, find_discs(coarse), smallest)]


def _detected_eye(prepared: PreparedImage, detected: DetectedEye, side: int) -> Eye:
    """An eye of the network, in a reduced image whose pixels are blocks of `side` x `side`."""
    middle = (side - 1) / 2
    disc = Disc((detected.x - middle) / side, (detected.y - middle) / side, detected.pupil / side, 0.0)
    return Eye(*circles_near(prepared, disc, detected.limbus / side), detected.certainty)


def prepare(
    image: npt.NDArray[np.uint8], spot: int, sigma: float, lamp: npt.NDArray[np.uint8] | int = _BRIGHT
) -> PreparedImage:
    """Removes the highlights of an image and smooths it by `sigma` pixels.

    Highlights are smaller than `spot` pixels and brighter than the grey `lamp`.
    """
    base = _without_spots(image, spot)
    bright = (image - base > _ABOVE_SURROUNDING) & (image > lamp)
    glare = maximum_filter(bright, 2 * (spot // 4) + 3)
    filled = np.where(glare, base, image).astype(np.float32)
    return PreparedImage(np.log(gaussian_filter(filled, sigma) + np.float32(_DARKEST)), glare.astype(np.float32))


def _lamp_level(image: npt.NDArray[np.uint8], pupil: Boundary, limbus: Boundary) -> npt.NDArray[np.uint8]:
    """[h, w]: the grey above which small spots are highlights. On the iris it depends on the brightness of its texture.

    In strong light an iris is brighter than a highlight elsewhere, and its fibres have as much contrast.
    """
    angles = even_angles(96)
    angles = angles[(np.sin(angles) > -0.35) & (np.sin(angles) < 0.8)]
    shares = np.linspace(0.15, 0.85, 12)[:, None, None]
    points = np.rint(pupil.at(angles) * (1 - shares) + limbus.at(angles) * shares).astype(np.intp)
    x, y = points[..., 0], points[..., 1]
    shown = (x >= 0) & (x < image.shape[1]) & (y >= 0) & (y < image.shape[0])
    bright = np.percentile(image[y[shown], x[shown]], _FIBRES) + _ABOVE_FIBRES if shown.any() else 0.0
    down, across = np.ogrid[: image.shape[0], : image.shape[1]]
    within = (across - pupil.x) ** 2 + (down - pupil.y) ** 2 < (_RIM * pupil.mean_radius) ** 2
    return np.where(within, np.uint8(_BRIGHT), np.uint8(np.clip(bright, _BRIGHT, 255)))


def _without_spots(image: npt.NDArray[np.uint8], spot: int) -> npt.NDArray[np.uint8]:
    """Removes bright spots smaller than `spot`. For a large `spot`, the minima of 2 x 2 blocks are precise enough."""
    if spot <= _COARSE_SPOT:
        return grey_opening(image, spot)
    height, width = image.shape
    padded = np.pad(image, ((0, height % 2), (0, width % 2)), mode="edge")
    quarter = np.minimum(
        np.minimum(padded[::2, ::2], padded[1::2, ::2]), np.minimum(padded[::2, 1::2], padded[1::2, 1::2])
    )
    coarse = grey_opening(quarter, spot // 2)
    return np.asarray(coarse.repeat(2, 0).repeat(2, 1)[:height, :width])


def _eyes(prepared: PreparedImage, discs: list[Disc], smallest: float) -> list[Eye]:
    pupils: list[Circle] = []
    for disc in discs:
        pupil = pupil_circle(prepared, disc)
        if pupil.evidence > 0.15 and not any(_same(pupil.boundary, other.boundary) for other in pupils):
            pupils.append(pupil)
    best = sorted(pupils, key=lambda pupil: -pupil.evidence)[:_PUPILS]
    eyes = [Eye(pupil, limbus_circle(prepared, pupil.boundary, smallest)) for pupil in best]
    return sorted((eye for eye in eyes if not _within_pupil(eye, eyes)), key=lambda eye: -eye.evidence)


def _within_pupil(eye: Eye, eyes: list[Eye]) -> bool:
    """Whether the supposed limbus is in fact a pupil with a limbus of its own."""
    return any(
        _same(eye.limbus.boundary, other.pupil.boundary) and other.limbus.evidence + 0.1 > eye.pupil.evidence
        for other in eyes
    )


def _same(first: Boundary, second: Boundary) -> bool:
    near = 0.25 * max(first.mean_radius, second.mean_radius)
    away = np.hypot(first.x - second.x, first.y - second.y)
    return bool(away < near and abs(first.mean_radius - second.mean_radius) < near)


def _is_other_eye(first: Boundary, second: Boundary) -> bool:
    """Whether the second may be the other eye: next to the first and of similar size."""
    beside = np.hypot(first.x - second.x, first.y - second.y) > first.mean_radius + second.mean_radius
    return bool(beside and 0.7 < first.mean_radius / second.mean_radius < 1.4)


def _enlarged(eye: Eye, side: int) -> Eye:
    middle = (side - 1) / 2
    pupil, limbus = (Circle(_moved(c.boundary, side, middle, middle), c.evidence) for c in (eye.pupil, eye.limbus))
    return Eye(pupil, limbus, eye.certainty)


def _moved(boundary: Boundary, times: float, across: float, down: float) -> Boundary:
    return Boundary(boundary.x * times + across, boundary.y * times + down, boundary.radii * np.float32(times))


class _Detail(NamedTuple):
    pupil: Edge
    limbus: Edge
    lids: Lids
    appearance: Appearance


def _refined(image: npt.NDArray[np.uint8], eye: Eye, rival: float, detected: Sequence[DetectedEye]) -> Segmentation:
    limbus = eye.limbus.boundary
    reach = _SURROUNDING * limbus.mean_radius
    left, top = max(0, int(limbus.x - reach)), max(0, int(limbus.y - reach))
    part = (slice(top, int(limbus.y + reach) + 2), slice(left, int(limbus.x + reach) + 2))
    spot = max(9, 2 * int(0.053 * limbus.mean_radius) + 1)
    circles = [_moved(circle.boundary, 1, -left, -top) for circle in (eye.pupil, eye.limbus)]
    lamp = _lamp_level(image[part], *circles)
    prepared = prepare(image[part], spot, float(np.clip(0.012 * limbus.mean_radius, 1.0, 2.5)), lamp)
    if eye.certainty:
        prepared = prepared._replace(probabilities=detected[0].probabilities.of_part(left, top))
    found = _follow_edges(prepared, *circles)
    usable: Bools = np.zeros(image.shape, dtype=bool)
    inner, outer = found.pupil.boundary, found.limbus.boundary
    usable[part] = usable_pixels(prepared.logs, prepared.glare, inner, outer, found.lids, found.appearance)
    rivals = number_of_rivals(detected)
    measures = _measures(prepared, found) | {"evidence": eye.evidence, "rival": rival, "rivals": rivals}
    certainty = float(np.sqrt(found.pupil.rise * found.limbus.rise))
    return Segmentation(_moved(inner, 1, left, top), _moved(outer, 1, left, top), usable, certainty, measures)


def _follow_edges(prepared: PreparedImage, pupil: Boundary, limbus: Boundary) -> _Detail:
    inner = refine(prepared, PUPIL, pupil)
    appearance = appearance_of(prepared.logs, prepared.glare, inner.boundary, limbus)
    lids = find_lids(prepared.logs, inner.boundary, limbus, appearance, prepared.probabilities)
    outer = refine(prepared, LIMBUS, limbus, lids)
    appearance = appearance_of(prepared.logs, prepared.glare, inner.boundary, outer.boundary)
    lids = find_lids(prepared.logs, inner.boundary, outer.boundary, appearance, prepared.probabilities)
    return _Detail(inner, outer, lids, appearance)


def _glare(prepared: PreparedImage, found: _Detail) -> float:
    """The share of the iris, at its sides and below, that highlights hide."""
    angles = np.linspace(-0.3, np.pi + 0.3, 48)
    shares = np.linspace(0.1, 0.9, 12)[:, None, None]
    points = found.pupil.boundary.at(angles) * (1 - shares) + found.limbus.boundary.at(angles) * shares
    return float(sample(prepared.glare, points[..., 0], points[..., 1]).values.mean())


def _measures(prepared: PreparedImage, found: _Detail) -> dict[str, float]:
    return {
        "pupil_rise": found.pupil.rise,
        "pupil_shown": found.pupil.shown,
        "limbus_rise": found.limbus.rise,
        "limbus_shown": found.limbus.shown,
        "glare": _glare(prepared, found),
    }
