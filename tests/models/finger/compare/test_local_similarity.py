"""Local similarity: cylinders that are the same, support each other, or point too far apart."""

import dataclasses

import numpy as np

from models.finger.compare.local_similarity import pair_similarity
from models.finger.cylinders import cylinders
from tests.rigs.minutiae import random_minutiae


def test_identical_cylinders_have_similarity_1_and_none_beyond_the_rotation() -> None:
    found = cylinders(random_minutiae(1))
    assert np.allclose(np.diag(pair_similarity(found, found)), 1)
    rotated = dataclasses.replace(found, angle=found.angle + np.float32(np.pi / 2))
    assert (np.diag(pair_similarity(found, rotated)) == 0).all()
