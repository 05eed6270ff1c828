"""What a driver does on open, failure, cancel and close, with a device that only notes what is done to it."""

import itertools
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.ef01.driver import Ef01
from drivers.errors import Cancelled, CaptureRetry, DeviceBusy, LinkLost, ProtocolError, SensorError
from drivers.options import OptionValue
from drivers.sensor import Sensor
from drivers.session import CLOSE_S, GREETING_S, TOTAL_S, LimitedTransport, SensorSession, TimeLimit
from drivers.sfm.driver import Sfm
from simulators.sensors.ef01.device import Ef01Module, Ef01Settings
from simulators.sensors.sfm.device import SfmModule, SfmSettings
from tests.conftest import FakeClock
from tests.rigs.virtual_serial import VirtualPort
from tests.rigs.virtual_usb import VirtualTime


class NotedDevice:
    """A device that is held in an Attachment: counts the calls."""

    def __init__(self) -> None:
        self.cancels = self.closes = 0

    def cancel(self) -> None:
        self.cancels += 1

    def close(self) -> None:
        self.closes += 1


class Driver(SensorSession):
    """A driver of one NotedDevice; open() ends with `error` if there is one."""

    def __init__(self) -> None:
        super().__init__("noted at usb:1209:0001")
        self.device: NotedDevice | None = None
        self.releases = 0

    def open(self, error: BaseException | None = None) -> NotedDevice:
        with self._opening(), self._named_errors():
            device = NotedDevice()
            self._attachment.attach(device)
            if error is not None:
                raise error
            self.device = device
            return device

    def capture(self, error: BaseException | None = None) -> NotedDevice:
        with self._attachment.attempt():
            device = self._require_open(self.device)
            if error is not None:
                raise error
            return device

    def _release(self) -> None:
        self.device = None
        self.releases += 1


@pytest.fixture(name="driver")
def _driver() -> Driver:
    return Driver()


def test_a_second_open_closes_the_device_first(driver: Driver) -> None:
    first = driver.open()
    second = driver.open()
    assert (first.closes, second.closes) == (1, 0)
    assert driver.capture() is second


@pytest.mark.parametrize("error", [LinkLost("unplugged"), Cancelled(), KeyboardInterrupt()])
def test_a_failed_open_releases_the_device(driver: Driver, error: BaseException) -> None:
    with pytest.raises(type(error)):
        driver.open(error)
    assert driver.releases == 2  # before, and after the error
    with pytest.raises(LinkLost, match=r"^noted at usb:1209:0001: not open$"):
        driver.capture()


def test_close_may_be_called_twice(driver: Driver) -> None:
    device = driver.open()
    driver.close()
    driver.close()
    assert device.closes == 1


def test_errors_get_the_name_of_the_device_and_keep_their_type(driver: Driver) -> None:
    with pytest.raises(DeviceBusy, match=r"^noted at usb:1209:0001: in use$"):
        driver.open(DeviceBusy("in use"))


def test_a_cancel_reaches_the_device_and_is_kept_until_it_has_ended_something(driver: Driver) -> None:
    device = driver.open()
    driver.cancel()
    assert device.cancels == 1
    reopened = driver.open()  # nothing was ended: the new device is cancelled too
    assert reopened.cancels == 1
    with pytest.raises(Cancelled):
        driver.capture(Cancelled())
    assert driver.open().cancels == 0


def test_a_driver_must_say_how_it_releases_its_device() -> None:
    with pytest.raises(NotImplementedError):
        SensorSession("nothing").close()


# The time limit


