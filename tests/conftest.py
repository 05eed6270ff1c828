"""Rigs that several tests share."""

import functools
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.sample import Modality, Position, Sample
from models import load_encoder
from models.encoder import Encoder
from models.template import Template
from simulators.people.person import Condition, Person

# Real samples and recordings lie beside the project where they lie at all; tests that need them are marked `shared`.
SHARED = Path(__file__).parents[2] / "shared"


def pytest_configure() -> None:
    """Ctrl-C is tested too: whoever runs the tests in the background has it ignored, and children inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say why a test that needs the shared samples is skipped."""
    if SHARED.is_dir():
        return
    for item in items:
        if item.get_closest_marker("shared"):
            item.add_marker(pytest.mark.skip(reason="../shared (real samples) is not there"))


class FakeClock:
    """A clock that tests turn. Wall time and monotonic time advance together unless one is set."""

    def __init__(self) -> None:
        self.wall = datetime(2026, 1, 1, tzinfo=UTC)
        self.seconds = 0.0

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.seconds += seconds


@pytest.fixture(name="clock")
def _clock() -> FakeClock:
    return FakeClock()


@functools.cache
def touch(
    seed: int, impression: int, position: Position = Position.RIGHT_INDEX, condition: Condition = Condition.NORMAL
) -> NDArray[np.uint8]:
    """A synthetic impression at the size of the usual serial sensor."""
    return Person(seed).finger(position).impression(impression, condition=condition)


@functools.cache
def finger_encoder() -> Encoder:
    """One for the whole run: building the session takes a second."""
    return load_encoder(Modality.FINGER, 2)


@functools.cache
def template_of(seed: int, impression: int, position: Position = Position.RIGHT_INDEX) -> Template:
    """The template of a synthetic impression."""
    sample = Sample(
        Modality.FINGER, position, touch(seed, impression, position).copy(), 8, 500.0, datetime.now(UTC), "synthetic"
    )
    return finger_encoder().encode(sample)


@pytest.fixture(scope="session", name="encoder")
def _encoder() -> Encoder:
    return finger_encoder()
