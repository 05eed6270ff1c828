"""The uru4000 driver against a simulated reader in virtual time: every order, message and second under control."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import drivers
from drivers.errors import Cancelled, CaptureRetry, LinkLost, ProtocolError, Retry, Stalled, TransferTimeout
from drivers.options import OptionValue
from drivers.uru4000.driver import MATCHES, Uru4000
from drivers.uru4000.options import Uru4000Options
from simulators.sensors.uru4000.device import HEIGHT, READERS, TELLS, WIDTH, Block, Uru4000Model, Uru4000Settings
from simulators.transports.usb.device import Setup, Stall
from simulators.transports.usb.port import HostTransfer
from tests.rigs.uru4000_rig import as_captured, noise
from tests.rigs.virtual_usb import VirtualUsb

HUNG, ASLEEP = 0x85, 0x81
ONE_BLOCK = (Block(2, 200), Block(2, 89))
PERSON_S = 5.0


class ReaderRig:
    """A reader, its wire and the driver that holds it."""

    def __init__(self, settings: Uru4000Settings | None = None, **options: OptionValue) -> None:
        self.model = Uru4000Model(settings or Uru4000Settings())
        self.usb = VirtualUsb(self.model)
        self.orders = list[str]()  # what the host asked for, in order
        self._submit, self.usb.port.submit = self.usb.port.submit, self._note  # type: ignore[method-assign]
        reader = self.model.reader
        url = f"usb:{reader.vendor:04x}:{reader.product:04x}"
        self.sensor = Uru4000(url, options, connect=self.usb.open_link)

    def _note(self, transfer: HostTransfer) -> None:
        self.orders.append(_text(transfer, transfer.setup))
        self._submit(transfer)

    def said(self) -> list[str]:
        """The orders since the last call, without the interrupt read that is always there."""
        orders, self.orders[:] = [order for order in self.orders if order != "read 81"], []
        return orders

    def press(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        self.model.press(image.tobytes())
        return image

    def later(self, seconds: float, image: NDArray[np.uint8] | None) -> None:
        """A person who presses, or lifts, in the middle of a wait."""
        self.usb.time.later(seconds, self.model.lift if image is None else lambda: self.model.press(image.tobytes()))

    def retry(self, timeout: float = 0.0) -> Retry:
        with pytest.raises(CaptureRetry) as caught:
            self.sensor.capture(timeout)
        return caught.value.reason

    def captured(self, timeout: float = PERSON_S) -> NDArray[np.uint8]:
        return self.sensor.capture(timeout).image


def _text(transfer: HostTransfer, setup: Setup | None) -> str:
    if setup is None:
        return f"read {transfer.endpoint:02x}" + (f" {transfer.length}" if transfer.endpoint == 0x82 else "")
    register = f"{setup.value:02x}"
    return f"r{register} {setup.length}" if setup.request_type == 0xC0 else f"w{register} {transfer.data.hex()}"


def opened(settings: Uru4000Settings | None = None, **options: OptionValue) -> ReaderRig:
    rig = ReaderRig(settings, **options)
    rig.sensor.open()
    rig.said()
    return rig


@pytest.fixture(name="rig")
def _rig() -> Iterator[ReaderRig]:
    rig = opened()
    yield rig
    rig.sensor.close()
    assert rig.usb.links == 0


# The whole way, in the recorded order


def test_a_4500_hears_what_the_recorded_one_heard() -> None:
    rig = ReaderRig(replace(Uru4000Settings(), first_key=0), seed="0x51ea2124")
    rig.sensor.open()
    rig.press(noise(1))
    rig.sensor.capture(PERSON_S)
    rig.model.lift()
    assert rig.orders[0] == "read 81"
    rig.sensor.close()
    assert rig.said() == [
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


def test_the_table_of_the_driver_is_that_of_the_facts() -> None:
    assert {(match.vendor, match.product) for match in MATCHES} == {
        (0x05BA, 0x000A), (0x05BA, 0x0007), (0x05BA, 0x0008),
        (0x045E, 0x00BB), (0x045E, 0x00BC), (0x045E, 0x00BD), (0x045E, 0x00CA),
    }  # fmt: skip


# Power


def test_a_reader_that_sleeps_is_only_woken() -> None:
    rig = ReaderRig(Uru4000Settings(status=ASLEEP))
    rig.sensor.open()
    assert rig.said() == ["r07 1", "w07 01", "r07 1", "rf0 16"]


def test_a_reader_that_hangs_is_started_again_and_looked_at_until_it_lives() -> None:
    rig = ReaderRig(Uru4000Settings(status=HUNG, reboot_s=0.035))
    rig.sensor.open()
    assert rig.said() == ["r07 1", "w07 05", *["r07 1"] * 5, "w07 81", "w07 01", "r07 1", "rf0 16"]
    assert 0.04 <= rig.usb.time.seconds < 0.05


def test_a_reader_that_does_not_start_again_is_a_protocol_error_within_a_second() -> None:
    rig = ReaderRig(Uru4000Settings(status=HUNG, reboot_s=60))
    with pytest.raises(ProtocolError, match="does not restart"):
        rig.sensor.open()
    assert rig.orders.count("r07 1") == 101
    assert rig.usb.time.seconds == pytest.approx(1.0)
    assert rig.usb.links == 0


def test_a_reader_that_naps_is_woken_every_10_ms() -> None:
    rig = ReaderRig(Uru4000Settings(ignored_wakes=3))
    rig.sensor.open()
    assert rig.said() == ["r07 1", "w07 81", *["w07 01", "r07 1"] * 4, "rf0 16"]
    assert 0.03 <= rig.usb.time.seconds < 0.04


def test_a_reader_that_does_not_wake_is_a_protocol_error_within_a_second() -> None:
    rig = ReaderRig(Uru4000Settings(ignored_wakes=100_000))
    with pytest.raises(ProtocolError, match="stays in low power"):
        rig.sensor.open()
    assert rig.orders.count("w07 01") == 100


def test_the_microsoft_reader_v2_wakes_for_the_right_answer() -> None:
    rig = ReaderRig(Uru4000Settings(reader="ms-reader-v2"))
    rig.sensor.open()
    assert rig.said() == [
        "r07 1", "w07 81", "w07 01", "r07 1",
        "r2010 16", "w2000 c2197bbd514dd5eaa426817fdb8113fe", "w07 01", "r07 1", "rf0 16",
    ]  # fmt: skip
    rig.sensor.open()
    assert "w2000 a9d42a98c20cea8f0eb61f17f8f6c001" in rig.said()
    rig.sensor.close()


def test_only_the_microsoft_reader_v2_is_asked_for_its_challenge() -> None:
    rig = ReaderRig(Uru4000Settings(reader="ms-reader", ignored_wakes=2))
    rig.sensor.open()
    assert not any(order.startswith(("r2010", "w2000")) for order in rig.said())


def test_power_that_comes_late_is_asked_for_again() -> None:
    rig = ReaderRig()
    rig.model.inject("late_power_on", seconds=0.5)
    rig.sensor.open()
    assert rig.said() == [*["r07 1", "w07 81", "w07 01", "r07 1"] * 2, "rf0 16"]


@pytest.mark.parametrize(("times", "opens"), [(1, True), (2, True), (3, False)])
def test_three_power_ups_are_tried(times: int, opens: bool) -> None:  # noqa: FBT001 - a case
    rig = ReaderRig()
    rig.model.inject("no_power_on", times=times)
    if opens:
        rig.sensor.open()
    else:
        with pytest.raises(ProtocolError, match="scan power does not come on"):
            rig.sensor.open()
        assert rig.usb.time.seconds == pytest.approx(0.9)
    assert rig.orders.count("w07 81") == min(times + 1, 3)


def test_a_reader_that_takes_seconds_for_every_register_is_given_up_within_half_a_minute() -> None:
    rig = ReaderRig(Uru4000Settings(ignored_wakes=3))
    rig.model.inject("slow", seconds=3.0)
    rig.model.inject("no_power_on", times=3)
    with pytest.raises(ProtocolError, match="too slowly"):
        rig.sensor.open()
    assert rig.usb.time.now() < 25.0
    assert rig.usb.links == 0


def test_messages_of_power_on_that_come_during_a_capture_are_nothing() -> None:
    rig = opened(replace(Uru4000Settings(), power_on_messages=tuple(n / 10 for n in range(30))))
    rig.later(1.0, noise(3))
    assert (rig.captured() == as_captured(noise(3))).all()


# Capturing


def test_a_finger_that_comes_later_is_waited_for(rig: ReaderRig) -> None:
    rig.later(2.0, noise(4))
    assert (rig.captured() == as_captured(noise(4))).all()
    assert rig.usb.time.seconds == pytest.approx(2.13, abs=0.02)


def test_nobody_coming_switches_the_reader_off(rig: ReaderRig) -> None:
    assert rig.retry(1.0) is Retry.NOTHING_PRESENTED
    assert rig.usb.time.seconds == pytest.approx(1.0, abs=0.02)
    assert rig.said() == ["w4e 10", "w4e 70"]


def test_a_finger_is_told_before_a_message_of_power_on_that_is_late() -> None:
    rig = ReaderRig()
    rig.model.inject("late_power_on", seconds=3.0)
    rig.sensor.open()
    rig.press(noise(4))
    assert (rig.captured(0.5) == as_captured(noise(4))).all()
    assert rig.usb.time.now() < 2.0


@pytest.mark.parametrize("slow_s", [0.4, 0.7])
def test_a_finger_that_is_told_late_and_has_left_is_none(rig: ReaderRig, slow_s: float) -> None:
    rig.model.inject("slow", seconds=slow_s)
    rig.press(noise(4))
    assert rig.retry() is Retry.NOTHING_PRESENTED
    rig.model.clear_faults()
    rig.model.lift()
    assert rig.retry(1.0) is Retry.NOTHING_PRESENTED
    assert rig.model.counters().images_sent == 0


def test_a_finger_that_comes_just_after_a_wait_for_nobody_is_asked_for_again_and_taken(rig: ReaderRig) -> None:
    assert rig.retry() is Retry.NOTHING_PRESENTED
    rig.later(0.5, noise(6))
    rig.said()
    assert (rig.captured() == as_captured(noise(6))).all()
    assert rig.said().count("w4e 10") == 3
    assert rig.usb.time.seconds == pytest.approx(0.2 + 0.5 + 0.13, abs=0.02)


@pytest.mark.parametrize("tells", ["afresh", "changes"])
@pytest.mark.parametrize("after", [0.1, 1.0, 2.9, 4.0])
def test_a_touch_that_is_told_once_counts_at_any_moment_of_a_wait(tells: str, after: float) -> None:
    rig = opened(Uru4000Settings(tells=tells))
    assert rig.retry(1.0) is Retry.NOTHING_PRESENTED
    rig.later(after, noise(6))
    assert (rig.captured() == as_captured(noise(6))).all()
    assert rig.usb.time.seconds <= 1.0 + after + 0.3 + 0.14


@pytest.mark.parametrize("tells", ["always", "afresh"])
@pytest.mark.parametrize("late_s", [0.5, 1.0, 2.5])
def test_a_late_message_is_found_out_by_what_the_reader_says_when_it_is_asked_for_the_lift(
    tells: str, late_s: float
) -> None:
    rig = opened(Uru4000Settings(tells=tells))
    rig.model.inject("late", at="answer", seconds=late_s)
    rig.press(noise(6))
    assert rig.retry() is Retry.NOTHING_PRESENTED
    rig.model.lift()
    rig.later(2.8, noise(7))
    rig.said()
    assert (rig.captured() == as_captured(noise(7))).all()
    assert rig.model.counters().images_sent == 1
    assert "w4e 12" in rig.said()[:-1]


def test_a_finger_that_stays_must_be_lifted(rig: ReaderRig) -> None:
    rig.press(noise(5))
    rig.captured()
    assert rig.retry(1.0) is Retry.LIFT_FINGER
    rig.later(0.5, None)
    rig.later(1.0, noise(6))
    assert (rig.captured() == as_captured(noise(6))).all()


def test_a_lift_between_two_captures_is_heard(rig: ReaderRig) -> None:
    rig.press(noise(5))
    rig.captured()
    assert rig.retry() is Retry.LIFT_FINGER
    assert rig.model.mode == 0x12
    rig.model.lift()
    rig.usb.time.run(lambda: False, 1.0)
    rig.said()
    assert rig.retry() is Retry.NOTHING_PRESENTED
    assert rig.said() == ["w4e 10", "w4e 70"]


def test_a_stuck_finger_is_never_a_second_sample(rig: ReaderRig) -> None:
    rig.press(noise(7))
    rig.captured()
    rig.model.inject("stuck")
    rig.model.lift()
    assert [rig.retry(timeout) for timeout in (0.0, 3.0, 7.0)] == [Retry.LIFT_FINGER] * 3
    rig.model.clear_faults()
    assert rig.retry() is Retry.NOTHING_PRESENTED


def test_a_lost_message_of_the_lift_is_asked_for_again(rig: ReaderRig) -> None:
    rig.press(noise(8))
    rig.captured()
    rig.model.inject("no_finger_off", times=2)
    rig.model.lift()
    rig.later(4.0, noise(9))
    assert (rig.captured(9.0) == as_captured(noise(9))).all()
    assert rig.said().count("w4e 12") == 4  # after each image, and twice more


@pytest.mark.parametrize("tells", TELLS)
def test_one_lost_message_of_a_lift_never_locks_a_reader(tells: str) -> None:
    rig = opened(Uru4000Settings(tells=tells))
    rig.later(0.5, noise(8))
    rig.captured()
    rig.model.inject("no_finger_off")
    rig.model.lift()
    rig.later(8.0, noise(9))
    assert (rig.captured(9.0) == as_captured(noise(9))).all()


@pytest.mark.parametrize("tells", TELLS)
def test_a_finger_that_stays_is_never_a_second_sample_whatever_the_reader_tells(tells: str) -> None:
    rig = opened(Uru4000Settings(tells=tells))
    rig.later(0.5, noise(8))
    rig.captured()
    reasons = [rig.retry(timeout) for timeout in (0.0, 0.0, 0.0, 7.0, 3.0)]
    assert reasons[0] is Retry.LIFT_FINGER
    assert tells == "changes" or set(reasons) == {Retry.LIFT_FINGER}  # it does not say that a finger stays
    rig.model.lift()
    rig.later(1.0, noise(9))
    assert (rig.captured() == as_captured(noise(9))).all()


def test_a_finger_that_stays_is_never_a_second_sample_of_a_slow_reader() -> None:
    rig = opened()
    rig.press(noise(8))
    rig.captured()
    rig.model.inject("slow", seconds=0.7)
    assert {rig.retry(timeout) for timeout in (0.0, 0.0, 0.0, 0.0)} == {Retry.LIFT_FINGER}


def test_a_lift_whose_message_is_lost_is_asked_for_by_the_next_capture_however_short(rig: ReaderRig) -> None:
    rig.press(noise(8))
    rig.captured()
    rig.model.inject("no_finger_off")
    rig.model.lift()
    assert rig.retry() is Retry.NOTHING_PRESENTED
    rig.press(noise(9))
    assert (rig.captured() == as_captured(noise(9))).all()


def test_a_lift_that_is_told_late_is_heard_whatever_is_asked_meanwhile(rig: ReaderRig) -> None:
    rig.press(noise(8))
    rig.captured()
    rig.model.inject("late", at="answer", seconds=3.0)
    rig.model.lift()
    assert rig.retry() is Retry.LIFT_FINGER
    rig.press(noise(9))
    assert (rig.captured() == as_captured(noise(9))).all()


def test_a_cancelled_wait_for_a_lift_is_taken_up_again() -> None:
    rig = opened(Uru4000Settings(tells="afresh"))
    rig.press(noise(8))
    rig.captured()
    rig.usb.time.later(0.5, rig.sensor.cancel)
    with pytest.raises(Cancelled):
        rig.captured()
    rig.model.lift()
    rig.later(1.0, noise(9))
    assert (rig.captured() == as_captured(noise(9))).all()


def test_an_image_in_the_clear_asks_for_no_key() -> None:
    rig = opened(Uru4000Settings(scrambled=False, blocks=ONE_BLOCK))
    grey = np.linspace(255, 60, HEIGHT).astype(np.uint8)[:, None].repeat(WIDTH, axis=1)
    rig.press(grey)
    captured = rig.captured()
    assert (captured[1:] == grey[1:]).all()
    assert (captured[0] == 255).all()
    assert not any(order.startswith(("w33", "r34")) for order in rig.said())


def test_a_key_that_changes_in_the_middle_is_asked_for_before_the_mode_is_set() -> None:
    blocks = (Block(2, 100), Block(0x82, 100), Block(4, 2), Block(0x80, 7), Block(2, 80))
    rig = opened(Uru4000Settings(blocks=blocks, first_key=254), seed=0xA1B2C3D4)
    image = rig.press(noise(10))
    captured = rig.captured()
    assert rig.said()[2:] == [
        "w4e 20", *[o for n in ("fe", "ff", "00") for o in (f"w33 {n}d4c3b2a1", "r34 4")], "w4e 12"
    ]  # fmt: skip
    white = {(290 - 1 - row, 0) for row in (99, 199, 288)}
    differ = {tuple(place) for place in np.argwhere(captured != image).tolist() if place[0]}
    assert differ <= white


def test_a_seed_is_new_for_each_key_unless_it_is_given(rig: ReaderRig) -> None:
    seeds = set[str]()
    for number in range(4):
        rig.press(noise(number))
        rig.captured()
        rig.model.lift()
        seeds |= {order for order in rig.said() if order.startswith("w33")}
    assert len({order[-8:] for order in seeds}) == 4


def test_several_seeds_are_used_in_order_and_the_last_one_for_the_rest() -> None:
    blocks = (Block(2, 100), Block(0x82, 60), Block(0x82, 60), Block(0x82, 69))
    rig = opened(Uru4000Settings(blocks=blocks), seed="0x11111111, 2, 0x33333333")
    for _ in range(2):
        rig.press(noise(10))
        rig.captured()
        rig.model.lift()
    seeds = [order[-8:] for order in rig.said() if order.startswith("w33")]
    assert seeds == ["11111111", "02000000", *["33333333"] * 6]
    rig.sensor.open()
    rig.press(noise(10))
    rig.captured()
    assert [order[-8:] for order in rig.said() if order.startswith("w33")][:2] == ["11111111", "02000000"]


def test_rows_that_were_not_sent_are_told(caplog: pytest.LogCaptureFixture) -> None:
    rig = opened(Uru4000Settings(blocks=(Block(2, 122), Block(1, 1), Block(0, 1), Block(2, 165))))
    rig.press(noise(11))
    with caplog.at_level("INFO", "drivers.uru4000.driver"):
        captured = rig.captured()
    assert (captured[290 - 1 - 122] == captured[290 - 1 - 123]).all()
    assert "1 rows were not sent" in caplog.text


def test_many_gaps_are_told_and_the_quality_judges(caplog: pytest.LogCaptureFixture) -> None:
    rig = opened(Uru4000Settings(blocks=(Block(2, 200), Block(1, 40), Block(2, 49))))
    rig.press(noise(12))
    with caplog.at_level("INFO", "drivers.uru4000.driver"):
        rig.captured()
    assert "40 rows were not sent" in caplog.text


# Damage


@pytest.mark.parametrize("fault", ["fault_report", "bad_header", "short"])
def test_a_damaged_image_is_taken_again_while_the_finger_lies_there(rig: ReaderRig, fault: str) -> None:
    rig.press(noise(13))
    rig.model.inject(fault, times=2)
    assert (rig.captured() == as_captured(noise(13))).all()
    assert rig.said().count("w4e 20") == 3


@pytest.mark.parametrize("fault", ["fault_report", "bad_header", "short"])
def test_an_image_is_taken_again_as_often_as_the_time_out_allows(rig: ReaderRig, fault: str) -> None:
    rig.press(noise(13))
    rig.model.inject(fault, times=10)
    assert (rig.captured() == as_captured(noise(13))).all()
    assert rig.said().count("w4e 20") == 11


@pytest.mark.parametrize(("timeout", "tries"), [(0.0, 3), (1.0, 8), (60.0, 20)])
def test_a_reader_that_only_sends_damaged_images_is_given_up(rig: ReaderRig, timeout: float, tries: int) -> None:
    rig.press(noise(13))
    rig.model.inject("bad_header", times=100)
    assert rig.retry(timeout) is Retry.MOVED
    assert rig.said().count("w4e 20") == tries


@pytest.mark.parametrize("fault", ["fault_report", "bad_header", "short"])
def test_three_damaged_images_at_the_end_of_the_time_are_asked_of_the_person_again(rig: ReaderRig, fault: str) -> None:
    rig.press(noise(14))
    rig.model.inject(fault, times=3)
    assert rig.retry() is Retry.MOVED
    assert rig.said()[-1] == "w4e 70"
    assert (rig.captured() == as_captured(noise(14))).all()


def test_a_long_image_leaves_nothing_for_the_next_person(rig: ReaderRig) -> None:
    rig.press(noise(15))
    rig.model.inject("long", bytes=50_000)
    assert (rig.captured() == as_captured(noise(15))).all()
    rig.model.lift()
    rig.later(1.0, noise(16))
    assert (rig.captured() == as_captured(noise(16))).all()


def test_a_refused_image_of_full_length_is_followed_by_the_next_order_and_no_other_read(rig: ReaderRig) -> None:
    rig.press(noise(15))
    rig.model.inject("bad_header")
    rig.model.inject("long", bytes=384)
    assert (rig.captured() == as_captured(noise(15))).all()
    assert rig.said()[:5] == ["w4e 10", *["read 82 111424", "w4e 20"] * 2]


def test_what_may_be_left_of_an_image_of_full_length_is_read_before_another_presentation(rig: ReaderRig) -> None:
    rig.press(noise(15))
    rig.model.inject("long", bytes=384)
    rig.captured()
    rig.model.lift()
    rig.later(1.0, noise(16))
    rig.said()
    assert (rig.captured() == as_captured(noise(16))).all()
    assert rig.said()[:4] == ["w4e 10", "read 82 111424", "read 82 111424", "w4e 20"]


def test_a_table_of_rubbish_is_no_error_of_the_reader(rig: ReaderRig) -> None:
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


def test_an_image_that_never_comes_is_a_protocol_error(rig: ReaderRig) -> None:
    rig.press(noise(18))
    rig.model.inject("lost")
    with pytest.raises(TransferTimeout, match="no image came within 2 s"):
        rig.captured()
    assert rig.usb.time.seconds == pytest.approx(2.0, abs=0.1)
    rig.sensor.close()
    rig.sensor.open()
    assert (rig.captured() == as_captured(noise(18))).all()


def test_a_halted_image_pipe_is_cleared_and_the_image_taken_again(rig: ReaderRig) -> None:
    rig.press(noise(19))
    rig.model.inject("stall", at="data")
    assert (rig.captured() == as_captured(noise(19))).all()


def test_a_register_that_is_refused_is_a_protocol_error(rig: ReaderRig) -> None:
    rig.model.inject("stall", at="answer", times=3)
    with pytest.raises(Stalled, match=r"register 0x4e \(mode\) was refused; is it what its id says"):
        rig.captured()


def test_a_silent_reader_is_named_with_what_it_was_asked_and_what_to_do() -> None:
    rig = ReaderRig()
    rig.model.inject("silent")
    with pytest.raises(TransferTimeout, match=r"05ba:000a: no answer from register 0x07 \(status\); .* unplug it"):
        rig.sensor.open()
    assert rig.usb.links == 0


@pytest.mark.parametrize(("options", "hint"), [({"seed": 1}, "is the option seed"), ({}, "is it what its id says")])
def test_a_key_that_is_not_answered_points_to_the_seed_of_a_recording(options: dict[str, int], hint: str) -> None:
    rig = opened(None, **options)
    rig.press(noise(18))
    control = rig.model.control

    def refuse(setup: Setup, data: bytes) -> bytes:
        if setup.value == 0x33:
            raise Stall
        return control(setup, data)

    rig.model.control = refuse  # type: ignore[method-assign]
    with pytest.raises(Stalled, match=rf"register 0x33 \(scramble index\) was refused; {hint}"):
        rig.captured()


def test_a_register_that_answers_too_little_is_a_protocol_error() -> None:
    rig = ReaderRig()
    rig.model.inject("drop", at="answer", bytes=1)
    with pytest.raises(ProtocolError, match=r"register 0x07 \(status\) returned 0 of 1 bytes; is it what its id says"):
        rig.sensor.open()


def test_another_device_under_the_id_is_a_protocol_error() -> None:
    rig = ReaderRig()
    rig.model.inject("wrong_device")
    with pytest.raises(ProtocolError):
        rig.sensor.open()
    assert rig.usb.links == 0


def test_unplugging_is_a_lost_link(rig: ReaderRig) -> None:
    rig.usb.time.later(1.0, rig.usb.unplug)
    with pytest.raises(LinkLost):
        rig.captured()


# Nothing is read that no reader would have sent


@pytest.mark.parametrize("fault", ["fault_report", "bad_header", "short"])
def test_an_image_that_ended_is_not_read_to_its_end_again(rig: ReaderRig, fault: str) -> None:
    rig.press(noise(24))
    rig.model.inject(fault, times=1)
    rig.captured()
    assert [order for order in rig.said() if order[:3] in ("rea", "w4e")] == [
        "w4e 10", *["read 82 111424", "w4e 20"] * 2, "w4e 12"
    ]  # fmt: skip


def test_an_image_that_came_too_late_is_not_the_next_ones(rig: ReaderRig) -> None:
    rig.press(noise(25))
    rig.model.inject("late", at="data", seconds=2.1)
    with pytest.raises(TransferTimeout):
        rig.captured()
    rig.said()
    assert (rig.captured() == as_captured(noise(25))).all()
    assert rig.said().count("read 82 111424") > 1


# Cancel and close


def test_cancel_switches_the_reader_off_and_what_it_was_sending_is_nobodys(rig: ReaderRig) -> None:
    rig.press(noise(20))
    rig.usb.time.later(0.06, rig.sensor.cancel)
    with pytest.raises(Cancelled):
        rig.captured()
    assert rig.said()[-1] == "w4e 70"
    rig.model.lift()
    rig.press(noise(21))
    assert (rig.captured() == as_captured(noise(21))).all()


def test_cancel_ends_the_wait_for_a_lift(rig: ReaderRig) -> None:
    rig.press(noise(22))
    rig.captured()
    rig.usb.time.later(0.5, rig.sensor.cancel)
    with pytest.raises(Cancelled):
        rig.captured()
    assert rig.retry() is Retry.LIFT_FINGER


def test_cancel_ends_an_open() -> None:
    rig = ReaderRig()
    rig.model.inject("no_power_on", times=3)
    rig.usb.time.later(0.4, rig.sensor.cancel)
    with pytest.raises(Cancelled):
        rig.sensor.open()
    rig.model.clear_faults()
    rig.sensor.open()


def test_close_switches_the_reader_off_even_after_a_cancel(rig: ReaderRig) -> None:
    rig.sensor.cancel()
    rig.sensor.close()
    assert rig.said() == ["w4e 70"]
    rig.sensor.close()
    assert rig.said() == []


# URLs and options


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
    assert rig.usb.links == 0


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"seed": "51ea2124x"}, "option 'seed': must be a number"),
        ({"seed": 1 << 32}, "option 'seed'"),
        ({"seed": True}, "option 'seed'"),
        ({"ppi": 5000}, "option 'ppi'"),
        ({"colour": "green"}, "unknown option 'colour' (options: ppi, seed)"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, OptionValue], complaint: str) -> None:
    with pytest.raises(ValueError, match="driver uru4000") as caught:
        Uru4000("usb:05ba:000a", options)
    assert complaint in str(caught.value)


def test_the_resolution_is_what_the_option_says() -> None:
    rig = ReaderRig(ppi=500)
    assert rig.sensor.open().pixels_per_inch == 500.0
    rig.press(noise(23))
    assert rig.sensor.capture(PERSON_S).pixels_per_inch == 500.0
    rig.sensor.close()


def test_every_option_is_in_the_readme() -> None:
    text = (Path(drivers.__file__).parent / "README.md").read_text(encoding="utf-8")
    section = text.partition("\n## uru4000\n")[2].partition("\n## ")[0]
    assert all(f"| `{option}` |" in section for option in Uru4000Options.model_fields)
