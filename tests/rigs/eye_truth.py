"""Images of synthetic eyes with their true outlines, for tests of the segmentation."""

import functools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from drivers.sample import Position
from models.iris.segmentation.geometry import Boundary
from simulators.people.person import EyeCondition, Person

EASY = (EyeCondition.NORMAL, EyeCondition.DILATED, EyeCondition.CONSTRICTED, EyeCondition.MOVING)


class EyeTruth(NamedTuple):
    """An image u8[h, w], and the true pupil, limbus and usable pixels."""

    image: npt.NDArray[np.uint8]
    pupil: Boundary
    limbus: Boundary
    usable: npt.NDArray[np.bool_]


@functools.cache
def eye_truths() -> list[EyeTruth]:
    """Clear images of three persons."""
    scenes = [Person(seed).eye(Position.LEFT_EYE).scene(1, condition=which) for seed in (11, 12, 13) for which in EASY]
    points = Boundary.from_points
    return [EyeTruth(it.image, points(it.pupil), points(it.limbus), it.usable) for it in scenes]
