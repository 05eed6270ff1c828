"""Minimum, maximum and Gaussian filters over windows of an image: the results of scipy in a fraction of the time.

Whole images are shifted against each other, so that the processor works on many pixels at a time. A window of 11 pixels
takes four shifts: they cover 2, 4, 8 and 11 pixels.
"""

import functools
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Any2D = TypeVar("Any2D", bound=NDArray[Any])
_TRUNCATED = 4.0  # standard deviations at which a Gaussian ends


def grey_opening(image: Any2D, size: int) -> Any2D:
    """Removes bright spots smaller than `size` pixels, as scipy.ndimage.grey_opening does."""
    before, after = size // 2, size - size // 2 - 1
    return _window_extreme(_window_extreme(image, before, after, np.minimum), after, before, np.maximum)


def maximum_filter(image: Any2D, size: int) -> Any2D:
    """The largest value in a window of `size` pixels, an odd number, as scipy.ndimage.maximum_filter gives it."""
    return _window_extreme(image, size // 2, size // 2, np.maximum)


def gaussian_filter(image: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Smooths with a Gaussian of `sigma` pixels. Equal to scipy.ndimage.gaussian_filter except for rounding."""
    weights = _gaussian(sigma)
    for axis in range(2):
        image = _weighted_sum(image, weights, axis)
    return image


def _window_extreme(image: Any2D, before: int, after: int, of: np.ufunc) -> Any2D:
    """The minimum or maximum over a window of `before` and `after` pixels around each, along both axes."""
    for axis in range(2):
        image = _window_extreme_along(image, before, after, of, axis)
    return image


def _window_extreme_along(image: Any2D, before: int, after: int, of: np.ufunc, axis: int) -> Any2D:
    # Padding with the edge pixel does not change the result: every window that reaches the border contains that pixel.
    current: Any2D = _padded(image, before, after, axis, "edge")
    covered, wanted = 1, before + after + 1
    while covered < wanted:
        step = min(covered, wanted - covered)
        length = current.shape[axis] - step
        current = of(_slice(current, axis, 0, length), _slice(current, axis, step, length))
        covered += step
    return current


def _weighted_sum(image: NDArray[np.float32], weights: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    reach, length = len(weights) - 1, image.shape[axis]
    wide = _padded(image, reach, reach, axis, "symmetric")
    total = weights[0] * image
    for away in range(1, reach + 1):
        sides = _slice(wide, axis, reach - away, length) + _slice(wide, axis, reach + away, length)
        sides *= weights[away]
        total += sides
    return np.asarray(total, np.float32)


@functools.lru_cache(64)
def _gaussian(sigma: float) -> NDArray[np.float32]:
    """The weights of a pixel and of the pixels at a distance of 1, 2, ..."""
    reach = int(_TRUNCATED * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(reach + 1) / sigma) ** 2)
    return np.asarray(weights / (2 * weights.sum() - weights[0]), np.float32)


def _padded(image: Any, before: int, after: int, axis: int, mode: Any) -> Any:  # noqa: ANN401 - any kind of pixel
    return np.pad(image, [(before, after) if axis == n else (0, 0) for n in range(2)], mode=mode)


def _slice(image: Any, axis: int, start: int, length: int) -> Any:  # noqa: ANN401 - any kind of pixel
    return image[start : start + length] if axis == 0 else image[:, start : start + length]
