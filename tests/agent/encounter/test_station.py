"""A station's thread serves requests, reopens a device that failed, and stops."""

import math
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager

import numpy as np
import pytest

from agent.config import PresenceConfig, Step
from agent.encounter import station as station_module
from agent.encounter.best_frame import DAMAGED_PAUSE_S, LEAVE_TIMEOUT_S, MIN_EYE_FRAMES, BestFrameSensor
from agent.encounter.presence import FIRST_REST_S, PresenceMonitor
from agent.encounter.station import SLICE_S, NoStreamHooks, PresenceCheck, Station, StreamHooks
from agent.events.event import SensorState
from drivers.errors import Cancelled, CaptureRetry, LinkLost, ProtocolError, Retry
from drivers.sample import Position, Sample
from drivers.sensor import Sensor
from simulators.polling import wait_until
from tests.rigs.scripted_camera import DAMAGED, EMPTY, FAIR, GOOD, PERIOD_S, POOR, ScriptedCamera, Seen, times
from tests.rigs.scripted_sensor import Act, ScriptedSensor

STEP = Step(sensor="finger", position=Position.RIGHT_INDEX)
IMAGE = np.full((288, 256), 200, np.uint8)
SOON = 5.0


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(station_module, "BACKOFF_S", {LinkLost: (0.01, 0.02), ProtocolError: (0.01, 0.02)})


class States:
    """The states that the station reports, in order."""

    def __init__(self) -> None:
        self.heard: queue.SimpleQueue[SensorState] = queue.SimpleQueue()

    def __call__(self, _: str, state: SensorState) -> None:
        self.heard.put(state)

    def until(self, state: str) -> list[SensorState]:
        told = [self.heard.get(timeout=SOON)]
        while told[-1].state != state:
            told.append(self.heard.get(timeout=SOON))
        return told

    def wait_for(self, state: str) -> SensorState:
        return self.until(state)[-1]


@contextmanager
def running(
    sensor: Sensor,
    states: States | None = None,
    hooks: StreamHooks | None = None,
    clock: Callable[[], float] = time.monotonic,
    presence: PresenceCheck | None = None,
) -> Iterator[Station]:
    crashes: list[BaseException] = []
    station = Station(
        "finger", "scripted", sensor, states or States(), lambda _, error: crashes.append(error), hooks, clock, presence
    )
    station.start()
    try:
        yield station
    finally:
        assert station.stop()
        assert not crashes


def result(future: "Future[Sample]") -> Sample:
    return future.result(timeout=SOON)


def test_a_request_yields_the_sample_of_its_position() -> None:
    with running(ScriptedSensor([IMAGE])) as station:
        assert result(station.capture(STEP, 1)).position is Position.RIGHT_INDEX


def test_a_retry_reaches_the_request() -> None:
    with running(ScriptedSensor([CaptureRetry(Retry.MOVED)])) as station, pytest.raises(CaptureRetry, match="moved"):
        result(station.capture(STEP, 1))


def test_nobody_within_the_time_is_a_retry() -> None:
    with running(ScriptedSensor()) as station, pytest.raises(CaptureRetry, match="nothing_presented"):
        result(station.capture(STEP, 0.05))


def test_a_lost_link_is_reopened_and_the_request_goes_on() -> None:
    sensor, states = ScriptedSensor([LinkLost("gone"), IMAGE], [None, LinkLost("gone"), None]), States()
    with running(sensor, states) as station:
        assert result(station.capture(STEP, SOON)).image.shape == (288, 256)
        states.wait_for("ready")
        assert states.wait_for("fault").detail == "gone"
        states.wait_for("ready")
    assert sensor.opened == 2


def test_a_device_that_does_not_come_back_in_time_ends_the_request_with_its_error() -> None:
    sensor = ScriptedSensor([], [ProtocolError("nonsense") for _ in range(1000)])
    with running(sensor) as station, pytest.raises(ProtocolError):
        result(station.capture(STEP, 0.05))


