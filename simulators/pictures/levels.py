"""Grey levels of any depth as 8 bits: which value is white, and what to do with values that are no grey level.

White is the highest value of the depth. The depth is, in this order:

1. what the file states, if it states less than its container holds: the maxval of a PGM file, the significant bits of a
   PNG file (sBIT), the precision of a JPEG 2000 file, MaxSampleValue of a TIFF file. What PNG and JPEG 2000 state is
   already scaled to the container by their standards; if all values fit into the stated bits, it was not;
2. else the smallest of DEPTHS that holds the values, because cameras of 10 and 12 bits write 16-bit files;
3. for fractions, 1. Other values whose range is unknown are scaled so that the highest one is white.

One value in a thousand may be higher: a dead pixel must not make the rest black.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulators.pictures.errors import Fault, ImageFileError

Grey = NDArray[np.uint8]
Deep = NDArray[Any]  # of numbers: u8, u16, u32, i32, f32, f64

DEPTHS = (8, 10, 12, 14, 16)  # bits of the sensors that exist
STRAY = 1000  # one value in so many may be outside the range
ROUNDED = 1.001  # times the highest value of a depth: sums of colours are rounded, and resampled fractions
BELOW_ZERO = 0.05  # of white: fractions may be so far below 0, as resampling leaves them
PART_PIXELS = 1 << 20
DARK = 64  # of 255: the brightest of a picture of 16 bits per colour that uses 14 or fewer of them


@dataclass(frozen=True, slots=True)
class Depth:
    """What a file states about its values. `white` is the highest possible value, None if unknown.

    `unscaled` is the highest value if the values were not scaled to `white`, as standards demand.
    """

    white: float | None = None
    unscaled: float | None = None
    white_is_zero: bool = False
    clear: int | None = None  # a value that is transparent


@dataclass(frozen=True, slots=True)
class Levels:
    """The grey levels u8[h, w], and the number of pixels that had no finite value."""

    grey: Grey
    no_numbers: int = 0


def highest_of(bits: int) -> float:
    """The highest value of so many bits."""
    return float((1 << bits) - 1)


def depth_of_value(value: float) -> float:
    """The highest value of the smallest depth that holds `value`; `value` if none does."""
    return next((highest_of(bits) for bits in DEPTHS if value <= ROUNDED * highest_of(bits)), value)


def eight_bits(deep: Deep, stated: Depth, name: str) -> Levels:
    """The grey levels of values of any type [h, w]. ImageFileError names what is wrong; `name` is the file."""
    finite = np.isfinite(deep) if deep.dtype.kind == "f" else np.ones(1, bool)
    values = deep[finite] if not finite.all() else deep.ravel()
    if not values.size:
        raise ImageFileError(f"{name} has no pixel with a finite value: save it again with its grey", Fault.GREY_LEVELS)
    low, high = _range(values)
    white = _white(deep.dtype, stated, high)
    if low < (-BELOW_ZERO * white if deep.dtype.kind == "f" else 0):
        raise ImageFileError(
            f"{name} has values from {low:g} to {high:g}, so the value of black is unknown: "
            "save it with values of 0 (black) and more",
            Fault.GREY_LEVELS,
        )
    return Levels(_scaled(deep, white, stated), int(finite.size - np.count_nonzero(finite)))


def _range(values: Deep) -> tuple[float, float]:
    """The lowest and the highest value, without the strays."""
    strays = values.size // STRAY
    low, high = strays, values.size - 1 - strays
    ordered = np.partition(values.ravel(), (low, high))
    return float(ordered[low]), float(ordered[high])


def _white(kind: np.dtype[np.generic], stated: Depth, high: float) -> float:
    if stated.unscaled is not None and high <= stated.unscaled:
        return stated.unscaled
    if stated.white is not None:
        return stated.white if high <= ROUNDED * stated.white else depth_of_value(high)
    if kind.kind != "f":
        return depth_of_value(high)
    step = 1.0 if high <= ROUNDED else depth_of_value(high)
    return step if high > step / 4 or high <= 0 else high


def _scaled(deep: Deep, white: float, stated: Depth) -> Grey:
    """In parts, because fractions of a whole large picture would need eight times its memory."""
    parts = np.array_split(deep, max(1, deep.size // PART_PIXELS))
    return np.concatenate([_part_scaled(part, white, stated) for part in parts])


def _part_scaled(deep: Deep, white: float, stated: Depth) -> Grey:
    filled = np.nan_to_num(deep.astype(np.float64), nan=white, posinf=white, neginf=0.0)
    shares = np.clip(filled / white, 0, 1)
    if stated.white_is_zero:
        shares = 1 - shares
    if stated.clear is not None:
        shares[deep == stated.clear] = 1.0
    shares[np.isnan(deep)] = 1.0
    return np.asarray(np.rint(shares * 255), np.uint8)


def check_colour(grey: Grey, name: str) -> None:
    """ImageFileError if a picture of 16 bits per colour uses so few of them that the upper 8 bits are almost black."""
    if _range(grey)[1] < DARK:
        raise ImageFileError(
            f"{name} has 16 bits per colour, of which the highest are not used: save it as grey of 8 or 16 bits",
            Fault.NOT_SUPPORTED,
        )
