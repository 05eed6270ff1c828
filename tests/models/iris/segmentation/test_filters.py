"""Windows over pictures: what scipy gives, whatever the size of the window and of the picture."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from models.iris.segmentation.filters import gaussian_filter, grey_opening, maximum_filter

Pixels = npt.NDArray[np.uint8]
pictures = arrays.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40)))


@given(image=pictures, size=st.integers(1, 12))
def test_bright_spots_go_as_scipy_lets_them(image: Pixels, size: int) -> None:
    assert (grey_opening(image, size) == ndimage.grey_opening(image, size=(size, size))).all()
    assert (grey_opening(image, size) <= image).all()


@given(image=pictures, reach=st.integers(0, 6))
def test_spots_grow_as_scipy_lets_them(image: Pixels, reach: int) -> None:
    bright = image > 200
    assert (maximum_filter(bright, 2 * reach + 1) == ndimage.maximum_filter(bright, 2 * reach + 1)).all()


@given(image=pictures, sigma=st.sampled_from([0.6, 1.0, 1.2, 2.5]))
def test_smoothing_is_scipy_s_but_for_the_last_digits(image: Pixels, sigma: float) -> None:
    if min(image.shape) > 4 * sigma + 1:
        grey = image.astype(np.float32)
        assert gaussian_filter(grey, sigma) == pytest.approx(ndimage.gaussian_filter(grey, sigma), abs=1e-3)