class Stream:
    """A Transport that always has another byte after half a second."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.timeouts: list[float] = []
        self.ended: list[str] = []

    def read(self, timeout: float) -> bytes:
        self.timeouts.append(timeout)
        self._clock.advance(min(timeout, 0.5))
        return b"x"

    def write(self, data: bytes) -> None:
        self._clock.advance(0.1 * len(data))

    def cancel(self) -> None:
        self.ended.append("cancel")

    def close(self) -> None:
        self.ended.append("close")


def test_a_limited_transport_ends_at_its_limit_however_much_arrives(clock: FakeClock) -> None:
    limit, stream = TimeLimit("noted", clock.monotonic), Stream(clock)
    transport = LimitedTransport(stream, limit)
    limit.start(1.2)
    for _ in range(3):
        transport.read(10.0)
    assert stream.timeouts == pytest.approx([1.2, 0.7, 0.2])
    for call in (partial(transport.read, 1.0), partial(transport.write, b"x")):
        with pytest.raises(ProtocolError, match=r"noted: not finished after 1.2 s: data come too slowly, or never end"):
            call()
    limit.start(1.0)
    transport.write(b"x")
    transport.cancel()
    transport.close()
    assert stream.ended == ["cancel", "close"]


# Modules on a serial line

SIDE = 48


@dataclass
class Lane:
    """A module on a virtual line at 9600 baud, and its driver."""

    sensor: Sensor
    module: Ef01Module | SfmModule
    port: VirtualPort
    time: VirtualTime


def ef01_lane(options: dict[str, OptionValue], baud: int) -> Lane:
    time = VirtualTime()
    module = Ef01Module(Ef01Settings(width=SIDE, height=SIDE, baud=9600), seed=1, clock=time.now)
    port = VirtualPort(module, time)
    url, known = f"serial:/dev/ttyFP0?baud={baud}", {"width": SIDE, "height": SIDE}
    return Lane(Ef01(url, {**known, **options}, clock=time.now, connect=port.connect), module, port, time)


def sfm_lane(options: dict[str, OptionValue], baud: int) -> Lane:
    time = VirtualTime()
    module = SfmModule(SfmSettings(width=SIDE, height=SIDE, baud=9600), seed=1, clock=time.now)
    port = VirtualPort(module, time)
    sensor = Sfm(f"serial:/dev/ttyFP0?baud={baud}", options, clock=time.now, connect=port.connect)
    return Lane(sensor, module, port, time)


MakeLane = Callable[[dict[str, OptionValue], int], Lane]
serial_modules = pytest.mark.parametrize("make", [ef01_lane, sfm_lane], ids=["ef01", "sfm"])
FINGER = np.random.default_rng(1).integers(0, 16, (SIDE, SIDE), np.uint8) * np.uint8(17)


@serial_modules
@pytest.mark.parametrize("deaf_s", [1.5, 3.0])
@pytest.mark.parametrize(
    ("baud", "options"), [(9600, {}), (57_600, {"probe_bauds": "115200,9600"}), (9600, {"baud": 57_600})]
)
def test_a_module_that_restarts_when_its_port_is_opened_is_found_by_one_open(
    make: MakeLane, deaf_s: float, baud: int, options: dict[str, OptionValue]
) -> None:
    lane = make(options, baud)
    lane.module.inject("restarts", seconds=deaf_s)
    lane.port.keeps_dtr = False
    lane.sensor.open()
    assert lane.port.openings == 1
    assert lane.time.seconds < deaf_s + 5.0
    lane.module.press(FINGER)
    assert (lane.sensor.capture(5).image == FINGER).all()


@serial_modules
def test_a_silent_module_is_greeted_at_each_rate_until_the_time_is_up(make: MakeLane) -> None:
    lane = make({"probe_bauds": "19200,38400,57600,115200"}, 9600)
    lane.module.inject("silent")
    with pytest.raises(ProtocolError, match="no answer at 9600, 19200, 38400, 57600, 115200 baud"):
        lane.sensor.open()
    assert GREETING_S <= lane.time.seconds < 2 * GREETING_S + 5
    assert lane.port.openings == 1


@serial_modules
@pytest.mark.parametrize("gap", [0.02, 0.1, 0.25, 0.4, 0.9, 1.9])
def test_on_a_line_that_trickles_an_open_ends_long_before_the_watchdog(make: MakeLane, gap: float) -> None:
    lane = make({}, 9600)
    lane.module.inject("trickle", seconds=gap)
    with suppress(SensorError):
        lane.sensor.open()
    assert lane.time.seconds <= TOTAL_S + CLOSE_S


@serial_modules
@pytest.mark.parametrize("gap", [0.02, 0.1, 0.25, 0.4, 0.9, 1.9])
def test_on_a_line_that_trickles_a_capture_and_a_close_end_long_before_the_watchdog(make: MakeLane, gap: float) -> None:
    lane = make({}, 9600)
    lane.sensor.open()
    lane.module.press(FINGER)
    lane.module.inject("trickle", seconds=gap)
    began = lane.time.seconds
    with suppress(SensorError, CaptureRetry):
        lane.sensor.capture(5)
    captured = lane.time.seconds
    lane.sensor.close()
    assert captured - began <= 5 + TOTAL_S
    assert lane.time.seconds - captured <= CLOSE_S


class Trickle:
    """A Transport from which the same bytes arrive over and over, one each `gap` seconds."""

    def __init__(self, clock: FakeClock, data: bytes, gap: float) -> None:
        self._clock, self._data, self._gap = clock, itertools.cycle(data), gap
        self._next_at = clock.monotonic() + gap

    def read(self, timeout: float) -> bytes:
        due = self._next_at - self._clock.monotonic()
        if due > timeout:
            self._clock.advance(max(timeout, 0.0))
            return b""
        self._clock.advance(max(due, 0.0))
        self._next_at += self._gap
        return bytes([next(self._data)])

    def write(self, data: bytes) -> None:
        """Nothing hears it."""

    def cancel(self) -> None:
        """Not used."""

    def close(self) -> None:
        """Not used."""


EF01_START, SFM_START = bytes.fromhex("ef01 ffffffff 07 0003 00"), bytes.fromhex("40 04 30000000 00000000 61 d5")
OPENED_BYTES = st.sampled_from([EF01_START, EF01_START[:7], SFM_START, SFM_START[:1], SFM_START[:2]]) | st.binary(
    min_size=1, max_size=30
)


@settings(max_examples=60, deadline=None)
@given(
    driver=st.sampled_from([Ef01, Sfm]),
    data=OPENED_BYTES,
    gap=st.floats(0.01, 3.0),
    rates=st.sampled_from(["", "19200", "19200,38400,57600,115200"]),
)
def test_whatever_trickles_an_open_ends_long_before_the_watchdog(
    driver: type[Ef01 | Sfm], data: bytes, gap: float, rates: str
) -> None:
    clock = FakeClock()
    options: dict[str, OptionValue] = {"probe_bauds": rates} if rates else {}
    sensor = driver(
        "serial:/dev/ttyFP0?baud=9600", options, clock=clock.monotonic, connect=lambda _: Trickle(clock, data, gap)
    )
    began = clock.monotonic()
    with suppress(SensorError):  # of bytes that are whole answers, an open can be made
        sensor.open()
    assert clock.monotonic() - began <= TOTAL_S + CLOSE_S + 0.01


@serial_modules
def test_a_socket_has_no_rate_to_try(make: MakeLane) -> None:
    lane = make({}, 9600)
    driver = type(lane.sensor)
    assert driver in (Ef01, Sfm)
    with pytest.raises(ValueError, match="has no rate to set: baud and probe_bauds need a serial: URL"):
        driver("socket://192.0.2.7:4001", {"probe_bauds": "9600"})
    sensor = driver("socket://192.0.2.7:4001", {}, clock=lane.time.now, connect=lane.port.connect)
    assert sensor.open().driver in ("ef01", "sfm")
    assert lane.port.openings == 1
