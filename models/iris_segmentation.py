"""Where the iris is in a picture of an eye, pixel by pixel."""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from models.iris_boundary import LIMBUS, PUPIL, Scene, limbus_circle, pupil_circle, refine
from models.iris_geometry import Segmentation, spread, Boundary
from models.iris_occlusion import find_lids, look_of, usable_pixels
from models.iris_location import Disc, find_discs


def prepare(image: npt.NDArray[np.uint8]) -> Scene:
    opened = ndimage.grey_opening(image, size=(11, 11))
    bright = (image.astype(np.int16) - opened) > 35
    bright &= image > 150
    glare = ndimage.maximum_filter(bright, 5)
    filled = np.where(glare, opened, image).astype(np.float32)
    calm = ndimage.gaussian_filter(filled, 1.2)
    return Scene(np.log(calm + 12), glare.astype(np.float32))


def candidates(scene: Scene, discs: list[Disc]) -> list[tuple[float, Boundary, Boundary]]:
    found = []
    for disc in discs:
        pupil, first = pupil_circle(scene, disc)
        if any(np.hypot(pupil.x - p.x, pupil.y - p.y) < 3 and abs(pupil.mean_radius-p.mean_radius)<3 for _, p, _ in found):
            continue
        limbus, second = limbus_circle(scene, pupil)
        found.append((first + second + 0.1 * disc.evidence - 3 * max(0.0, pupil.mean_radius / limbus.mean_radius - 0.58), pupil, limbus))
    return sorted(found, key=lambda f: -f[0])


def segment(image: npt.NDArray[np.uint8]) -> Segmentation | None:
    scene = prepare(image)
    found = candidates(scene, find_discs(image))
    if not found:
        return None
    score, pupil, limbus = found[0]
    p = refine(scene, PUPIL, pupil)
    look = look_of(scene.logs, scene.glare, p.boundary, limbus)
    lids = find_lids(scene.logs, p.boundary, limbus, look)
    edge = refine(scene, LIMBUS, limbus, lids)
    look = look_of(scene.logs, scene.glare, p.boundary, edge.boundary)
    lids = find_lids(scene.logs, p.boundary, edge.boundary, look)
    usable = usable_pixels(scene.logs, scene.glare, p.boundary, edge.boundary, lids, look)
    return Segmentation(p.boundary, edge.boundary, usable, score, {})
