"""Synthetic people: fingers and eyes from a seed. No real person's data went into them.

    Person(7).finger(Position.RIGHT_INDEX).impression(0)
    Person(7).eye(Position.LEFT_EYE).frame(0)

is the same picture wherever and whenever it is asked for (on one version of numpy and scipy); another `n` is another
touch of the same finger, another look of the same eye, another seed another person.
"""

import zlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from drivers.sample import Modality, Position
from simulators.people.eye import EyeScene, look
from simulators.people.eye_blanks import Blank, blank
from simulators.people.eye_scene import Build as EyeBuild
from simulators.people.eye_scene import EyeCondition, draw_build, draw_moment
from simulators.people.eye_texture import Texture, grow
from simulators.people.fingerprint import Build, Skin, grow_skin
from simulators.people.ridge_flow import Pattern, digit, draw_pattern
from simulators.people.skin import Condition, Window, draw_touch, press, traits_of

__all__ = ["EYES", "FINGERS", "Blank", "Condition", "Eye", "EyeCondition", "Finger", "Pattern", "Person", "blank"]

FINGERS = tuple(position for position in Position if position.modality is Modality.FINGER)
EYES = tuple(position for position in Position if position.modality is Modality.IRIS)
_SKINS_KEPT = 24  # 2.5 MB each

# Half axes of a normal contact, mm, of an adult.
_HALF_AXES = {
    "thumb": (8.4, 11.0),
    "index": (7.0, 9.6),
    "middle": (7.2, 9.9),
    "ring": (6.9, 9.6),
    "little": (5.9, 8.4),
}


def _stream(*names: object) -> Generator:
    """A random stream of its own for each purpose: a change to one does not change the others."""
    return np.random.default_rng([zlib.crc32(repr(name).encode()) for name in names])


@dataclass(frozen=True, slots=True)
class _Body:
    """What the ten fingers of a person share."""

    size: float  # against the average adult
    period: float  # ridge period, mm
    leaning: float  # more whorls (+) or fewer (-)
    wrinkled: float  # creases to expect on a finger


def _body(seed: int) -> _Body:
    rng = _stream(seed, "body")
    size = float(np.clip(rng.normal(1.0, 0.06), 0.85, 1.15))
    period = float(np.clip(0.46 * size**0.5 + rng.normal(0.0, 0.02), 0.39, 0.54))
    return _Body(size, period, float(rng.normal(0.0, 0.6)), float(rng.gamma(1.2, 1.6)))


def _build(rng: Generator, seed: int, position: Position) -> Build:
    body = _body(seed)
    across, along = _HALF_AXES[digit(position)]
    scale = body.size * float(np.clip(rng.normal(1.0, 0.03), 0.92, 1.08))
    period = body.period * (across / 7.0) ** 0.35 * float(rng.normal(1.0, 0.02))
    return Build((across * scale, along * scale), period, min(9, int(rng.poisson(body.wrinkled))))


@lru_cache(maxsize=4096)
def _pattern(seed: int, position: Position) -> Pattern:
    return draw_pattern(_stream(seed, position.value, "pattern"), position, _body(seed).leaning)


@lru_cache(maxsize=_SKINS_KEPT)
def _skin(seed: int, position: Position) -> Skin:
    rng = _stream(seed, position.value, "skin")
    return grow_skin(rng, _pattern(seed, position), _build(rng, seed, position))


@dataclass(frozen=True, slots=True)
class Finger:
    """One finger of a synthetic person. Its skin is grown at the first impression, in about half a second, and kept."""

    seed: int
    position: Position

    @property
    def pattern(self) -> Pattern:
        """Its class of ridge flow."""
        return _pattern(self.seed, self.position)

    def impression(
        self, n: int, width: int = 256, height: int = 288, ppi: float = 500, condition: Condition | None = None
    ) -> NDArray[np.uint8]:
        """The `n`-th touch as u8[height, width], ridges dark.

        The placement depends on the finger, `n` and the condition alone, so that sensors of other sizes see the same
        touch. Without a condition it is drawn from what people do: mostly normal, at times dry, wet, light or heavy.
        """
        touch_rng = _stream(self.seed, self.position.value, n, condition and condition.value)
        touch = draw_touch(touch_rng, traits_of(condition, touch_rng, n))
        return press(touch_rng, _skin(self.seed, self.position), touch, Window(width, height, ppi))


@lru_cache(maxsize=256)
def _iris(seed: int, position: Position) -> tuple[EyeBuild, Texture]:
    nose = 1 if position is Position.RIGHT_EYE else -1  # the camera faces the person
    return draw_build(_stream(seed, position.value, "eye"), nose), grow(_stream(seed, position.value, "iris"))


@dataclass(frozen=True, slots=True)
class Eye:
    """One eye of a synthetic person."""

    seed: int
    position: Position

    def frame(
        self, n: int, width: int = 640, height: int = 480, condition: EyeCondition | None = None
    ) -> NDArray[np.uint8]:
        """The `n`-th look as a near-infrared camera sees it, u8[height, width]."""
        return self.scene(n, width, height, condition).image

    def scene(self, n: int, width: int = 640, height: int = 480, condition: EyeCondition | None = None) -> EyeScene:
        """The same with its true outlines. Without a condition it is what people do: mostly well, at times not."""
        rng = _stream(self.seed, self.position.value, n, condition and condition.value)
        build, texture = _iris(self.seed, self.position)
        return look(rng, texture, build, draw_moment(rng, build, condition), width, height)


@dataclass(frozen=True, slots=True)
class Person:
    """A synthetic person: everything follows from the seed."""

    seed: int

    def finger(self, position: Position) -> Finger:
        """One of the ten fingers. ValueError: the position is an eye, or unknown."""
        if position not in FINGERS:
            raise ValueError(f"not a finger: {position}")
        return Finger(self.seed, position)

    def eye(self, position: Position) -> Eye:
        """One of the two eyes. ValueError: the position is a finger, or unknown."""
        if position not in EYES:
            raise ValueError(f"not an eye: {position}")
        return Eye(self.seed, position)

    @property
    def fingers(self) -> tuple[Finger, ...]:
        """All ten, right thumb first."""
        return tuple(self.finger(position) for position in FINGERS)
