"""Minutiae as arrays. models/finger/template.py defines how they are stored."""

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

PIXELS_PER_INCH = 500.0  # resolution of all coordinates
MAX_MINUTIAE = 255
MAX_QUALITY = 100
TURN = 65_536  # units of `direction` in a full turn


class Kind(IntEnum):
    """The kind of a minutia. The values are those of ISO/IEC 19794-2."""

    OTHER = 0
    ENDING = 1
    BIFURCATION = 2


@dataclass(frozen=True, slots=True, eq=False)
class Minutiae:
    """The minutiae of one finger, as parallel arrays of at most 255. `quality` is that of the whole sample, 0..100."""

    width: int
    height: int
    quality: int
    x: NDArray[np.uint16]
    y: NDArray[np.uint16]
    direction: NDArray[np.uint16]
    kind: NDArray[np.uint8]
    qualities: NDArray[np.uint8]

    def __len__(self) -> int:
        """The number of minutiae."""
        return len(self.x)

    def __repr__(self) -> str:
        """The number of minutiae and the image size, never positions."""
        return f"<Minutiae {len(self)} in {self.width}x{self.height}>"

    def best(self, limit: int) -> "Minutiae":
        """The `limit` minutiae of highest quality, best first; equal ones stay in their order."""
        return self.take(np.argsort(-self.qualities.astype(int), kind="stable")[:limit])

    def with_quality(self, quality: int) -> "Minutiae":
        """The same minutiae with another quality of the sample (0..100)."""
        return replace(self, quality=quality)

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> "Minutiae":
        """The minutiae chosen by an index or a mask."""
        return replace(
            self,
            x=self.x[index],
            y=self.y[index],
            direction=self.direction[index],
            kind=self.kind[index],
            qualities=self.qualities[index],
        )


def no_minutiae(width: int, height: int) -> Minutiae:
    """The minutiae of an image in which none was found."""
    u16, u8 = np.zeros(0, np.uint16), np.zeros(0, np.uint8)
    return Minutiae(width, height, 0, u16, u16, u16, u8, u8)
