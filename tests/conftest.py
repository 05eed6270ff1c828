"""Fixtures, the fake clock and cached synthetic fingerprints that many tests share."""

import functools
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray

from drivers.sample import Modality, Position, Sample
from models import load_encoder
from models.encoder import Encoder
from models.template import Template
from simulators.people.person import Condition, Person

# Real samples and recordings, if there are any, are next to the project. Tests that need them are marked `shared`.
SHARED = Path(__file__).parents[2] / "shared"


settings.register_profile("any speed", deadline=None)  # a slow machine is no failure
settings.load_profile("any speed")


def pytest_configure() -> None:
    """Stop ignoring SIGINT and SIGHUP: a background job, or nohup, ignores them, but some tests send them."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests that need the shared samples if these are missing."""
    if SHARED.is_dir():
        return
    for item in items:
        if item.get_closest_marker("shared"):
            item.add_marker(pytest.mark.skip(reason="../shared (real samples) does not exist"))


class FakeClock:
    """A clock that a test sets. Wall time and monotonic time advance together unless the test sets one of them."""

    def __init__(self) -> None:
        self.wall = datetime(2026, 1, 1, tzinfo=UTC)
        self.seconds = 0.0
        self.is_synchronised = True

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.seconds

    def synchronised(self) -> bool:
        return self.is_synchronised

    def advance(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.seconds += seconds


@pytest.fixture(name="clock")
def _clock() -> FakeClock:
    return FakeClock()


@functools.cache
def impression_of(
    seed: int, impression: int, position: Position = Position.RIGHT_INDEX, condition: Condition = Condition.NORMAL
) -> NDArray[np.uint8]:
    """A synthetic impression, of the image size of an R307."""
    return Person(seed).finger(position).impression(impression, condition=condition)


@functools.cache
def finger_encoder() -> Encoder:
    """The fingerprint encoder, made once for all tests because this takes a second."""
    return load_encoder(Modality.FINGER, 2)


@functools.cache
def template_of(seed: int, impression: int, position: Position = Position.RIGHT_INDEX) -> Template:
    """The template of a synthetic impression."""
    sample = Sample(
        Modality.FINGER,
        position,
        impression_of(seed, impression, position).copy(),
        8,
        500.0,
        datetime.now(UTC),
        "synthetic",
    )
    return finger_encoder().encode(sample)


@pytest.fixture(scope="session", name="encoder")
def _encoder() -> Encoder:
    return finger_encoder()
