"""A captured sample and its modality and position. `models` may import only this module of this package."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


class Modality(StrEnum):
    """A biometric mode in the sense of ISO/IEC 2382-37."""

    FINGER = "finger"
    IRIS = "iris"


class Position(StrEnum):
    """Which finger or eye. The fingers are in the order of ISO/IEC 19794-2:2005, table 2 (0 = unknown)."""

    UNKNOWN = "unknown"
    RIGHT_THUMB = "right_thumb"
    RIGHT_INDEX = "right_index"
    RIGHT_MIDDLE = "right_middle"
    RIGHT_RING = "right_ring"
    RIGHT_LITTLE = "right_little"
    LEFT_THUMB = "left_thumb"
    LEFT_INDEX = "left_index"
    LEFT_MIDDLE = "left_middle"
    LEFT_RING = "left_ring"
    LEFT_LITTLE = "left_little"
    RIGHT_EYE = "right_eye"
    LEFT_EYE = "left_eye"

    @property
    def modality(self) -> Modality | None:
        """The modality of this position; None for UNKNOWN, which every modality has."""
        if self is Position.UNKNOWN:
            return None
        return Modality.IRIS if self in (Position.RIGHT_EYE, Position.LEFT_EYE) else Modality.FINGER


def other_side(position: Position) -> Position:
    """The same finger of the other hand, or the other eye; UNKNOWN stays."""
    side, _, rest = position.value.partition("_")
    return Position({"right": f"left_{rest}", "left": f"right_{rest}"}.get(side, position))


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One captured image and its origin.

    `image` is u8[h, w], top row first, ridges (or pupils) dark, scaled to the full range of 0 to 255. The sensor gave
    2 ** `depth_bits` grey levels. `captured_at` has a time zone, UTC. `device` names the sensor, never a person.
    """

    modality: Modality
    position: Position
    image: NDArray[np.uint8]
    depth_bits: int
    pixels_per_inch: float
    captured_at: datetime
    device: str

    def __post_init__(self) -> None:
        if self.image.ndim != 2 or self.image.dtype != np.uint8:
            raise ValueError(f"a sample is u8[h, w], not {self.image.dtype}{list(self.image.shape)}")
        if self.captured_at.utcoffset() is None:
            raise ValueError("captured_at must be a datetime with a time zone")
        self.image.setflags(write=False)

    def __repr__(self) -> str:
        """Shape and origin, never pixels."""
        height, width = self.image.shape
        return (
            f"<Sample {self.modality} {self.position} {size_text(width, height, self.pixels_per_inch)}, "
            f"{self.depth_bits} bit, {self.device}>"
        )


def size_text(width: int, height: int, pixels_per_inch: float) -> str:
    """The size of an image as text, with the resolution if the sensor has one (a camera has none)."""
    return f"{width}x{height}" + (f" at {pixels_per_inch:g} ppi" if pixels_per_inch else "")


def expand_4bit(pairs: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Expands two 4-bit pixels per byte (the left one in the upper bits) to one per byte, over the full range."""
    levels = np.empty((pairs.size, 2), np.uint8)
    levels[:, 0] = pairs >> 4
    levels[:, 1] = pairs & 0x0F
    levels *= 17
    return levels.reshape(-1)
