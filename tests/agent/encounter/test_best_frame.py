"""A camera as a sensor of presentations: scripted frames with their quality, and a clock of their own."""

from math import inf

import pytest

from agent.encounter.best_frame import (
    BLINK_S,
    CHECK_PAUSE_S,
    GONE_S,
    GUIDE_S,
    IDLE_PAUSE_S,
    LEAVE_TIMEOUT_S,
    MAX_CHECK_PAUSE_S,
    MIN_EYE_FRAMES,
    SLOW_AFTER_S,
    WINDOW_S,
    BestFrameSensor,
)
from drivers.errors import Cancelled, CaptureRetry, LinkLost, Retry
from drivers.sample import Position, Sample
from models.encoder import Flaw, Quality
from tests.rigs.scripted_camera import BEST, DAMAGED, EMPTY, FAIR, GOOD, PERIOD_S, POOR, ScriptedCamera, Seen, times
from tests.rigs.strobing_camera import PATTERNS, StrobingCamera, Visit


class CameraRig:
    """A BestFrameSensor over a scripted camera, and what it told the traveller. Pauses take time only if `rests`."""

    def __init__(self, *seen: Seen, period_s: float = PERIOD_S, rests: bool = False) -> None:
        self.camera = ScriptedCamera(*seen, period_s=period_s)
        self.told: list[Flaw] = []
        self.sensor = BestFrameSensor(
            self.camera,
            self.camera.check_frame,
            guide=lambda flaw, _: self.told.append(flaw),
            clock=lambda: self.camera.now,
            rest=self.camera.skip if rests else lambda _: None,
        )

    def capture(self, timeout: float = 5.0, position: Position = Position.RIGHT_EYE) -> int:
        """The number of the frame that was taken."""
        return int(self.sensor.capture(timeout, position).image[0, 0])

    def retry(self, timeout: float, position: Position = Position.RIGHT_EYE) -> Retry:
        with pytest.raises(CaptureRetry) as caught:
            self.sensor.capture(timeout, position)
        return caught.value.reason

    def check_until_gone(self) -> list[float]:
        """The pauses that a station makes until no check is needed any more."""
        pauses = []
        while (pause := self.sensor.idle_check()) is not None:
            pauses.append(pause)
            self.camera.now += pause
        return pauses


def test_a_good_frame_ends_the_capture_window_early() -> None:
    rig = CameraRig(*times(10, EMPTY), *times(MIN_EYE_FRAMES - 1, FAIR), GOOD)
    assert rig.capture() == 10 + MIN_EYE_FRAMES
    assert rig.camera.now < 10 * PERIOD_S + WINDOW_S


def test_without_a_good_frame_the_best_of_the_window_is_taken() -> None:
    rig = CameraRig(*times(4, FAIR), Quality(60), FAIR)
    assert rig.capture() == 5
    assert rig.camera.now == pytest.approx(WINDOW_S + PERIOD_S)


def test_without_a_usable_frame_the_best_one_is_taken_at_the_timeout() -> None:
    rig = CameraRig(POOR, Quality(20, Flaw.TOO_SMALL), POOR)
    assert rig.capture(timeout=4.0) == 2
    assert rig.camera.now == pytest.approx(4.0)


def test_a_camera_is_told_where_a_capture_window_begins_and_not_of_its_slices() -> None:
    rig = CameraRig(POOR, *times(4, FAIR), GOOD, FAIR, FAIR, GOOD)
    rig.sensor.set_time_left(2.0)
    assert rig.retry(0.2) is Retry.NOTHING_PRESENTED  # a slice: the next goes on with the look
    assert rig.capture() == 6
    assert rig.camera.windows == [0]
    assert rig.capture(position=Position.LEFT_EYE) == 9
    assert rig.camera.windows == [0, 6]


def test_nobody_in_view_is_a_retry() -> None:
    assert CameraRig(EMPTY).retry(1.0) is Retry.NOTHING_PRESENTED


def test_somebody_who_walks_past_is_not_captured() -> None:
    assert CameraRig(*times(MIN_EYE_FRAMES - 1, BEST), EMPTY).retry(2.0) is Retry.NOTHING_PRESENTED


def test_a_blink_does_not_end_a_capture_window() -> None:
    rig = CameraRig(*times(MIN_EYE_FRAMES, FAIR), EMPTY, GOOD)
    assert rig.capture() == MIN_EYE_FRAMES + 2


