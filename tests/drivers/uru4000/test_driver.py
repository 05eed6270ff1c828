"""The uru4000 driver against a simulated reader in virtual time: open, capture, damaged images, cancel and close."""

from dataclasses import replace

import numpy as np
import pytest

from drivers.errors import Cancelled, CaptureRetry, LinkLost, ProtocolError, Retry
from drivers.uru4000.driver import Uru4000
from simulators.sensors.uru4000.device import HEIGHT, READERS, WIDTH, Block, Uru4000Settings
from tests.rigs.uru4000_reader import ONE_BLOCK, PERSON_S, ReaderRig, opened
from tests.rigs.uru4000_rig import as_captured, noise


def test_a_4500_gets_the_requests_that_the_recorded_one_got() -> None:
    rig = ReaderRig(replace(Uru4000Settings(), first_key=0), seed="0x51ea2124")
    rig.sensor.open()
    rig.press(noise(1))
    rig.sensor.capture(PERSON_S)
    rig.model.lift()
    assert rig.requests[0] == "read 81"
    rig.sensor.close()
    assert rig.new_requests() == [
        "r07 1", "w07 81", "w07 01", "r07 1", "rf0 16",
        "w4e 10", "read 82 111424", "w4e 20", "w33 002421ea51", "r34 4", "w4e 12", "w4e 70",
    ]  # fmt: skip


@pytest.mark.parametrize("name", READERS)
def test_every_reader_of_the_table_opens_and_captures(name: str) -> None:
    rig = ReaderRig(Uru4000Settings(reader=name, blocks=ONE_BLOCK))
    info = rig.sensor.open()
    image = rig.press(noise(2))
    captured = rig.captured()
    assert (info.driver, info.width, info.height, info.depth_bits) == ("uru4000", WIDTH, HEIGHT, 8)
    assert (info.firmware, info.pixels_per_inch) == ("0115.0010", 512.0)
    lost = [(89, 0), (0, 0)] if name == "4500" else [(199, 383), (288, 383)]
    unsent = 0 if name == "4500" else 289
    expected = image.copy()
    expected[unsent] = 255
    for row, column in lost if name != "4500" else [(90, 0), (1, 0)]:
        expected[row, column] = 255
    assert (captured == expected).all()
    rig.sensor.close()


def test_an_image_in_the_clear_asks_for_no_key() -> None:
    rig = opened(Uru4000Settings(scrambled=False, blocks=ONE_BLOCK))
    grey = np.linspace(255, 60, HEIGHT).astype(np.uint8)[:, None].repeat(WIDTH, axis=1)
    rig.press(grey)
    captured = rig.captured()
    assert (captured[1:] == grey[1:]).all()
    assert (captured[0] == 255).all()
    assert not any(order.startswith(("w33", "r34")) for order in rig.new_requests())


def test_a_key_that_changes_in_the_middle_is_asked_for_before_the_mode_is_set() -> None:
    blocks = (Block(2, 100), Block(0x82, 100), Block(4, 2), Block(0x80, 7), Block(2, 80))
    rig = opened(Uru4000Settings(blocks=blocks, first_key=254), seed=0xA1B2C3D4)
    image = rig.press(noise(10))
    captured = rig.captured()
    assert rig.new_requests()[2:] == [
        "w4e 20", *[o for n in ("fe", "ff", "00") for o in (f"w33 {n}d4c3b2a1", "r34 4")], "w4e 12"
    ]  # fmt: skip
    white = {(290 - 1 - row, 0) for row in (99, 199, 288)}
    differ = {tuple(place) for place in np.argwhere(captured != image).tolist() if place[0]}
    assert differ <= white


def test_rows_that_were_not_sent_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    rig = opened(Uru4000Settings(blocks=(Block(2, 122), Block(1, 1), Block(0, 1), Block(2, 165))))
    rig.press(noise(11))
    with caplog.at_level("INFO", "drivers.uru4000.driver"):
        captured = rig.captured()
    assert (captured[290 - 1 - 122] == captured[290 - 1 - 123]).all()
    assert "1 rows were not sent" in caplog.text


def test_many_gaps_are_reported_and_the_quality_judges(caplog: pytest.LogCaptureFixture) -> None:
    rig = opened(Uru4000Settings(blocks=(Block(2, 200), Block(1, 40), Block(2, 49))))
    rig.press(noise(12))
    with caplog.at_level("INFO", "drivers.uru4000.driver"):
        rig.captured()
    assert "40 rows were not sent" in caplog.text


