"""Where the iris is in a picture of an eye: both edges to a fraction of a pixel, and the pixels that show it.

1. where a small network sees an eye                      models/iris/segmentation/network.py
   or, where it is not sure: dark discs that edges all around point at              models/iris/segmentation/location.py
2. the best circles of pupil and limbus near there; the eye whose edges show best   models/iris/segmentation/boundary.py
3. both edges followed at full resolution, the limbus only where no lid hides it
4. lids, lashes, highlights and what lies beyond the image are not usable
models/iris/segmentation/occlusion.py

Steps 1 and 2 work on a picture of at most ROUGH pixels a side.
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
    Scene,
    circles_near,
    limbus_circle,
    pupil_circle,
    refine,
)
from models.iris.segmentation.filters import calmed, grown, opened
from models.iris.segmentation.geometry import Bools, Boundary, Segmentation, spread
from models.iris.segmentation.location import Disc, find_discs, reduced
from models.iris.segmentation.network import GLIMPSED, Seen, see
from models.iris.segmentation.occlusion import Lids, Look, find_lids, look_of, usable_pixels
from models.iris.segmentation.polar import sample

ROUGH = 320  # pixels along the longer side of the picture in which the eye is looked for, at most
SURE = 0.7  # certainty of the network from which on nothing else is looked for
LEAST = 0.6  # evidence of both edges together below which there is no eye
_LONGEST = 8  # times as long as wide
SMALLEST = 48  # pixels: no iris in less can be read
_PUPILS = 4  # of the discs, about which a limbus is sought
_SMALLEST_LIMBUS = 0.09  # of the shorter side
_BRIGHT, _BRIGHTER = 150, 35  # grey of a highlight, and by how much it is above what is around it
_FIBRES, _ABOVE_FIBRES = 90, 25  # percentile of the iris' grey, and how far above it a lamp is at the least
_RIM = 1.05  # of the radius of the pupil: further out is iris
_ROUGH_SPOT = 11  # pixels: highlights are smaller
_SURROUNDING = 1.3  # radii about the middle of the limbus that are worked at full resolution
_DARKEST = 12.0  # grey added before the logarithm: noise of the darkest pixels counts little


class Eye(NamedTuple):
    """A pupil and the limbus around it, as circles, and how sure the network is; 0 where it was not asked."""

    pupil: Circle
    limbus: Circle
    certainty: float = 0.0

    @property
    def evidence(self) -> float:
        """How much speaks for an eye here: 0 to 0.8 where there is none, 1 to 1.7 where there is."""
        edges = self.pupil.evidence + self.limbus.evidence
        return edges if not self.certainty else 0.5 * edges + self.certainty


def segment(image: npt.NDArray[np.uint8]) -> Segmentation | None:
    """The iris in an image u8[h, w]; None when no eye can be seen. models.iris.quality says why, and what to do."""
    if not readable(image):
        return None
    seen = see(image)
    eyes = find_eyes(image, seen)
    if not eyes or eyes[0].evidence < LEAST:
        return None
    best = eyes[0]
    apart = [eye.evidence for eye in eyes[1:] if _another(best.limbus.boundary, eye.limbus.boundary)]
    return _in_detail(image, best, max(apart, default=0.0), seen)


def readable(image: npt.NDArray[np.uint8]) -> bool:
    """Whether a picture u8[h, w] is of a size and shape that an eye can be in."""
    shorter, longer = min(image.shape), max(image.shape)
    return bool(shorter >= SMALLEST and longer <= _LONGEST * shorter)


def warm_up() -> None:
    """Compiles all that `segment` needs, by a drawn eye, so that no traveller waits for it."""
    y, x = np.mgrid[0:240, 0:320]
    away = np.hypot(x - 160, y - 120)
    segment(np.select([away < 25, away < 60], [20, 90], 200).astype(np.uint8))


def find_eyes(image: npt.NDArray[np.uint8], seen: Sequence[Seen] = ()) -> list[Eye]:
    """What may be eyes in an image u8[h, w], in its pixels, the most likely first: where the network has seen one."""
    small, side = reduced(image, ROUGH)
    rough = np.rint(small).astype(np.uint8)
    scene = make_ready(rough, _ROUGH_SPOT, 1.2)
    smallest = _SMALLEST_LIMBUS * min(rough.shape)
    if seen and seen[0].certainty >= SURE:
        return [_enlarged(_seen_eye(scene, one, side), side) for one in seen if one.certainty >= SURE]
    return [_enlarged(eye, side) for eye in _eyes(scene, find_discs(rough), smallest)]


def _seen_eye(scene: Scene, seen: Seen, side: int) -> Eye:
    """The eye that the network has seen, in a picture whose pixels are squares of `side`."""
    middle = (side - 1) / 2
    disc = Disc((seen.x - middle) / side, (seen.y - middle) / side, seen.pupil / side, 0.0)
    return Eye(*circles_near(scene, disc, seen.limbus / side), seen.certainty)


def make_ready(
    image: npt.NDArray[np.uint8], spot: int, calm: float, lamp: npt.NDArray[np.uint8] | int = _BRIGHT
) -> Scene:
    """A picture without its highlights, and smoothed by `calm` pixels.

    Highlights are smaller than `spot` pixels and brighter than the grey `lamp`.
    """
    base = _without_spots(image, spot)
    bright = (image - base > _BRIGHTER) & (image > lamp)
    glare = grown(bright, 2 * (spot // 4) + 3)
    filled = np.where(glare, base, image).astype(np.float32)
    return Scene(np.log(calmed(filled, calm) + np.float32(_DARKEST)), glare.astype(np.float32))


def _lamp_level(image: npt.NDArray[np.uint8], pupil: Boundary, limbus: Boundary) -> npt.NDArray[np.uint8]:
    """[h, w]: the grey above which small spots are highlights: on the iris it depends on how bright its texture is.

    In strong light an iris is brighter than a highlight elsewhere, and its fibres stand out as much.
    """
    angles = spread(96)
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
    """Without bright spots smaller than `spot`; for large ones the darkest of each four pixels says enough."""
    if spot <= _ROUGH_SPOT:
        return opened(image, spot)
    height, width = image.shape
    padded = np.pad(image, ((0, height % 2), (0, width % 2)), mode="edge")
    quarter = np.minimum(
        np.minimum(padded[::2, ::2], padded[1::2, ::2]), np.minimum(padded[::2, 1::2], padded[1::2, 1::2])
    )
    small = opened(quarter, spot // 2)
    return np.asarray(small.repeat(2, 0).repeat(2, 1)[:height, :width])


def _eyes(scene: Scene, discs: list[Disc], smallest: float) -> list[Eye]:
    pupils: list[Circle] = []
    for disc in discs:
        pupil = pupil_circle(scene, disc)
        if pupil.evidence > 0.15 and not any(_same(pupil.boundary, other.boundary) for other in pupils):
            pupils.append(pupil)
    best = sorted(pupils, key=lambda pupil: -pupil.evidence)[:_PUPILS]
    eyes = [Eye(pupil, limbus_circle(scene, pupil.boundary, smallest)) for pupil in best]
    return sorted((eye for eye in eyes if not _within_pupil(eye, eyes)), key=lambda eye: -eye.evidence)


def _within_pupil(eye: Eye, eyes: list[Eye]) -> bool:
    """Whether what was taken for the limbus is a pupil with a limbus of its own."""
    return any(
        _same(eye.limbus.boundary, other.pupil.boundary) and other.limbus.evidence + 0.1 > eye.pupil.evidence
        for other in eyes
    )


def _same(first: Boundary, second: Boundary) -> bool:
    near = 0.25 * max(first.mean_radius, second.mean_radius)
    away = np.hypot(first.x - second.x, first.y - second.y)
    return bool(away < near and abs(first.mean_radius - second.mean_radius) < near)


def _another(first: Boundary, second: Boundary) -> bool:
    """Whether the second may be the other eye: beside the first and about as large."""
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
    look: Look


def _in_detail(image: npt.NDArray[np.uint8], eye: Eye, rival: float, seen: Sequence[Seen]) -> Segmentation:
    limbus = eye.limbus.boundary
    reach = _SURROUNDING * limbus.mean_radius
    left, top = max(0, int(limbus.x - reach)), max(0, int(limbus.y - reach))
    part = (slice(top, int(limbus.y + reach) + 2), slice(left, int(limbus.x + reach) + 2))
    spot = max(9, 2 * int(0.053 * limbus.mean_radius) + 1)
    circles = [_moved(circle.boundary, 1, -left, -top) for circle in (eye.pupil, eye.limbus)]
    lamp = _lamp_level(image[part], *circles)
    scene = make_ready(image[part], spot, float(np.clip(0.012 * limbus.mean_radius, 1.0, 2.5)), lamp)
    if eye.certainty:
        scene = scene._replace(chances=seen[0].chances.of_part(left, top))
    found = _follow(scene, *circles)
    usable: Bools = np.zeros(image.shape, dtype=bool)
    inner, outer = found.pupil.boundary, found.limbus.boundary
    usable[part] = usable_pixels(scene.logs, scene.glare, inner, outer, found.lids, found.look)
    rivals = max(0, sum(one.certainty >= GLIMPSED for one in seen) - 1)
    measures = _measures(scene, found) | {"evidence": eye.evidence, "rival": rival, "rivals": rivals}
    certainty = float(np.sqrt(found.pupil.rise * found.limbus.rise))
    return Segmentation(_moved(inner, 1, left, top), _moved(outer, 1, left, top), usable, certainty, measures)


def _follow(scene: Scene, pupil: Boundary, limbus: Boundary) -> _Detail:
    inner = refine(scene, PUPIL, pupil)
    look = look_of(scene.logs, scene.glare, inner.boundary, limbus)
    lids = find_lids(scene.logs, inner.boundary, limbus, look, scene.chances)
    outer = refine(scene, LIMBUS, limbus, lids)
    look = look_of(scene.logs, scene.glare, inner.boundary, outer.boundary)
    return _Detail(inner, outer, find_lids(scene.logs, inner.boundary, outer.boundary, look, scene.chances), look)


def _glare(scene: Scene, found: _Detail) -> float:
    """The share of the iris at its sides and below that highlights hide."""
    angles = np.linspace(-0.3, np.pi + 0.3, 48)
    shares = np.linspace(0.1, 0.9, 12)[:, None, None]
    points = found.pupil.boundary.at(angles) * (1 - shares) + found.limbus.boundary.at(angles) * shares
    return float(sample(scene.glare, points[..., 0], points[..., 1]).values.mean())


def _measures(scene: Scene, found: _Detail) -> dict[str, float]:
    return {
        "pupil_rise": found.pupil.rise,
        "pupil_shown": found.pupil.shown,
        "limbus_rise": found.limbus.rise,
        "limbus_shown": found.limbus.shown,
        "glare": _glare(scene, found),
    }