def test_a_blink_of_four_tenths_of_a_second_does_not_end_a_capture_window() -> None:
    rig = CameraRig(*times(MIN_EYE_FRAMES, Quality(60)), *times(4, EMPTY), FAIR)
    assert rig.capture() == 1
    assert rig.camera.now == pytest.approx(WINDOW_S + PERIOD_S)


def test_a_glimpse_of_one_person_is_not_taken_for_the_next() -> None:
    rig = CameraRig(BEST, BEST, EMPTY, EMPTY, POOR)
    assert rig.capture(timeout=2.0) == 5


def test_a_person_who_leaves_early_is_not_taken_for_the_next() -> None:
    rig = CameraRig(*times(MIN_EYE_FRAMES, Quality(65)), *times(BLINK_S / PERIOD_S + 2, EMPTY), POOR)
    assert rig.capture(timeout=4.0) > MIN_EYE_FRAMES


def test_a_person_who_leaves_early_gives_no_sample() -> None:
    assert CameraRig(*times(MIN_EYE_FRAMES, Quality(65)), EMPTY).retry(4.0) is Retry.NOTHING_PRESENTED


def test_a_slow_frame_rate_is_not_a_blink() -> None:
    assert CameraRig(FAIR, FAIR, GOOD, period_s=0.8).capture() == 3


def test_a_capture_window_continues_over_the_slices_of_a_request() -> None:
    rig = CameraRig(*times(7, EMPTY), POOR, Quality(60), POOR)
    rig.sensor.set_time_left(15.0)
    assert rig.retry(1.0) is Retry.NOTHING_PRESENTED
    rig.sensor.set_time_left(14.0)
    assert rig.capture() == 9


def test_a_poor_frame_is_given_only_at_the_end_of_the_request() -> None:
    rig = CameraRig(Quality(30), POOR)
    for left in (2.5, 1.5):
        rig.sensor.set_time_left(left)
        assert rig.retry(1.0) is Retry.NOTHING_PRESENTED
    rig.sensor.set_time_left(0.5)
    assert rig.capture(timeout=0.5) == 1


def test_a_capture_window_of_one_position_is_not_used_for_another() -> None:
    rig = CameraRig(*times(MIN_EYE_FRAMES, Quality(35)), POOR)
    rig.sensor.set_time_left(2.0)
    rig.retry(1.0)
    rig.sensor.set_time_left(1.0)
    assert rig.capture(1.0, Position.LEFT_EYE) > MIN_EYE_FRAMES


def test_a_request_without_an_end_gets_no_poor_frame() -> None:
    rig = CameraRig(Quality(30))
    for _ in range(10):
        rig.sensor.set_time_left(inf)
        assert rig.retry(5.0) is Retry.NOTHING_PRESENTED


def test_an_eye_that_was_accepted_must_leave_before_the_next_sample() -> None:
    rig = CameraRig(*times(MIN_EYE_FRAMES, GOOD), BEST)
    rig.capture()
    rig.sensor.require_removal()
    began = rig.camera.now
    assert rig.retry(20.0) is Retry.LOOK_AWAY
    assert rig.camera.now == pytest.approx(began + LEAVE_TIMEOUT_S)


def test_nobody_is_asked_to_leave_while_no_other_sample_is_requested() -> None:
    rig = CameraRig(*times(MIN_EYE_FRAMES, GOOD), BEST)
    rig.capture()
    rig.sensor.require_removal()
    rig.sensor.set_time_left(inf)
    began = rig.camera.now
    assert rig.retry(5.0) is Retry.LOOK_AWAY
    assert rig.camera.now == pytest.approx(began + 5.0, abs=1.5 * PERIOD_S)


def test_a_person_who_was_asked_to_leave_is_then_asked_to_come() -> None:
    rig = CameraRig(*times(MIN_EYE_FRAMES, GOOD), *times(20, BEST), *times(8, EMPTY), GOOD)
    rig.capture()
    rig.sensor.require_removal()
    assert rig.retry(10.0) is Retry.LOOK_AWAY
    assert rig.told == []
    rig.capture()
    assert rig.told == [Flaw.EMPTY]