@pytest.mark.parametrize("fault", ["fault_report", "bad_header", "short"])
def test_a_damaged_image_is_taken_again_while_the_finger_lies_there(rig: ReaderRig, fault: str) -> None:
    rig.press(noise(13))
    rig.model.inject(fault, times=2)
    assert (rig.captured() == as_captured(noise(13))).all()
    assert rig.new_requests().count("w4e 20") == 3


@pytest.mark.parametrize("fault", ["fault_report", "bad_header", "short"])
def test_an_image_is_taken_again_as_often_as_the_timeout_allows(rig: ReaderRig, fault: str) -> None:
    rig.press(noise(13))
    rig.model.inject(fault, times=10)
    assert (rig.captured() == as_captured(noise(13))).all()
    assert rig.new_requests().count("w4e 20") == 11


@pytest.mark.parametrize(("timeout", "tries"), [(0.0, 3), (1.0, 8), (60.0, 20)])
def test_a_reader_that_only_sends_damaged_images_is_given_up(rig: ReaderRig, timeout: float, tries: int) -> None:
    rig.press(noise(13))
    rig.model.inject("bad_header", times=100)
    assert rig.retry(timeout) is Retry.MOVED
    assert rig.new_requests().count("w4e 20") == tries


@pytest.mark.parametrize("fault", ["fault_report", "bad_header", "short"])
def test_three_damaged_images_at_the_end_of_the_time_are_asked_of_the_person_again(rig: ReaderRig, fault: str) -> None:
    rig.press(noise(14))
    rig.model.inject(fault, times=3)
    assert rig.retry() is Retry.MOVED
    assert rig.new_requests()[-1] == "w4e 70"
    assert (rig.captured() == as_captured(noise(14))).all()


def test_a_table_of_invalid_data_is_no_error_of_the_reader(rig: ReaderRig) -> None:
    rig.press(noise(17))
    for _ in range(30):
        rig.model.inject("bad_table")
        try:
            rig.captured()
        except CaptureRetry as retry:
            assert retry.reason is Retry.MOVED  # noqa: PT017 - either is right
        rig.model.lift()
        rig.press(noise(17))
    assert (rig.captured() == as_captured(noise(17))).all()


def test_a_wrong_key_gives_noise_and_no_error(rig: ReaderRig) -> None:
    rig.press(np.full((HEIGHT, WIDTH), 255, np.uint8))
    rig.model.inject("wrong_key")
    assert rig.captured().std() > 50


def test_another_device_under_the_id_is_a_protocol_error() -> None:
    rig = ReaderRig()
    rig.model.inject("wrong_device")
    with pytest.raises(ProtocolError):
        rig.sensor.open()
    assert rig.usb.claims == 0


def test_unplugging_is_a_lost_link(rig: ReaderRig) -> None:
    rig.usb.time.later(1.0, rig.usb.unplug)
    with pytest.raises(LinkLost):
        rig.captured()


def test_cancel_switches_the_reader_off_and_what_it_was_sending_is_discarded(rig: ReaderRig) -> None:
    rig.press(noise(20))
    rig.usb.time.later(0.06, rig.sensor.cancel)
    with pytest.raises(Cancelled):
        rig.captured()
    assert rig.new_requests()[-1] == "w4e 70"
    rig.model.lift()
    rig.press(noise(21))
    assert (rig.captured() == as_captured(noise(21))).all()


def test_cancel_ends_an_open() -> None:
    rig = ReaderRig()
    rig.model.inject("no_power_on", times=3)
    rig.usb.time.later(0.4, rig.sensor.cancel)
    with pytest.raises(Cancelled):
        rig.sensor.open()
    rig.model.clear_faults()
    rig.sensor.open()


@pytest.mark.parametrize("url", ["usb:05ba:000b", "usb:1234:5678?port=1-4.2"])
def test_another_device_is_refused_before_it_is_touched(url: str) -> None:
    with pytest.raises(ValueError, match="is not one of its readers; they are: 05ba:000a, 05ba:0007"):
        Uru4000(url, {})


def test_a_serial_url_is_refused() -> None:
    with pytest.raises(ValueError, match="only at: usb, usbip"):
        Uru4000("serial:/dev/ttyUSB0", {})


def test_another_device_at_the_end_of_the_line_is_refused() -> None:
    rig = ReaderRig()
    other = Uru4000("usbip://192.0.2.7:3240/1-1", {}, connect=rig.usb.open_link)
    rig.model.reader = replace(rig.model.reader, product=0x1010)
    with pytest.raises(ProtocolError, match="05ba:1010 is not one of its readers"):
        other.open()
    assert rig.usb.claims == 0
