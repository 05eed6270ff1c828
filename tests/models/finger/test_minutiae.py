"""Minutiae as arrays."""

import dataclasses

import numpy as np

from models.finger.minutiae import no_minutiae
from models.finger.template import FORMAT, pack, unpack
from tests.conftest import template_of
from tests.rigs.minutiae import random_minutiae


def test_no_repr_shows_a_minutia() -> None:
    minutiae = unpack(template_of(1, 1))
    assert repr(minutiae) == f"<Minutiae {len(minutiae)} in 256x288>"
    assert repr(pack(minutiae)) == f"<Template {FORMAT} {1578 + 8 * len(minutiae)} bytes>"


def test_an_image_without_minutiae_keeps_its_size() -> None:
    nothing = no_minutiae(256, 288)
    assert (nothing.width, nothing.height, len(nothing), nothing.quality) == (256, 288, 0, 0)
    assert nothing.with_quality(7).quality == 7


def test_the_best_minutiae_come_first_and_equal_ones_in_their_order() -> None:
    minutiae = random_minutiae(1, 4)
    known = dataclasses.replace(minutiae, qualities=np.array([5, 9, 5, 7], np.uint8))
    assert known.best(3).x.tolist() == minutiae.x[[1, 3, 0]].tolist()
