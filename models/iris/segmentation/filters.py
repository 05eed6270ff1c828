"""Minima, maxima and smoothing over windows of a picture: scipy's results in a fraction of the time.

Whole pictures are shifted against each other, which a processor does many pixels at a time: a window of 11 takes four
shifts, as 1, 2, 4, 8 and 11 pixels are covered.
"""

import functools
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Any2D = TypeVar("Any2D", bound=NDArray[Any])
_TRUNCATED = 4.0  # standard deviations at which a Gaussian ends


def opened(image: Any2D, size: int) -> Any2D:
    """Without bright spots smaller than `size` pixels: scipy.ndimage.grey_opening."""
    before, after = size // 2, size - size // 2 - 1
    return _extreme(_extreme(image, before, after, np.minimum), after, before, np.maximum)


def grown(image: Any2D, size: int) -> Any2D:
    """The largest value within `size` pixels, which is odd: scipy.ndimage.maximum_filter."""
    return _extreme(image, size // 2, size // 2, np.maximum)


def calmed(image: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Smoothed by a Gaussian of `sigma` pixels: scipy.ndimage.gaussian_filter but for the last digits."""
    weights = _gaussian(sigma)
    for axis in range(2):
        image = _weighed(image, weights, axis)
    return image


def _extreme(image: Any2D, before: int, after: int, of: np.ufunc) -> Any2D:
    """The extreme of so many pixels before and after each, along both axes."""
    for axis in range(2):
        image = _extreme_along(image, before, after, of, axis)
    return image


def _extreme_along(image: Any2D, before: int, after: int, of: np.ufunc, axis: int) -> Any2D:
    # Repeating the edge adds nothing to any window: its own pixel is in it.
    current: Any2D = _padded(image, before, after, axis, "edge")
    covered, wanted = 1, before + after + 1
    while covered < wanted:
        step = min(covered, wanted - covered)
        length = current.shape[axis] - step
        current = of(_part(current, axis, 0, length), _part(current, axis, step, length))
        covered += step
    return current


def _weighed(image: NDArray[np.float32], weights: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    reach, length = len(weights) - 1, image.shape[axis]
    wide = _padded(image, reach, reach, axis, "symmetric")
    total = weights[0] * image
    for away in range(1, reach + 1):
        sides = _part(wide, axis, reach - away, length) + _part(wide, axis, reach + away, length)
        sides *= weights[away]
        total += sides
    return np.asarray(total, np.float32)


@functools.lru_cache(64)
def _gaussian(sigma: float) -> NDArray[np.float32]:
    """Weights of a pixel and of those 1, 2... away."""
    reach = int(_TRUNCATED * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(reach + 1) / sigma) ** 2)
    return np.asarray(weights / (2 * weights.sum() - weights[0]), np.float32)


def _padded(image: Any, before: int, after: int, axis: int, mode: Any) -> Any:  # noqa: ANN401 - any kind of pixel
    return np.pad(image, [(before, after) if axis == n else (0, 0) for n in range(2)], mode=mode)


def _part(image: Any, axis: int, start: int, length: int) -> Any:  # noqa: ANN401 - any kind of pixel
    return image[start : start + length] if axis == 0 else image[:, start : start + length]
