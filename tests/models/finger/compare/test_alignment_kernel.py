"""The compiled alignment gives the numbers of the one in numpy."""

import dataclasses

import numpy as np
import pytest

from models.finger.compare.alignment import best_alignment
from models.finger.compare.alignment_kernel import POINT, fill_best_alignment, fill_points, fit_transforms
from models.finger.cylinder_kernel import cylinders_of
from tests.rigs.fingers import ROWS, second_impression


@pytest.mark.parametrize("number", [0, 3, 8])
def test_a_compiled_alignment_is_that_of_numpy(number: int) -> None:
    a, b = cylinders_of(ROWS[number]), cylinders_of(second_impression(number))
    pairs = np.arange(6), np.arange(6)
    points = []
    for cylinders in (a, b):
        out = np.empty((len(cylinders.rows), POINT))
        fill_points(np.array(cylinders.rows), out)
        points.append(out)
    found = np.empty(3)
    one, other = points
    transforms = fit_transforms(one, other, a.which[pairs[0]], b.which[pairs[1]])
    fill_best_alignment(one, other, transforms, found)
    assert found.tolist() == pytest.approx(dataclasses.astuple(best_alignment(a, b, pairs)), abs=1e-9)
