"""A camera as a sensor of presentations: scripted frames, glances and a clock of their own."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import chain, repeat

import numpy as np
import pytest

from agent.viewer import FRAME_S, GUIDE_S, IN_VIEW, OUT_OF_VIEW, WINDOW_S, Viewer
from drivers.errors import Cancelled, CaptureRetry, LinkLost, Retry
from drivers.sample import Modality, Position, Sample
from drivers.sensor import DeviceInfo
from models.encoder import Flaw, Quality

PERIOD_S = 0.1
EMPTY = Quality(0, Flaw.EMPTY)
POOR = Quality(10, Flaw.TOO_SMALL)
FAIR = Quality(50)
GOOD = Quality(90)
BEST = Quality(99)
DAMAGED = CaptureRetry(Retry.MOVED)

Seen = Quality | Exception


class ScriptedCamera:
    """Every capture takes PERIOD_S of its own clock and shows the next of `seen`; the last one for ever."""

    modality = Modality.IRIS
    streams = True

    def __init__(self, *seen: Seen) -> None:
        self._seen: Iterator[Seen] = chain(seen, repeat(seen[-1]))
        self.now = 0.0
        self.frames = 0
        self.cancelled = 0
        self._quality: dict[int, Quality] = {}

    def open(self) -> DeviceInfo:
        return DeviceInfo("scripted", "camera", "", "", 4, 4, 0.0, 8)

    def capture(self, timeout: float, position: Position = Position.UNKNOWN) -> Sample:
        assert timeout == FRAME_S
        self.now += PERIOD_S
        seen = next(self._seen)
        if isinstance(seen, Exception):
            raise seen
        self.frames += 1
        image = np.full((4, 4), self.frames % 256, np.uint8)
        self._quality[self.frames % 256] = seen
        return Sample(Modality.IRIS, position, image, 8, 0.0, datetime.now(UTC), "scripted")

    def glance(self, sample: Sample) -> Quality:
        return self._quality[int(sample.image[0, 0])]

    def cancel(self) -> None:
        self.cancelled += 1

    def close(self) -> None:
        """Nothing to close."""


class Look:
    """A viewer over a scripted camera, and what the traveller was told."""

    def __init__(self, *seen: Seen) -> None:
        self.camera = ScriptedCamera(*seen)
        self.told: list[Flaw] = []
        self.viewer = Viewer(
            self.camera,
            self.camera.glance,
            guide=lambda flaw, _: self.told.append(flaw),
            clock=lambda: self.camera.now,
            rest=lambda _: None,
        )

    def capture(self, timeout: float = 5.0, position: Position = Position.RIGHT_EYE) -> int:
        """The number of the frame that was taken."""
        return int(self.viewer.capture(timeout, position).image[0, 0])

    def retry(self, timeout: float) -> Retry:
        with pytest.raises(CaptureRetry) as caught:
            self.viewer.capture(timeout)
        return caught.value.reason


def times(count: float, quality: Seen) -> Sequence[Seen]:
    return [quality] * round(count)


def test_a_good_frame_ends_the_look_early() -> None:
    look = Look(*times(10, EMPTY), *times(IN_VIEW - 1, FAIR), GOOD)
    assert look.capture() == 10 + IN_VIEW
    assert look.camera.now < 10 * PERIOD_S + WINDOW_S


def test_without_a_good_frame_the_best_of_the_window_is_taken() -> None:
    look = Look(*times(4, FAIR), Quality(60), FAIR)
    assert look.capture() == 5
    assert look.camera.now == pytest.approx(WINDOW_S + PERIOD_S)


def test_a_poor_eye_is_looked_at_until_the_time_is_over_and_then_taken_as_it_is() -> None:
    look = Look(POOR, Quality(20, Flaw.TOO_SMALL), POOR)
    assert look.capture(timeout=4.0) == 2
    assert look.camera.now == pytest.approx(4.0)


def test_nobody_is_a_retry() -> None:
    assert Look(EMPTY).retry(1.0) is Retry.NOTHING_PRESENTED


def test_somebody_who_walks_by_is_nobody() -> None:
    assert Look(*times(IN_VIEW - 1, BEST), EMPTY).retry(2.0) is Retry.NOTHING_PRESENTED


def test_a_blink_does_not_end_a_look() -> None:
    look = Look(*times(IN_VIEW, FAIR), EMPTY, GOOD)
    assert look.capture() == IN_VIEW + 2


def test_the_eye_of_a_good_sample_must_leave_first() -> None:
    look = Look(*times(IN_VIEW, GOOD), BEST)
    look.capture()
    assert look.retry(1.0) is Retry.LOOK_AWAY


def test_the_next_eye_is_taken_after_the_first_has_left() -> None:
    away = times(OUT_OF_VIEW, EMPTY)
    look = Look(*times(IN_VIEW, GOOD), *times(3, BEST), *away, *times(IN_VIEW - 1, FAIR), GOOD)
    look.capture()
    assert look.capture(position=Position.LEFT_EYE) == 2 * IN_VIEW + 3 + OUT_OF_VIEW


def test_an_eye_that_leaves_while_nobody_asks_is_seen_to_leave() -> None:
    look = Look(*times(IN_VIEW, GOOD), FAIR, DAMAGED, *times(OUT_OF_VIEW, EMPTY), *times(IN_VIEW, GOOD))
    assert not look.viewer.tend()
    look.capture()
    assert [look.viewer.tend() for _ in range(2 + OUT_OF_VIEW)] == [True] * (1 + OUT_OF_VIEW) + [False]
    frames = look.camera.frames
    assert not look.viewer.tend()
    assert look.camera.frames == frames
    assert look.capture() > frames


def test_after_a_poor_sample_the_same_eye_may_stay() -> None:
    look = Look(*times(10, POOR), GOOD)
    look.capture(timeout=0.95)
    assert look.capture() > 10


def test_the_traveller_is_told_what_is_wrong_when_it_lasts_and_not_at_every_frame() -> None:
    look = Look(POOR)
    look.capture(timeout=3.5 * GUIDE_S)
    assert look.told == [Flaw.TOO_SMALL] * 3


def test_a_flaw_that_passes_is_not_told() -> None:
    look = Look(*times(GUIDE_S / PERIOD_S - 1, POOR), FAIR)
    look.capture()
    assert look.told == []


def test_nobody_is_told_anything_where_nobody_is() -> None:
    look = Look(EMPTY)
    look.retry(5.0)
    assert look.told == []


def test_a_damaged_frame_is_passed_over() -> None:
    assert Look(DAMAGED, FAIR, DAMAGED, FAIR, GOOD).capture() == 3


def test_a_camera_that_only_gives_damage_ends_with_its_reason() -> None:
    assert Look(DAMAGED).retry(1.0) is Retry.MOVED


@pytest.mark.parametrize("error", [Cancelled(), LinkLost("gone")])
def test_other_ends_pass_through(error: Exception) -> None:
    with pytest.raises(type(error)):
        Look(FAIR, error).capture()


def test_cancel_reaches_the_camera() -> None:
    look = Look(EMPTY)
    look.viewer.cancel()
    assert look.camera.cancelled == 1