@pytest.mark.parametrize("asked", [False, True])
def test_a_device_that_is_plugged_in_is_tried_immediately(monkeypatch: pytest.MonkeyPatch, asked: bool) -> None:  # noqa: FBT001
    monkeypatch.setattr(station_module, "BACKOFF_S", {ProtocolError: (3600.0, 3600.0)})
    states = States()
    with running(ScriptedSensor([IMAGE], opens=[ProtocolError("nonsense")]), states) as station:
        states.wait_for("fault")
        future = station.capture(STEP, None) if asked else None
        station.retry_now()
        states.wait_for("ready")
        assert future is None or result(future).position is STEP.position


def test_a_fault_is_reported_once_however_often_opening_fails() -> None:
    sensor, states = ScriptedSensor([], [LinkLost("gone")] * 5), States()
    with running(sensor, states):
        assert [told.state for told in states.until("ready")] == ["closed", "fault", "ready"]


def test_first_failure_is_a_warning_repeats_are_not(caplog: pytest.LogCaptureFixture) -> None:
    sensor, states = ScriptedSensor([], [LinkLost("gone")] * 4), States()
    with caplog.at_level("DEBUG", "agent.encounter.station"), running(sensor, states):
        states.wait_for("ready")
    levels = [record.levelname for record in caplog.records]
    assert levels == ["WARNING", "DEBUG", "DEBUG", "DEBUG", "INFO"]


def test_a_cancelled_request_frees_the_station_for_the_next() -> None:
    sensor = ScriptedSensor()
    with running(sensor) as station:
        waiting = station.capture(STEP, None)
        assert waiting.cancel()
        station.interrupt()
        following = station.capture(STEP, SOON)
        sensor.play(IMAGE)
        assert result(following).position is Position.RIGHT_INDEX


