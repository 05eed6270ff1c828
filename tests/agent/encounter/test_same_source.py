"""One eye shown as both is not taken for both: real templates of synthetic eyes through station and collector."""

import functools
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.clock import SystemClock
from agent.config import Step
from agent.encounter.announcements import Announcement, TravellerMessage
from agent.encounter.capture import CapturedTemplate, Collection, Collector
from agent.encounter.same_source import is_duplicate
from agent.encounter.station import NoStreamHooks, Station
from agent.events.event import ReasonCode
from drivers.sample import Modality, Position
from models import load_encoder
from models.encoder import Encoder
from models.template import Template
from simulators.people.person import EyeCondition, Person
from tests.conftest import template_of
from tests.rigs.scripted_sensor import ScriptedSensor, sample_of

RIGHT = Step(sensor="camera", position=Position.RIGHT_EYE)
LEFT = Step(sensor="camera", position=Position.LEFT_EYE)
SEED = 7
ATTEMPTS = 2
CLOSED = np.full((480, 640), 120, np.uint8)


@functools.cache
def iris_encoder() -> Encoder:
    return load_encoder(Modality.IRIS, 2)


@functools.cache
def look(position: Position, number: int) -> NDArray[np.uint8]:
    return Person(SEED).eye(position).frame(number, condition=EyeCondition.NORMAL)


def eye(position: Position, number: int) -> Template:
    return iris_encoder().encode(sample_of(look(position, number), position))


class Leaving(NoStreamHooks):
    """Counts how often what was presented had to leave."""

    asked = 0

    def require_removal(self) -> None:
        self.asked += 1


class Booth:
    """A camera that shows what is played, its station, and a collector."""

    def __init__(self) -> None:
        self.camera, self.leaving = ScriptedSensor(), Leaving()
        self.said: list[str] = []
        self.on_said: Callable[[], None] = lambda: None
        self.crashes: list[BaseException] = []
        self.station = Station(
            "camera", "scripted", self.camera, lambda *_: None, lambda _, e: self.crashes.append(e), self.leaving
        )
        self.station.start()

    def collect(self, into: Collection, *steps: Step) -> Collection:
        stations, encoders = {"camera": self.station}, {Modality.IRIS: iris_encoder()}
        collector = Collector(stations, encoders, self._hear, SystemClock(), 20.0, lambda: None)
        collector.collect(steps, into, ATTEMPTS, min_quality=20)
        return into

    def _hear(self, announcement: Announcement) -> None:
        if isinstance(announcement, TravellerMessage):
            self.said.append(announcement.text)
            self.on_said()


@pytest.fixture(name="booth")
def _booth() -> Iterator[Booth]:
    booth = Booth()
    yield booth
    assert booth.station.stop()
    assert not booth.crashes


def test_an_eye_is_like_itself_and_unlike_the_other() -> None:
    first = eye(Position.RIGHT_EYE, 0)
    assert is_duplicate(eye(Position.RIGHT_EYE, 1), [first])
    assert not is_duplicate(eye(Position.LEFT_EYE, 0), [first])


def test_fingers_and_eyes_are_not_compared() -> None:
    assert not is_duplicate(eye(Position.RIGHT_EYE, 0), [template_of(SEED, 0)])


def test_one_eye_shown_as_both_is_asked_for_again(booth: Booth) -> None:
    booth.camera.play(look(Position.RIGHT_EYE, 0), look(Position.RIGHT_EYE, 1), look(Position.LEFT_EYE, 0))
    taken = booth.collect(Collection(), RIGHT, LEFT)
    assert set(taken.captured) == {Position.RIGHT_EYE, Position.LEFT_EYE}
    assert taken.attempts == {Position.RIGHT_EYE: 1, Position.LEFT_EYE: 2}
    assert "That eye has already been read. Please use your left eye now." in booth.said


def test_one_eye_shown_as_both_at_every_attempt_is_a_failure_to_capture(booth: Booth) -> None:
    booth.camera.play(*[look(Position.RIGHT_EYE, number) for number in range(1 + ATTEMPTS)])
    taken = booth.collect(Collection(), RIGHT, LEFT)
    assert taken.missing == {Position.LEFT_EYE: ReasonCode.FAILURE_TO_CAPTURE}


def test_an_eye_of_an_earlier_collection_is_known_too(booth: Booth) -> None:
    booth.camera.play(look(Position.RIGHT_EYE, 1), look(Position.LEFT_EYE, 0))
    before = CapturedTemplate(RIGHT, 90, eye(Position.RIGHT_EYE, 0))
    taken = booth.collect(Collection(earlier=(before,)), LEFT)
    assert taken.attempts == {Position.LEFT_EYE: 2}


def test_the_same_position_again_is_welcome(booth: Booth) -> None:
    booth.camera.play(look(Position.RIGHT_EYE, 1))
    before = CapturedTemplate(RIGHT, 90, eye(Position.RIGHT_EYE, 0))
    assert booth.collect(Collection(earlier=(before,)), RIGHT).attempts == {Position.RIGHT_EYE: 1}


def test_an_eye_that_was_poor_may_stay_and_one_that_was_taken_must_leave(booth: Booth) -> None:
    left: list[int] = []
    booth.on_said = lambda: left.append(booth.leaving.asked)
    booth.camera.play(CLOSED, look(Position.RIGHT_EYE, 0))
    booth.collect(Collection(), RIGHT)
    assert set(left) == {0}
    assert booth.leaving.asked == 1


def test_an_eye_that_is_given_up_must_leave(booth: Booth) -> None:
    booth.camera.play(*[CLOSED] * ATTEMPTS)
    booth.collect(Collection(), LEFT)
    assert booth.leaving.asked == 1