def test_the_next_eye_is_taken_after_the_first_has_left() -> None:
    away = times(GONE_S / PERIOD_S + 1, EMPTY)
    rig = CameraRig(*times(MIN_EYE_FRAMES, GOOD), *times(3, BEST), *away, *times(MIN_EYE_FRAMES - 1, FAIR), GOOD)
    rig.capture()
    rig.sensor.require_removal()
    assert rig.capture(position=Position.LEFT_EYE) == MIN_EYE_FRAMES + 3 + len(away) + MIN_EYE_FRAMES


@pytest.mark.parametrize("frames", [1, 3, 4])
def test_an_eye_that_blinks_has_not_left(frames: int) -> None:
    rig = CameraRig(*times(MIN_EYE_FRAMES, GOOD), BEST, *times(frames, EMPTY), BEST)
    rig.capture()
    rig.sensor.require_removal()
    assert rig.retry(LEAVE_TIMEOUT_S) is Retry.LOOK_AWAY


def test_an_eye_that_leaves_between_two_requests_is_noticed() -> None:
    rig = CameraRig(*times(MIN_EYE_FRAMES, GOOD), FAIR, DAMAGED, *times(20, EMPTY), *times(MIN_EYE_FRAMES, GOOD))
    assert rig.sensor.idle_check() is None
    rig.capture()
    rig.sensor.require_removal()
    assert rig.check_until_gone()
    frames = rig.camera.frames
    assert rig.sensor.idle_check() is None
    assert rig.camera.frames == frames
    assert rig.capture() > frames


def test_an_eye_that_leaves_before_its_sample_is_assessed_need_not_leave_again() -> None:
    rig = CameraRig(*times(MIN_EYE_FRAMES, GOOD), *times(7, EMPTY), *times(MIN_EYE_FRAMES, GOOD))
    rig.capture()
    rig.check_until_gone()
    rig.sensor.require_removal()
    assert rig.capture() > MIN_EYE_FRAMES


def test_an_eye_that_stays_is_checked_more_and_more_rarely_and_often_when_it_may_be_leaving() -> None:
    rig = CameraRig(*times(MIN_EYE_FRAMES, GOOD), *times(10, BEST), EMPTY)
    rig.capture()
    pauses = rig.check_until_gone()
    assert pauses[:3] == [2 * CHECK_PAUSE_S, 4 * CHECK_PAUSE_S, 8 * CHECK_PAUSE_S]
    assert set(pauses[4:10]) == {MAX_CHECK_PAUSE_S}
    assert set(pauses[10:]) == {CHECK_PAUSE_S}


def test_waiting_for_an_eye_to_leave_pauses_between_frames() -> None:
    rig = CameraRig(*times(MIN_EYE_FRAMES, GOOD), BEST, rests=True)
    rig.capture()
    rig.sensor.require_removal()
    rig.sensor.set_time_left(inf)
    before = rig.camera.captures
    rig.retry(30.0)
    assert rig.camera.captures - before <= 30.0 / IDLE_PAUSE_S / 1.4


def test_an_object_without_a_usable_frame_is_checked_more_rarely() -> None:
    rig = CameraRig(POOR, rests=True)
    rig.sensor.set_time_left(inf)
    rig.retry(SLOW_AFTER_S)
    before = rig.camera.captures
    rig.sensor.set_time_left(inf)
    rig.retry(30.0)
    assert rig.camera.captures - before <= 30.0 / (IDLE_PAUSE_S + PERIOD_S) + 2


def test_a_camera_that_delivers_only_damaged_frames_keeps_no_core_busy() -> None:
    rig = CameraRig(DAMAGED, period_s=0.0, rests=True)
    rig.retry(1.0)
    assert rig.camera.captures <= 21


def test_after_a_sample_that_was_not_accepted_the_same_eye_may_stay() -> None:
    rig = CameraRig(*times(MIN_EYE_FRAMES, GOOD), BEST)
    rig.capture()
    assert rig.capture() == MIN_EYE_FRAMES + 1


def test_the_traveller_is_told_what_is_wrong_when_it_lasts_and_not_at_every_frame() -> None:
    rig = CameraRig(POOR)
    rig.capture(timeout=3.5 * GUIDE_S)
    assert rig.told == [Flaw.TOO_SMALL] * 3


