"""The collector repeats poor samples, waits until the last finger or eye is removed, and notes what is missing."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future

import pytest
from pytest_mock import MockerFixture

from agent.clock import SystemClock
from agent.config import Step
from agent.encounter import capture as capture_module
from agent.encounter.announcements import Announcement, StepDone, TravellerMessage
from agent.encounter.capture import CapturedTemplate, Collection, Collector
from agent.encounter.station import NoStreamHooks, Station
from agent.events.event import Outcome, ReasonCode
from agent.watchlist.watchlist import Watchlist
from drivers.errors import CaptureRetry, LinkLost, Retry
from drivers.sample import Modality, Position, Sample
from models.encoder import models_of
from models.template import Template
from tests.conftest import impression_of
from tests.rigs.eye_samples import CLOSED, eye_image, eye_template, iris_encoder
from tests.rigs.lane_rig import BLANK, LISTED, TWO_FINGERS, TWO_SENSORS, UNLISTED, Make, message_keys, payload_of
from tests.rigs.scripted_sensor import ScriptedSensor


def test_an_unreadable_finger_is_asked_for_again_and_then_referred(make: Make) -> None:
    kiosk = make()
    kiosk.add_reference(LISTED)
    kiosk.one.play(BLANK, CaptureRetry(Retry.MOVED), BLANK)
    decided, announced = kiosk.until_decided()
    assert (decided.outcome, decided.reason.code) == (Outcome.REFER, ReasonCode.FAILURE_TO_CAPTURE)
    assert decided.reason.missing == (Position.RIGHT_INDEX,)
    steps = [a for a in announced if isinstance(a, StepDone)]
    assert [(s.attempt, s.usable) for s in steps] == [(1, False), (2, False), (3, False)]
    assert len(kiosk.events()) == 1


def test_a_second_try_that_is_good_is_searched(make: Make) -> None:
    kiosk = make()
    kiosk.add_reference(LISTED)
    kiosk.one.play(BLANK, impression_of(LISTED, 1))
    decided, announced = kiosk.until_decided()
    assert decided.outcome is Outcome.LEAD
    assert "empty" in message_keys(announced)


def test_a_finger_left_on_after_a_poor_sample_is_told_to_lift_and_waited_for(make: Make) -> None:
    kiosk = make()
    kiosk.add_reference(LISTED)
    lift = CaptureRetry(Retry.LIFT_FINGER)
    kiosk.one.play(BLANK, lift, lift, impression_of(LISTED, 1))
    decided, announced = kiosk.until_decided()
    assert decided.outcome is Outcome.LEAD
    assert message_keys(announced).count("lift_finger") == 1


def test_a_finger_that_is_never_lifted_ends_with_the_step(make: Make) -> None:
    kiosk = make(step_timeout_s=0.2)
    kiosk.add_reference(LISTED)
    kiosk.one.play(BLANK, *(CaptureRetry(Retry.LIFT_FINGER) for _ in range(100_000)))
    assert kiosk.until_decided()[0].reason.code is ReasonCode.ABANDONED


def test_a_finger_is_searched_for_while_the_next_is_awaited(make: Make, mocker: MockerFixture) -> None:
    kiosk = make(TWO_FINGERS)
    kiosk.add_reference(LISTED)
    asked: list[Position] = []

    def presearch(_: Watchlist, position: Position, __: Template) -> None:
        if not asked:
            kiosk.one.play(impression_of(LISTED, 1, Position.RIGHT_THUMB))  # comes only now
        asked.append(position)

    mocker.patch.object(Watchlist, "presearch", autospec=True, side_effect=presearch)
    kiosk.one.play(impression_of(LISTED, 1))
    assert kiosk.until_decided()[0].outcome is Outcome.LEAD
    assert set(asked) == {Position.RIGHT_INDEX}


def test_one_finger_presented_for_two_positions_is_asked_for_again(make: Make) -> None:
    kiosk = make(TWO_FINGERS)
    kiosk.add_reference(LISTED)
    kiosk.one.play(impression_of(LISTED, 1), impression_of(LISTED, 2), impression_of(LISTED, 1, Position.RIGHT_THUMB))
    decided, announced = kiosk.until_decided()
    assert decided.outcome is Outcome.LEAD
    steps = [(a.position, a.usable, a.reason) for a in announced if isinstance(a, StepDone)]
    assert [usable for _, usable, _ in steps] == [True, False, True]
    assert steps[1][2] == "same_again"
    assert "That finger has already been read. Please use your right thumb now." in [
        a.text for a in announced if isinstance(a, TravellerMessage)
    ]


def test_one_finger_presented_for_two_positions_at_every_attempt_is_a_failure_to_capture(make: Make) -> None:
    kiosk = make(TWO_FINGERS)
    kiosk.add_reference(LISTED)
    kiosk.one.play(*[impression_of(LISTED, number) for number in range(4)])
    decided, _ = kiosk.until_decided()
    assert decided.reason.missing == (Position.RIGHT_THUMB,)
    assert payload_of(kiosk.events()[0])["attempts"] == 4


def test_two_sensors_capture_in_parallel(make: Make) -> None:
    kiosk = make(TWO_SENSORS)
    kiosk.add_reference(LISTED)
    kiosk.two.play(impression_of(LISTED, 1, Position.RIGHT_THUMB))  # waits there before the first finger comes
    kiosk.one.play(impression_of(LISTED, 1))
    assert kiosk.until_decided()[0].outcome is Outcome.LEAD


def test_a_sensor_that_comes_back_in_time_costs_nothing(make: Make) -> None:
    kiosk = make(TWO_FINGERS)
    kiosk.add_reference(LISTED)
    kiosk.one.play(impression_of(LISTED, 1), LinkLost("unplugged"), impression_of(LISTED, 1, Position.RIGHT_THUMB))
    assert kiosk.until_decided()[0].outcome is Outcome.LEAD
    assert kiosk.one.opened == 2


def test_a_sensor_that_stays_away_is_named_as_the_reason(make: Make) -> None:
    kiosk = make(TWO_SENSORS, step_timeout_s=0.2)
    kiosk.add_reference(LISTED)
    kiosk.two.play(*[LinkLost("unplugged")] * 1000)
    kiosk.one.play(impression_of(UNLISTED, 1))
    decided, _ = kiosk.until_decided()
    assert (decided.outcome, decided.reason.code) == (Outcome.REFER, ReasonCode.SENSOR_UNAVAILABLE)


RIGHT = Step(sensor="camera", position=Position.RIGHT_EYE)
LEFT = Step(sensor="camera", position=Position.LEFT_EYE)
ATTEMPTS = 2


class RemovalCounter(NoStreamHooks):
    """Counts how often the removal of a finger or eye was required."""

    required = 0

    def require_removal(self) -> None:
        self.required += 1


class EyeRig:
    """A scripted camera, its station, and a collector."""

    def __init__(self) -> None:
        self.camera, self.removal = ScriptedSensor(), RemovalCounter()
        self.messages: list[str] = []
        self.on_message: Callable[[], None] = lambda: None
        self.crashes: list[BaseException] = []
        self.station = Station(
            "camera", "scripted", self.camera, lambda *_: None, lambda _, e: self.crashes.append(e), self.removal
        )
        self.station.start()

        stations, encoders = {"camera": self.station}, {Modality.IRIS: iris_encoder()}
        self.on_beat: Callable[[], None] = lambda: None
        self.collector = Collector(stations, encoders, self._take, SystemClock(), 20.0, self._beat)

    def collect(self, into: Collection, *steps: Step, first: "Future[Sample] | None" = None) -> Collection:
        self.collector.collect(steps, into, ATTEMPTS, 20, first)
        return into

    def _beat(self) -> None:
        self.on_beat()

    def _take(self, announcement: Announcement) -> None:
        if isinstance(announcement, TravellerMessage):
            self.messages.append(announcement.text)
            self.on_message()


@pytest.fixture(name="rig")
def _rig() -> Iterator[EyeRig]:
    rig = EyeRig()
    yield rig
    assert rig.station.stop()
    assert not rig.crashes


def test_one_eye_presented_for_both_is_asked_for_again(rig: EyeRig) -> None:
    rig.camera.play(eye_image(Position.RIGHT_EYE, 0), eye_image(Position.RIGHT_EYE, 1), eye_image(Position.LEFT_EYE, 0))
    taken = rig.collect(Collection(), RIGHT, LEFT)
    assert set(taken.captured) == {Position.RIGHT_EYE, Position.LEFT_EYE}
    assert taken.attempts == {Position.RIGHT_EYE: 1, Position.LEFT_EYE: 2}
    assert "That eye has already been read. Please use your left eye now." in rig.messages


def test_one_eye_presented_for_both_at_every_attempt_is_a_failure_to_capture(rig: EyeRig) -> None:
    rig.camera.play(*[eye_image(Position.RIGHT_EYE, number) for number in range(1 + ATTEMPTS)])
    taken = rig.collect(Collection(), RIGHT, LEFT)
    assert taken.missing == {Position.LEFT_EYE: ReasonCode.FAILURE_TO_CAPTURE}


def test_an_eye_of_an_earlier_collection_is_known_too(rig: EyeRig) -> None:
    rig.camera.play(eye_image(Position.RIGHT_EYE, 1), eye_image(Position.LEFT_EYE, 0))
    before = CapturedTemplate(RIGHT, 90, eye_template(Position.RIGHT_EYE, 0))
    taken = rig.collect(Collection(earlier=(before,)), LEFT)
    assert taken.attempts == {Position.LEFT_EYE: 2}


def test_the_same_position_may_be_captured_again(rig: EyeRig) -> None:
    rig.camera.play(eye_image(Position.RIGHT_EYE, 1))
    before = CapturedTemplate(RIGHT, 90, eye_template(Position.RIGHT_EYE, 0))
    assert rig.collect(Collection(earlier=(before,)), RIGHT).attempts == {Position.RIGHT_EYE: 1}


def test_an_eye_that_was_poor_may_stay_and_one_that_was_taken_must_leave(rig: EyeRig) -> None:
    left: list[int] = []
    rig.on_message = lambda: left.append(rig.removal.required)
    rig.camera.play(CLOSED, eye_image(Position.RIGHT_EYE, 0))
    rig.collect(Collection(), RIGHT)
    assert set(left) == {0}
    assert rig.removal.required == 1


def test_an_eye_that_is_given_up_must_leave(rig: EyeRig) -> None:
    rig.camera.play(*[CLOSED] * ATTEMPTS)
    rig.collect(Collection(), LEFT)
    assert rig.removal.required == 1


def test_the_models_of_a_modality_are_those_of_its_encoder(rig: EyeRig) -> None:
    assert rig.collector.models({Modality.IRIS}) == models_of([iris_encoder()])
    assert rig.collector.models({Modality.FINGER}) == {}


def test_what_is_missing_when_it_is_aborted_is_abandoned(rig: EyeRig) -> None:
    rig.on_message = rig.collector.abort
    collection = rig.collect(Collection(), RIGHT, LEFT)
    assert collection.missing == dict.fromkeys((Position.RIGHT_EYE, Position.LEFT_EYE), ReasonCode.ABANDONED)
    assert collection.gap is ReasonCode.ABANDONED


def test_a_collector_that_waits_keeps_the_watchdog_fed(rig: EyeRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture_module, "BEAT_S", 0.001)
    beats: list[None] = []

    def beat() -> None:
        beats.append(None)
        if len(beats) == 3:
            rig.camera.play(eye_image(Position.RIGHT_EYE, 0))

    rig.on_beat = beat
    assert set(rig.collect(Collection(), RIGHT).captured) == {Position.RIGHT_EYE}


def test_a_presentation_that_was_cancelled_is_abandoned(rig: EyeRig) -> None:
    first: Future[Sample] = Future()
    first.cancel()
    assert rig.collect(Collection(), RIGHT, first=first).missing == {Position.RIGHT_EYE: ReasonCode.ABANDONED}
