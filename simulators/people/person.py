"""Synthetic people: fingers and eyes from a seed. They contain no data of real people.

    Person(7).finger(Position.RIGHT_INDEX).impression(0)
    Person(7).eye(Position.LEFT_EYE).frame(0)

always give the same image (with the same versions of numpy and scipy). Another `n` is another impression of the same
finger or another frame of the same eye; another seed is another person.
"""

import zlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from drivers.sample import Modality, Position
from simulators.people.eye import EyeScene, render_eye
from simulators.people.eye_blanks import Blank, blank
from simulators.people.eye_scene import Anatomy as EyeAnatomy
from simulators.people.eye_scene import EyeCondition, draw_anatomy, draw_presentation
from simulators.people.eye_texture import Texture, grow_iris
from simulators.people.fingerprint import FingerAnatomy, Skin, grow_skin
from simulators.people.ridge_flow import Pattern, digit, draw_pattern
from simulators.people.skin import Condition, Window, draw_touch, press, traits_of

__all__ = ["EYES", "FINGERS", "Blank", "Condition", "Eye", "EyeCondition", "Finger", "Pattern", "Person", "blank"]

FINGERS = tuple(position for position in Position if position.modality is Modality.FINGER)
EYES = tuple(position for position in Position if position.modality is Modality.IRIS)
_SKINS_KEPT = 24  # 2.5 MB each

# Half axes of the normal contact area of an adult, mm.
_HALF_AXES = {
    "thumb": (8.4, 11.0),
    "index": (7.0, 9.6),
    "middle": (7.2, 9.9),
    "ring": (6.9, 9.6),
    "little": (5.9, 8.4),
}


def _stream(*names: object) -> Generator:
    """A separate random stream for each purpose, so that a change to one does not change the others."""
    return np.random.default_rng([zlib.crc32(repr(name).encode()) for name in names])


@dataclass(frozen=True, slots=True)
class _Body:
    """The properties that the ten fingers of a person share."""

    size: float  # relative to the average adult
    period: float  # ridge period, mm
    leaning: float  # more whorls (+) or fewer (-)
    wrinkled: float  # expected number of creases on a finger


def _body(seed: int) -> _Body:
    rng = _stream(seed, "body")
    size = float(np.clip(rng.normal(1.0, 0.06), 0.85, 1.15))
    period = float(np.clip(0.46 * size**0.5 + rng.normal(0.0, 0.02), 0.39, 0.54))
    return _Body(size, period, float(rng.normal(0.0, 0.6)), float(rng.gamma(1.2, 1.6)))


def _anatomy(rng: Generator, seed: int, position: Position) -> FingerAnatomy:
    body = _body(seed)
    across, along = _HALF_AXES[digit(position)]
    scale = body.size * float(np.clip(rng.normal(1.0, 0.03), 0.92, 1.08))
    period = body.period * (across / 7.0) ** 0.35 * float(rng.normal(1.0, 0.02))
    return FingerAnatomy((across * scale, along * scale), period, min(9, int(rng.poisson(body.wrinkled))))


@lru_cache(maxsize=4096)
def _pattern(seed: int, position: Position) -> Pattern:
    return draw_pattern(_stream(seed, position.value, "pattern"), position, _body(seed).leaning)


@lru_cache(maxsize=_SKINS_KEPT)
def _skin(seed: int, position: Position) -> Skin:
    rng = _stream(seed, position.value, "skin")
    return grow_skin(rng, _pattern(seed, position), _anatomy(rng, seed, position))


@dataclass(frozen=True, slots=True)
class Finger:
    """One finger of a synthetic person. The first impression takes half a second longer: it generates the skin."""

    seed: int
    position: Position

    @property
    def pattern(self) -> Pattern:
        """The pattern class."""
        return _pattern(self.seed, self.position)

    def impression(
        self, n: int, width: int = 256, height: int = 288, ppi: float = 500, condition: Condition | None = None
    ) -> NDArray[np.uint8]:
        """Impression `n` as u8[height, width], ridges dark.

        The placement depends only on the finger, `n` and the condition, so that sensors of different sizes see the same
        touch. Without a condition it is drawn at random: mostly normal, sometimes dry, wet, light or heavy.
        """
        touch_rng = _stream(self.seed, self.position.value, n, condition and condition.value)
        touch = draw_touch(touch_rng, traits_of(condition, touch_rng, n))
        return press(touch_rng, _skin(self.seed, self.position), touch, Window(width, height, ppi))


@lru_cache(maxsize=256)
def _iris(seed: int, position: Position) -> tuple[EyeAnatomy, Texture]:
    nose = 1 if position is Position.RIGHT_EYE else -1  # the camera faces the person
    return draw_anatomy(_stream(seed, position.value, "eye"), nose), grow_iris(_stream(seed, position.value, "iris"))


@dataclass(frozen=True, slots=True)
class Eye:
    """One eye of a synthetic person."""

    seed: int
    position: Position

    def frame(
        self, n: int, width: int = 640, height: int = 480, condition: EyeCondition | None = None
    ) -> NDArray[np.uint8]:
        """Frame `n` as a near-infrared camera sees it, u8[height, width]."""
        return self.scene(n, width, height, condition).image

    def scene(self, n: int, width: int = 640, height: int = 480, condition: EyeCondition | None = None) -> EyeScene:
        """Frame `n` with its true outlines. Without a condition it is drawn at random: mostly normal, sometimes not."""
        rng = _stream(self.seed, self.position.value, n, condition and condition.value)
        anatomy, texture = _iris(self.seed, self.position)
        return render_eye(rng, texture, anatomy, draw_presentation(rng, anatomy, condition), width, height)


@dataclass(frozen=True, slots=True)
class Person:
    """A synthetic person, determined by the seed."""

    seed: int

    def finger(self, position: Position) -> Finger:
        """One of the ten fingers. ValueError if the position is an eye, or unknown."""
        if position not in FINGERS:
            raise ValueError(f"not a finger: {position}")
        return Finger(self.seed, position)

    def eye(self, position: Position) -> Eye:
        """One of the two eyes. ValueError if the position is a finger, or unknown."""
        if position not in EYES:
            raise ValueError(f"not an eye: {position}")
        return Eye(self.seed, position)

    @property
    def fingers(self) -> tuple[Finger, ...]:
        """All ten fingers, right thumb first."""
        return tuple(self.finger(position) for position in FINGERS)