def test_a_flaw_that_passes_is_not_told() -> None:
    rig = CameraRig(*times(GUIDE_S / PERIOD_S - 1, POOR), FAIR)
    rig.capture()
    assert rig.told == []


def test_without_an_eye_there_are_no_messages() -> None:
    rig = CameraRig(EMPTY)
    rig.retry(5.0)
    assert rig.told == []


def test_a_damaged_frame_is_skipped() -> None:
    assert CameraRig(DAMAGED, FAIR, DAMAGED, FAIR, GOOD).capture() == 3


def test_only_damaged_frames_end_with_their_reason() -> None:
    assert CameraRig(DAMAGED).retry(1.0) is Retry.MOVED


@pytest.mark.parametrize("error", [Cancelled(), LinkLost("gone")])
def test_other_ends_pass_through(error: Exception) -> None:
    with pytest.raises(type(error)):
        CameraRig(FAIR, error).capture()


def test_cancel_reaches_the_camera() -> None:
    rig = CameraRig(EMPTY)
    rig.sensor.cancel()
    assert rig.camera.cancelled == 1


def test_open_and_close_reach_the_camera() -> None:
    rig = CameraRig(EMPTY)
    assert rig.sensor.open().model == rig.camera.open().model
    rig.sensor.close()
    assert rig.camera.closed == 1


def test_cancel_ends_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.encounter.best_frame.IDLE_PAUSE_S", 3600.0)
    camera = ScriptedCamera(EMPTY)

    def check_and_cancel(sample: Sample) -> Quality:
        sensor.cancel()  # while the frame is checked: before the pause of an hour
        return camera.check_frame(sample)

    sensor = BestFrameSensor(camera, check_and_cancel, guide=lambda *_: None, clock=lambda: camera.now)
    with pytest.raises(Cancelled):
        sensor.capture(7200.0)
    assert camera.captures == 1


# A lamp that strobes: frames of a rate, lit or not, and people who come and go


def strobing(camera: StrobingCamera, told: list[Flaw] | None = None) -> BestFrameSensor:
    def guide(flaw: Flaw, _position: Position) -> None:
        if told is not None:
            told.append(flaw)

    return BestFrameSensor(camera, camera.check, guide, clock=camera.clock(), rest=camera.rest)


def was_lit(sample: Sample) -> bool:
    return bool(sample.image[1, 2])


def person_of(sample: Sample) -> int:
    return int(sample.image[1, 1])


@pytest.mark.parametrize("order", ["eye dark", "dark eye", "eye eye dark", "eye dark dark", "dark dark eye"])
@pytest.mark.parametrize("eye", [GOOD, FAIR])
def test_an_eye_that_every_second_or_third_frame_shows_gives_a_sample(order: str, eye: Quality) -> None:
    frames = [eye if frame == "eye" else EMPTY for frame in order.split()]
    number = CameraRig(*frames * 30).capture(timeout=3.0)
    assert frames[(number - 1) % len(frames)] is eye


RATES = [(30.0, 0.005), (30.0, 0.045), (30.0, 0.065), (15.0, 0.03), (10.0, 0.03), (60.0, 0.02)]


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize(("fps", "check_s"), RATES)
@pytest.mark.parametrize("first", [0, 1])
def test_an_eye_in_the_light_of_a_strobing_lamp_is_found_soon(
    pattern: str, fps: float, check_s: float, first: int
) -> None:
    camera = StrobingCamera([Visit(1, since=2.0)], pattern, fps=fps, check_s=check_s, first=first)
    sample = strobing(camera).capture(10.0)
    assert was_lit(sample)
    assert camera.now < 5.0


@pytest.mark.parametrize("pattern", PATTERNS)
def test_nobody_before_a_strobing_lamp_is_nobody(pattern: str) -> None:
    sensor = strobing(StrobingCamera([], pattern))
    with pytest.raises(CaptureRetry) as caught:
        sensor.capture(5.0)
    assert caught.value.reason is Retry.NOTHING_PRESENTED


