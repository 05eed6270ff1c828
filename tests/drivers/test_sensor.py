"""The contract of drivers/sensor.py, run for every row of SENSORS on its simulated device; and the table itself."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers import SENSORS, open_sensor
from drivers.errors import Cancelled, CaptureRetry, LinkLost, ProtocolError, Retry
from drivers.options import OptionValue
from drivers.sample import Modality, Position
from drivers.sensor import LiftOverride, LivenessCheck, Sensor, WindowedSensor
from simulators.polling import wait_until
from tests.rigs.sensor_rigs import RIGS
from tests.rigs.simulated_rig import Rig

CANCEL_WITHIN_S = 0.3
REOPEN_WITHIN_S = 2.0
PERSON_S = 5.0  # longer than anything here takes; a time-out would fail the test


def streams(driver: str) -> bool:
    module, _, name = SENSORS[driver].partition(":")
    return bool(getattr(import_module(module), name).streams)


TOUCHED = [driver for driver in SENSORS if not streams(driver)]  # they wait for a person; cameras cannot
waits_for_people = pytest.mark.parametrize("driver", TOUCHED, indirect=True)


@pytest.fixture(params=SENSORS)
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def rig(driver: str, tmp_path: Path) -> Iterator[Rig]:
    with RIGS[driver](tmp_path, False) as rig:
        yield rig


@pytest.fixture
def paced_rig(driver: str, tmp_path: Path) -> Iterator[Rig]:
    with RIGS[driver](tmp_path, True) as rig:
        yield rig


@contextmanager
def attached(driver: str, rig: Rig) -> Iterator[Sensor]:
    sensor = open_sensor(driver, rig.url, rig.options)
    sensor.open()
    try:
        yield sensor
    finally:
        sensor.close()


@pytest.fixture
def sensor(driver: str, rig: Rig) -> Iterator[Sensor]:
    with attached(driver, rig) as sensor:
        yield sensor


def retry_of(sensor: Sensor, timeout: float) -> Retry:
    with pytest.raises(CaptureRetry) as caught:
        sensor.capture(timeout)
    return caught.value.reason


def present(rig: Rig, sensor: Sensor, seed: int) -> NDArray[np.uint8]:
    """Something else is before the sensor: for one that has looks, another look."""
    image = rig.present(seed)
    if isinstance(sensor, WindowedSensor):
        sensor.begin_window()
    return image


def await_removal(rig: Rig, sensor: Sensor) -> None:
    rig.remove()
    assert sensor.streams or retry_of(sensor, 0.0) is Retry.NOTHING_PRESENTED


def cancel_latency(sensor: Sensor, delay: float) -> float:
    """Cancel a capture after `delay` seconds from another thread; return how long it took to end."""
    cancelled_at = list[float]()

    def cancel() -> None:
        cancelled_at.append(time.monotonic())
        sensor.cancel()

    timer = threading.Timer(delay, cancel)
    timer.start()
    with pytest.raises(Cancelled):
        sensor.capture(PERSON_S)
    ended = time.monotonic()
    timer.join()
    return ended - cancelled_at[0]


# What a capture yields


def test_every_row_has_a_rig() -> None:
    assert set(RIGS) == set(SENSORS)


def test_making_a_sensor_touches_no_device(driver: str, rig: Rig) -> None:
    rig.unplug()
    assert isinstance(open_sensor(driver, rig.url, rig.options).modality, Modality)


def test_what_is_presented_comes_out_pixel_by_pixel(driver: str, rig: Rig, sensor: Sensor) -> None:
    for seed in range(3):
        expected = present(rig, sensor, seed)
        sample = sensor.capture(PERSON_S, Position.LEFT_THUMB)
        assert (sample.image == expected).all()
        assert (sample.modality, sample.position) == (sensor.modality, Position.LEFT_THUMB)
        assert driver in sample.device
        await_removal(rig, sensor)


MOUNTINGS: dict[str, tuple[dict[str, OptionValue], Callable[[NDArray[np.uint8]], NDArray[np.uint8]]]] = {
    "rotation 90": ({"rotation": 90}, lambda image: image[::-1].T),
    "rotation 180": ({"rotation": "180"}, lambda image: image[::-1, ::-1]),
    "rotation 270": ({"rotation": 270}, lambda image: image.T[::-1]),
    "mirrored": ({"mirrored": True}, lambda image: image[:, ::-1]),
    "mirrored, then turned": ({"mirrored": "true", "rotation": 90}, lambda image: image[:, ::-1][::-1].T),
}


@pytest.mark.parametrize("mounting", MOUNTINGS)
def test_the_image_of_a_sensor_that_is_not_mounted_upright_is_turned(driver: str, rig: Rig, mounting: str) -> None:
    options, upright = MOUNTINGS[mounting]
    sensor = open_sensor(driver, rig.url, {**rig.options, **options})
    info = sensor.open()
    try:
        image = upright(present(rig, sensor, 5))
        sample = sensor.capture(PERSON_S)
        assert (sample.image == image).all()
        assert sample.image.flags.c_contiguous
        assert info.width in (0, image.shape[1])
        assert isinstance(sensor, LivenessCheck)
        sensor.check_alive()
        assert isinstance(sensor, LiftOverride)
        sensor.forget_finger()
        sensor.cancel()
        with pytest.raises(Cancelled):
            sensor.capture(PERSON_S)
    finally:
        sensor.close()


def test_a_sensor_that_is_mounted_upright_is_the_driver_itself(driver: str, rig: Rig) -> None:
    upright = open_sensor(driver, rig.url, {**rig.options, "rotation": 0, "mirrored": False})
    assert type(upright) is type(open_sensor(driver, rig.url, rig.options))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"rotation": 45}, "option 'rotation': must be one of 0, 90, 180, 270"),
        ({"rotation": "left"}, "option 'rotation': must be a number"),
        ({"mirrored": "perhaps"}, "option 'mirrored'"),
    ],
)
def test_a_mounting_that_does_not_exist_is_refused_by_name(
    driver: str, rig: Rig, options: dict[str, OptionValue], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        open_sensor(driver, rig.url, {**rig.options, **options})


def test_a_sample_cannot_be_changed_and_its_repr_shows_no_pixels(rig: Rig, sensor: Sensor) -> None:
    rig.present(0)
    sample = sensor.capture(PERSON_S)
    with pytest.raises(ValueError, match="read-only"):
        sample.image[0, 0] = 1
    assert len(repr(sample)) < 200


def test_what_open_says_is_what_capture_gives(driver: str, rig: Rig) -> None:
    sensor = open_sensor(driver, rig.url, rig.options)
    info = sensor.open()
    rig.present(0)
    sample = sensor.capture(PERSON_S)
    sensor.close()
    assert info.driver == driver
    assert (info.height, info.width) == sample.image.shape
    assert (info.pixels_per_inch, info.depth_bits) == (sample.pixels_per_inch, sample.depth_bits)


def test_grey_levels_fill_the_range_and_are_no_more_than_told(rig: Rig, sensor: Sensor) -> None:
    rig.present(0)
    sample = sensor.capture(PERSON_S)
    levels = np.unique(sample.image)
    assert (levels[0], levels[-1]) == (0, 255)
    assert len(levels) <= 2**sample.depth_bits


# Waiting for the person


@waits_for_people
def test_nobody_coming_is_a_retry(sensor: Sensor) -> None:
    started = time.monotonic()
    assert retry_of(sensor, 0.2) is Retry.NOTHING_PRESENTED
    assert 0.2 <= time.monotonic() - started < 1.0


@waits_for_people
def test_what_was_not_removed_is_no_new_presentation(rig: Rig, sensor: Sensor) -> None:
    rig.present(0)
    sensor.capture(PERSON_S)
    assert retry_of(sensor, 0.1) is Retry.LIFT_FINGER
    rig.remove()
    presented = threading.Timer(0.2, rig.present, [1])
    presented.start()
    sample = sensor.capture(PERSON_S)
    presented.join()
    assert (sample.image == rig.present(1)).all()


# Cancel


@waits_for_people
def test_cancel_ends_the_wait_for_a_person_and_the_sensor_stays_usable(rig: Rig, sensor: Sensor) -> None:
    assert cancel_latency(sensor, 0.1) < CANCEL_WITHIN_S
    expected = rig.present(2)
    assert (sensor.capture(PERSON_S).image == expected).all()


def test_cancel_ends_a_transfer_anywhere_and_the_next_capture_is_whole(driver: str, paced_rig: Rig) -> None:
    with attached(driver, paced_rig) as sensor:
        for number, delay in enumerate([0.02, 0.3, 0.6]):
            expected = present(paced_rig, sensor, number)
            assert cancel_latency(sensor, delay) < CANCEL_WITHIN_S
            assert (sensor.capture(PERSON_S).image == expected).all()
            await_removal(paced_rig, sensor)


def test_cancel_is_remembered_for_one_capture(rig: Rig, sensor: Sensor) -> None:
    rig.present(0)
    sensor.cancel()
    with pytest.raises(Cancelled):
        sensor.capture(PERSON_S)
    sensor.capture(PERSON_S)


def test_cancel_is_remembered_for_one_open(driver: str, rig: Rig) -> None:
    sensor = open_sensor(driver, rig.url, rig.options)
    sensor.cancel()
    with pytest.raises(Cancelled):
        sensor.open()
    sensor.open()
    sensor.close()


def test_cancel_ends_an_open_that_nobody_answers(driver: str, rig: Rig) -> None:
    rig.silence()
    sensor = open_sensor(driver, rig.url, rig.options)
    timer = threading.Timer(0.1, sensor.cancel)
    timer.start()
    started = time.monotonic()
    with pytest.raises(Cancelled):
        sensor.open()
    assert time.monotonic() - started < 0.1 + CANCEL_WITHIN_S
    timer.join()


# Errors and what follows


def test_a_device_that_is_not_there_is_a_lost_link(driver: str, rig: Rig) -> None:
    rig.unplug()
    sensor = open_sensor(driver, rig.url, rig.options)
    with pytest.raises(LinkLost):
        sensor.open()
    sensor.close()


def test_a_device_is_ours_alone(driver: str, rig: Rig, sensor: Sensor) -> None:
    other = open_sensor(driver, rig.url, rig.options)
    with pytest.raises(LinkLost):
        other.open()
    rig.present(0)
    sensor.capture(PERSON_S)


def test_a_silent_device_is_a_protocol_error(driver: str, rig: Rig) -> None:
    rig.silence()
    sensor = open_sensor(driver, rig.url, rig.options)
    with pytest.raises(ProtocolError):
        sensor.open()


def test_a_device_that_falls_silent_is_a_protocol_error(rig: Rig, sensor: Sensor) -> None:
    rig.silence()
    with pytest.raises(ProtocolError):
        sensor.capture(PERSON_S)


@waits_for_people
def test_unplugging_while_waiting_is_a_lost_link(rig: Rig, sensor: Sensor) -> None:
    timer = threading.Timer(0.1, rig.unplug)
    timer.start()
    with pytest.raises(LinkLost):
        sensor.capture(PERSON_S)
    timer.join()


def test_a_device_that_works_says_so_and_captures_afterwards(rig: Rig, sensor: Sensor) -> None:
    assert isinstance(sensor, LivenessCheck)
    sensor.check_alive()
    image = present(rig, sensor, 3)
    sensor.check_alive()
    assert (sensor.capture(PERSON_S).image == image).all()


def test_an_idle_device_that_is_unplugged_is_noticed(rig: Rig, sensor: Sensor) -> None:
    assert isinstance(sensor, LivenessCheck)
    rig.unplug()
    assert wait_until(lambda: not lives(sensor), PERSON_S)


def lives(sensor: LivenessCheck) -> bool:
    try:
        sensor.check_alive()
    except LinkLost:
        return False
    return True


@waits_for_people
def test_a_finger_that_is_said_to_have_left_is_taken_again(rig: Rig, sensor: Sensor) -> None:
    image = rig.present(4)
    sensor.capture(PERSON_S)
    assert retry_of(sensor, 0.2) is Retry.LIFT_FINGER
    assert isinstance(sensor, LiftOverride)
    sensor.forget_finger()
    assert (sensor.capture(PERSON_S).image == image).all()


def test_unplugging_at_any_byte_of_a_transfer_is_a_lost_link_and_replugging_mends_it(driver: str, rig: Rig) -> None:
    chance = random.Random(5)
    places = [1, rig.transfer_bytes - 1, *(chance.randrange(1, rig.transfer_bytes) for _ in range(8))]
    sensor = open_sensor(driver, rig.url, rig.options)
    sensor.open()
    for place in places:
        expected = present(rig, sensor, place)
        rig.unplug_after(place)
        with pytest.raises(LinkLost):
            sensor.capture(PERSON_S)
        sensor.close()
        rig.replug()
        started = time.monotonic()
        sensor.open()
        assert time.monotonic() - started < REOPEN_WITHIN_S
        assert (sensor.capture(PERSON_S).image == expected).all()
        await_removal(rig, sensor)
    sensor.close()


def test_close_may_come_twice_and_after_anything(driver: str, rig: Rig, sensor: Sensor) -> None:
    rig.unplug()
    with pytest.raises(LinkLost):
        sensor.capture(PERSON_S)
    sensor.close()
    sensor.close()
    with pytest.raises(LinkLost):
        sensor.capture(PERSON_S)
    sensor.cancel()


def test_a_sensor_opens_again_after_close(rig: Rig, sensor: Sensor) -> None:
    for seed in range(3):
        sensor.close()
        sensor.open()
        expected = present(rig, sensor, seed)
        assert (sensor.capture(PERSON_S).image == expected).all()
        await_removal(rig, sensor)


def test_no_thread_is_left_behind(driver: str, rig: Rig) -> None:
    before = threading.active_count()
    with attached(driver, rig) as sensor:
        rig.present(0)
        sensor.capture(PERSON_S)
    assert wait_until(lambda: threading.active_count() <= before, REOPEN_WITHIN_S)  # the device's end of a link too


# The table


def test_a_bad_url_is_refused_before_anything_opens(driver: str) -> None:
    with pytest.raises(ValueError, match="there is no transport 'carrier-pigeon'"):
        open_sensor(driver, "carrier-pigeon:coop")


def test_an_unknown_option_is_refused_by_name(driver: str, rig: Rig) -> None:
    with pytest.raises(ValueError, match="unknown option 'colour'"):
        open_sensor(driver, rig.url, {**rig.options, "colour": "green"})
