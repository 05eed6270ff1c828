"""The EF01 driver against the simulated module, both written from the facts alone: every fault, every setting."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from drivers import open_sensor
from drivers.errors import CaptureRetry, ProtocolError, Retry
from drivers.options import OptionValue
from drivers.sensor import Sensor
from simulators.sensors.ef01.device import Ef01Module, Ef01Settings
from simulators.transports.serial.pseudo_terminal import PtyServer

PERSON_S = 5.0
SIDE = 96
SMALL = Ef01Settings(width=SIDE, height=SIDE, boot_s=0.0)
SMALL_OPTIONS: dict[str, OptionValue] = {"width": SIDE, "height": SIDE, "poll_s": 0.01}
FINGER = np.random.default_rng(1).integers(0, 16, (SIDE, SIDE), np.uint8) * np.uint8(17)


@pytest.fixture
def module() -> Ef01Module:
    return Ef01Module(SMALL, seed=3)


@pytest.fixture
def server(module: Ef01Module, tmp_path: Path) -> Iterator[PtyServer]:
    with PtyServer(module, link=tmp_path / "ttyFP0", pace=False) as server:
        yield server


@pytest.fixture
def sensor(server: PtyServer) -> Iterator[Sensor]:
    sensor = open_sensor("ef01", f"serial:{server.link}?baud=57600", SMALL_OPTIONS)
    sensor.open()
    yield sensor
    sensor.close()


HARMLESS = [
    ("garbage", {}),
    ("garbage", {"at": "answer"}),
    ("stray55", {}),
    ("stray55", {"at": "data"}),
    ("late", {}),
    ("checksum", {"at": "answer"}),
    ("receive_error", {}),
    ("short", {}),
    ("long", {}),
    ("capture_fail", {}),
    ("messy", {}),
]
RETRIES = [
    ("checksum", {}, Retry.MOVED),
    ("drop", {}, Retry.MOVED),
    ("drop", {"bytes": 50, "packet": 0}, Retry.MOVED),
    ("double", {}, Retry.MOVED),
    ("flip", {}, Retry.MOVED),
    ("wrong_address", {}, Retry.MOVED),
    ("late", {"at": "data"}, Retry.MOVED),
    ("no_upload", {}, Retry.MOVED),
    ("capture_fail", {"times": 0}, Retry.TOO_MESSY),
    ("messy", {"times": 0}, Retry.TOO_MESSY),
]


@pytest.mark.parametrize(("fault", "params"), HARMLESS)
def test_a_fault_that_costs_nothing_gives_a_whole_sample(
    module: Ef01Module, sensor: Sensor, fault: str, params: dict[str, int | str]
) -> None:
    module.press(FINGER)
    inject(module, fault, params)
    assert (sensor.capture(PERSON_S).image == FINGER).all()


@pytest.mark.parametrize(("fault", "params", "reason"), RETRIES)
def test_a_fault_that_costs_the_image_asks_the_person_and_the_next_is_whole(
    module: Ef01Module, sensor: Sensor, fault: str, params: dict[str, int | str], reason: Retry
) -> None:
    module.press(FINGER)
    inject(module, fault, params)
    with pytest.raises(CaptureRetry) as caught:
        sensor.capture(PERSON_S)
    assert caught.value.reason is reason
    module.clear_faults()
    assert (sensor.capture(PERSON_S).image == FINGER).all()


def inject(module: Ef01Module, fault: str, params: dict[str, int | str]) -> None:
    times = params.get("times")
    others = {key: value for key, value in params.items() if key != "times"}
    module.inject(fault, times=times if isinstance(times, int) else None, **others)


def test_an_answer_from_another_module_is_no_answer(module: Ef01Module, sensor: Sensor) -> None:
    module.inject("wrong_address", at="answer")
    with pytest.raises(ProtocolError, match="a packet from address 0x12345678"):
        sensor.capture(PERSON_S)
    module.press(FINGER)
    sensor.open()
    assert (sensor.capture(PERSON_S).image == FINGER).all()


def test_a_finger_that_seems_to_stay_asks_for_the_lift(module: Ef01Module, sensor: Sensor) -> None:
    module.press(FINGER)
    sensor.capture(PERSON_S)
    module.inject("stuck")
    module.lift()
    with pytest.raises(CaptureRetry, match="lift_finger"):
        sensor.capture(0.1)


@pytest.mark.parametrize("size", [(256, 288, 500), (192, 192, 508)])
@pytest.mark.parametrize("packet_size", [32, 64, 128, 256])
def test_every_model_and_packet_size_is_learnt_from_the_wire(
    size: tuple[int, int, int], packet_size: int, tmp_path: Path
) -> None:
    width, height, ppi = size
    finger = np.random.default_rng(2).integers(0, 16, (height, width), np.uint8) * np.uint8(17)
    module = Ef01Module(Ef01Settings(width=width, height=height, packet_size=packet_size, boot_s=0.0))
    with PtyServer(module, link=tmp_path / "ttyFP0") as server:
        sensor = open_sensor("ef01", f"serial:{server.link}?baud=57600")
        sensor.open()
        module.press(finger)
        sample = sensor.capture(PERSON_S)
        sensor.close()
    assert (sample.image == finger).all()
    assert sample.pixels_per_inch == ppi


def test_password_and_address_of_the_options_open_the_module(tmp_path: Path) -> None:
    module = Ef01Module(Ef01Settings(width=SIDE, height=SIDE, password=0x12345678, address=0x0000BEEF, boot_s=0.0))
    module.press(FINGER)
    with PtyServer(module, link=tmp_path / "ttyFP0") as server:
        url = f"serial:{server.link}?baud=57600"
        sensor = open_sensor("ef01", url, SMALL_OPTIONS | {"password": "0x12345678", "address": 0xBEEF})
        sensor.open()
        assert (sensor.capture(PERSON_S).image == FINGER).all()
        sensor.close()
        wrong = open_sensor("ef01", url, SMALL_OPTIONS | {"address": 0xBEEF})
        with pytest.raises(ProtocolError, match="set the option password"):
            wrong.open()


def test_the_rate_is_found_when_the_url_names_another(tmp_path: Path) -> None:
    module = Ef01Module(Ef01Settings(width=SIDE, height=SIDE, baud=115_200, boot_s=0.0))
    module.press(FINGER)
    with PtyServer(module, link=tmp_path / "ttyFP0", pace=True) as server:
        sensor = open_sensor("ef01", f"serial:{server.link}?baud=57600", SMALL_OPTIONS | {"probe_bauds": "9600,115200"})
        sensor.open()
        assert (sensor.capture(PERSON_S).image == FINGER).all()
        sensor.close()


@pytest.mark.parametrize("deferred", [False, True])
def test_a_rate_that_is_asked_for_is_used_as_soon_as_it_is_in_force(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, *, deferred: bool
) -> None:
    module = Ef01Module(SMALL)
    module.press(FINGER)
    if deferred:
        module.inject("baud_deferred")
    with PtyServer(module, link=tmp_path / "ttyFP0", pace=True) as server:
        sensor = open_sensor(
            "ef01", f"serial:{server.link}?baud=57600", SMALL_OPTIONS | {"baud": 115_200, "packet_size": 256}
        )
        sensor.open()
        assert (sensor.capture(PERSON_S).image == FINGER).all()
        assert ("still uses 57600 baud" in caplog.text) == deferred
        server.unplug()
        server.replug()  # now the new rate holds in either case
        caplog.clear()
        sensor.open()
        assert "keeps" not in caplog.text
        module.lift()
        with pytest.raises(CaptureRetry, match="nothing_presented"):
            sensor.capture(0)
        module.press(FINGER)
        assert (sensor.capture(PERSON_S).image == FINGER).all()
        sensor.close()