@pytest.mark.parametrize("pattern", ["1 of 2", "2 of 3", "1 of 3"])
@pytest.mark.parametrize("level", [12, 30, 60])
@pytest.mark.parametrize("first", [0, 1, 2])
def test_a_frame_in_the_light_of_the_room_is_not_the_best_one(pattern: str, level: int, first: int) -> None:
    """A dark eye may get a better score than a lit one: the check makes up for the contrast, and noise looks sharp."""
    visits = [Visit(1, since=1.0, until=4.0, lit=Quality(60), unlit=Quality(65), unlit_level=level),
              Visit(2, since=6.0, lit=Quality(60), unlit=Quality(99), unlit_level=level)]  # fmt: skip
    camera = StrobingCamera(visits, pattern, first=first)
    sensor = strobing(camera)
    for person in (1, 2):
        sample = sensor.capture(10.0)
        assert (person_of(sample), was_lit(sample)) == (person, True)
        sensor.require_removal()
        camera.now = max(camera.now, 4.5)


@pytest.mark.parametrize("pattern", ["1 of 2", "2 of 3", "1 of 3"])
@pytest.mark.parametrize("first", [0, 1, 2])
@pytest.mark.parametrize("unlit", [Quality(95), Quality(100)])
def test_the_very_first_sample_is_a_lit_frame_though_it_is_taken_at_once(
    pattern: str, first: int, unlit: Quality
) -> None:
    """Good frames end a capture window before the lamp can be known to strobe."""
    for since in (1.0, 1.03, 1.07, 1.1):
        camera = StrobingCamera([Visit(1, since, lit=Quality(97), unlit=unlit, unlit_level=40)], pattern, first=first)
        assert was_lit(strobing(camera).capture(10.0))


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize(("fps", "check_s"), RATES)
def test_an_eye_that_stays_before_a_strobing_lamp_has_not_left_and_one_that_leaves_has(
    pattern: str, fps: float, check_s: float
) -> None:
    camera = StrobingCamera([Visit(1, since=1.0, until=20.0)], pattern, fps=fps, check_s=check_s)
    sensor = strobing(camera)
    sensor.capture(10.0)
    sensor.require_removal()
    while (pause := sensor.idle_check()) is not None:
        camera.now += pause
    assert 20.0 + GONE_S - 0.1 <= camera.now <= 20.0 + GONE_S + MAX_CHECK_PAUSE_S + 0.35


def test_an_eye_that_stays_before_a_strobing_lamp_is_checked_rarely() -> None:
    camera = StrobingCamera([Visit(1, since=1.0)], "1 of 2")
    sensor = strobing(camera)
    sensor.capture(10.0)
    sensor.require_removal()
    before, end = camera.captures, camera.now + 30.0
    while camera.now < end:
        camera.now += sensor.idle_check() or inf
    assert camera.captures - before < 30.0 / MAX_CHECK_PAUSE_S * 2


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("away", [0.65, 0.8, 1.5])
def test_the_frames_of_two_people_before_a_strobing_lamp_are_not_mixed(pattern: str, away: float) -> None:
    visits = [Visit(1, since=1.0, until=1.9, lit=Quality(65)), Visit(2, since=1.9 + away, lit=Quality(60))]
    assert person_of(strobing(StrobingCamera(visits, pattern)).capture(10.0)) == 2


@pytest.mark.parametrize("pattern", PATTERNS)
def test_somebody_who_leaves_early_before_a_strobing_lamp_gives_no_sample(pattern: str) -> None:
    sensor = strobing(StrobingCamera([Visit(1, since=1.0, until=1.9, lit=Quality(65))], pattern))
    with pytest.raises(CaptureRetry):
        sensor.capture(4.0)


@pytest.mark.parametrize("unlit", [EMPTY, Quality(5, Flaw.TOO_FAR)])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_traveller_before_a_strobing_lamp_is_told_what_is_wrong(pattern: str, unlit: Quality) -> None:
    told = list[Flaw]()
    camera = StrobingCamera([Visit(1, since=0.0, lit=POOR, unlit=unlit)], pattern)
    strobing(camera, told).capture(3.5 * GUIDE_S)
    assert told[:2] == [Flaw.TOO_SMALL] * 2


def test_a_damaged_frame_does_not_end_the_wait_for_an_eye_to_leave() -> None:
    rig = CameraRig(*times(MIN_EYE_FRAMES, GOOD), BEST, DAMAGED, *times(9, EMPTY), *times(MIN_EYE_FRAMES, GOOD))
    rig.capture()
    rig.sensor.require_removal()
    assert rig.capture() > MIN_EYE_FRAMES + 1