def test_a_sample_of_a_cancelled_request_is_dropped() -> None:
    sensor = ScriptedSensor()
    with running(sensor) as station:
        waiting = station.capture(STEP, None)
        assert wait_until(lambda: sensor.asked == 1, SOON)
        assert waiting.cancel()
        sensor.play(IMAGE, IMAGE // 2)
        assert result(station.capture(STEP, SOON)).image[0, 0] == 100


def test_a_cancel_that_nobody_asked_for_does_not_lose_the_request() -> None:
    sensor = ScriptedSensor([Cancelled(), IMAGE])
    with running(sensor) as station:
        assert result(station.capture(STEP, SOON)).position is Position.RIGHT_INDEX


class RecordingHooks(NoStreamHooks):
    """Asks for a few idle checks, then for no more, and records the time left."""

    def __init__(self, *pauses: float) -> None:
        self._pauses = list(pauses)
        self.enough = threading.Event()
        self.expected: list[float] = []

    def set_time_left(self, left: float) -> None:
        self.expected.append(left)

    def idle_check(self) -> float | None:  # type: ignore[override]  # the base class never asks for a check
        if not self._pauses:
            self.enough.set()
            return None
        return self._pauses.pop(0)


def test_idle_checks_are_made_between_requests_until_none_is_needed() -> None:
    recorder = RecordingHooks(0.01, 0.02, 0.01)
    with running(ScriptedSensor(), hooks=recorder):
        assert recorder.enough.wait(SOON)


def test_a_streaming_sensor_is_told_how_long_the_request_lasts_beyond_the_slice() -> None:
    recorder, slices = RecordingHooks(), [CaptureRetry(Retry.NOTHING_PRESENTED)] * 2
    with running(ScriptedSensor([*slices, IMAGE, IMAGE]), hooks=recorder, clock=lambda: 100.0) as station:
        result(station.capture(STEP, 20.0))
        result(station.capture(STEP, None))
    assert recorder.expected == [20.0, 20.0, 20.0, math.inf]


def best_frame_sensor(camera: ScriptedCamera) -> BestFrameSensor:
    return BestFrameSensor(
        camera, camera.check_frame, guide=lambda *_: None, clock=lambda: camera.now, rest=camera.skip
    )


@contextmanager
def running_camera(*seen: Seen) -> Iterator[tuple[Station, ScriptedCamera]]:
    """A station, a BestFrameSensor and a scripted camera; all three use the camera's clock."""
    camera = ScriptedCamera(*seen)
    sensor = best_frame_sensor(camera)
    with running(sensor, hooks=sensor, clock=lambda: camera.now) as station:
        yield station, camera


EYE = Step(sensor="camera", position=Position.RIGHT_EYE)


def number(sample: Sample) -> int:
    """Which frame it is."""
    return int(sample.image[0, 0])


def test_a_capture_window_that_begins_at_the_end_of_a_slice_is_not_cut() -> None:
    with running_camera(
        *times((SLICE_S - 0.3) / (PERIOD_S + DAMAGED_PAUSE_S), DAMAGED), *times(6, POOR), GOOD, POOR
    ) as (
        station,
        camera,
    ):
        assert camera.quality(result(station.capture(EYE, 20.0))) is GOOD


def test_a_poor_frame_is_taken_at_the_end_of_the_whole_request() -> None:
    with running_camera(POOR) as (station, camera):
        assert camera.quality(result(station.capture(EYE, 12.0))) is POOR
        assert camera.now == pytest.approx(12.0, abs=2 * PERIOD_S)


def test_an_object_without_a_usable_frame_starts_nothing() -> None:
    with running_camera(*times(150, POOR), GOOD) as (station, camera):
        assert camera.quality(result(station.capture(EYE, None))) is GOOD
        assert camera.now > 3 * SLICE_S


def test_an_accepted_eye_is_checked_until_it_has_left() -> None:
    with running_camera(*times(MIN_EYE_FRAMES, GOOD), *times(4, FAIR), *times(8, EMPTY), GOOD) as (station, camera):
        result(station.capture(EYE, 20.0))
        station.require_removal()
        assert camera.wait_for_capture(MIN_EYE_FRAMES + 4 + 2, SOON)
        assert number(result(station.capture(EYE, 20.0))) > MIN_EYE_FRAMES + 4 + 4


def test_an_accepted_eye_that_stays_is_reported_soon() -> None:
    with running_camera(GOOD) as (station, camera):
        result(station.capture(EYE, 20.0))
        station.require_removal()
        began = camera.now
        with pytest.raises(CaptureRetry, match="look_away"):
            result(station.capture(EYE, 20.0))
        assert camera.now - began < LEAVE_TIMEOUT_S + 2.0


@pytest.mark.parametrize(
    "sensor",
    [ScriptedSensor(), ScriptedSensor([], [LinkLost("gone")] * 10_000), ScriptedSensor([LinkLost("gone")] * 100)],
    ids=["waiting", "device gone", "device coming and going"],
)
def test_it_stops_in_every_state_and_gives_the_device_back(sensor: ScriptedSensor) -> None:
    with running(sensor) as station:
        station.capture(STEP, None)
    assert not station.alive
    assert sensor.closed >= 1


def test_a_driver_that_breaks_its_contract_crashes_the_worker_with_its_reason() -> None:
    crashes: queue.SimpleQueue[tuple[str, BaseException]] = queue.SimpleQueue()
    station = Station(
        "finger", "scripted", ScriptedSensor([ValueError("a bug")]), States(), lambda *crash: crashes.put(crash)
    )
    station.start()
    station.capture(STEP, 1)
    name, error = crashes.get(timeout=SOON)
    assert (name, str(error)) == ("station finger", "a bug")
    station.stop()


class LiftingSensor(ScriptedSensor):
    """A sensor that can be told not to wait for a lift, and asked whether it lives."""

    def __init__(self, captures: Iterable[Act] = ()) -> None:
        super().__init__(captures)
        self.forgot = 0
        self.dead = threading.Event()

    def forget_finger(self) -> None:
        self.forgot += 1

    def check_alive(self) -> None:
        if self.dead.is_set():
            raise ProtocolError("fell back to its power-on state")


NOBODY, OTHER = np.full((288, 256), 255, np.uint8), np.full((288, 256), 100, np.uint8)


def judged(tell: Callable[[str, Position], None] = lambda *_: None, always_s: float = 60.0) -> PresenceCheck:
    """A check for which white images show nobody."""
    limits = PresenceConfig(always_after_s=always_s)
    return PresenceCheck(PresenceMonitor(limits), lambda sample: bool(sample.image.min() < 255), tell)


def test_an_image_of_nobody_ends_no_request_and_the_traveller_is_told_a_few_times() -> None:
    told: list[str] = []
    sensor = LiftingSensor([NOBODY] * 4 + [IMAGE])
    with running(sensor, presence=judged(lambda key, _: told.append(key))) as station:
        assert (result(station.capture(STEP, None)).image == IMAGE).all()
        assert station.false_presentations == 4
    assert told == ["empty", "empty", "go_to_officer"]
    assert sensor.forgot == 4


@pytest.mark.parametrize("timeout", [0.0, 0.6])
def test_at_the_end_of_the_time_the_image_of_nobody_is_the_sample(timeout: float) -> None:
    """Its quality then says what is wrong with it."""
    with running(LiftingSensor([NOBODY]), presence=judged()) as station:
        assert (result(station.capture(STEP, timeout)).image == NOBODY).all()


def test_a_finger_that_stays_is_looked_at_and_not_taken_for_a_new_one() -> None:
    lift = CaptureRetry(Retry.LIFT_FINGER)
    states, sensor, now = States(), LiftingSensor([IMAGE, lift]), [0.0]
    presence = PresenceCheck(PresenceMonitor(PresenceConfig(), clock=lambda: now[0]))
    with running(sensor, states, clock=lambda: now[0], presence=presence) as station:
        result(station.capture(STEP, None))
        with pytest.raises(CaptureRetry):
            result(station.capture(STEP, None))
        now[0] += 60.0
        sensor.play(lift)
        future = station.capture(STEP, None)
        states.wait_for("always_present")
        now[0] += 60.0
        sensor.play(lift, IMAGE)  # the second is of the finger that still rests there
        assert wait_until(lambda: sensor.forgot == 2, SOON)
        sensor.play(CaptureRetry(Retry.NOTHING_PRESENTED), OTHER)
        assert (result(future).image == OTHER).all()
        states.wait_for("ready")


def test_a_station_that_is_told_that_nobody_was_there_rests() -> None:
    sensor = LiftingSensor([IMAGE, IMAGE])
    with running(sensor, presence=judged()) as station:
        result(station.capture(STEP, None))
        station.nobody_was_there()
        began = time.monotonic()
        result(station.capture(STEP, None))
        assert time.monotonic() - began >= FIRST_REST_S
    assert (station.false_presentations, sensor.forgot) == (1, 1)


def test_a_request_that_nobody_waits_for_ends_a_rest() -> None:
    sensor = LiftingSensor([NOBODY] * 8)
    with running(sensor, presence=judged()) as station:
        future = station.capture(STEP, None)
        assert wait_until(lambda: station.false_presentations >= 4, SOON)
        future.cancel()
        station.interrupt()
        sensor.play(IMAGE)


def test_an_idle_sensor_is_asked_whether_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(station_module, "SLICE_S", 0.01)
    states, sensor = States(), LiftingSensor()
    with running(sensor, states):
        states.wait_for("ready")
        sensor.dead.set()
        assert states.wait_for("fault").detail == "fell back to its power-on state"
        sensor.dead.clear()
        states.wait_for("ready")
