"""The link to a U.are.U reader: power, registers, keys, messages and the image pipe."""

from dataclasses import replace

import pytest

from drivers.errors import ProtocolError, Stalled, TransferTimeout
from drivers.uru4000.link import challenge_response
from simulators.sensors.uru4000.device import CHALLENGES, Block, Uru4000Settings
from simulators.transports.usb.device import Setup, Stall
from tests.rigs.uru4000_reader import ASLEEP, HUNG, ReaderRig, opened
from tests.rigs.uru4000_rig import as_captured, noise


def test_a_reader_in_low_power_mode_is_only_woken() -> None:
    rig = ReaderRig(Uru4000Settings(status=ASLEEP))
    rig.sensor.open()
    assert rig.new_requests() == ["r07 1", "w07 01", "r07 1", "rf0 16"]


def test_a_reader_that_hangs_is_started_again_and_looked_at_until_it_lives() -> None:
    rig = ReaderRig(Uru4000Settings(status=HUNG, reboot_s=0.035))
    rig.sensor.open()
    assert rig.new_requests() == ["r07 1", "w07 05", *["r07 1"] * 5, "w07 81", "w07 01", "r07 1", "rf0 16"]
    assert 0.04 <= rig.usb.time.seconds < 0.05


def test_a_reader_that_does_not_start_again_is_a_protocol_error_within_a_second() -> None:
    rig = ReaderRig(Uru4000Settings(status=HUNG, reboot_s=60))
    with pytest.raises(ProtocolError, match="does not restart"):
        rig.sensor.open()
    assert rig.requests.count("r07 1") == 101
    assert rig.usb.time.seconds == pytest.approx(1.0)
    assert rig.usb.claims == 0


def test_a_reader_that_is_slow_to_wake_is_woken_every_10_ms() -> None:
    rig = ReaderRig(Uru4000Settings(ignored_wakes=3))
    rig.sensor.open()
    assert rig.new_requests() == ["r07 1", "w07 81", *["w07 01", "r07 1"] * 4, "rf0 16"]
    assert 0.03 <= rig.usb.time.seconds < 0.04


def test_a_reader_that_does_not_wake_is_a_protocol_error_within_a_second() -> None:
    rig = ReaderRig(Uru4000Settings(ignored_wakes=100_000))
    with pytest.raises(ProtocolError, match="stays in low power"):
        rig.sensor.open()
    assert rig.requests.count("w07 01") == 100


def test_the_microsoft_reader_v2_wakes_for_the_right_answer() -> None:
    rig = ReaderRig(Uru4000Settings(reader="ms-reader-v2"))
    rig.sensor.open()
    assert rig.new_requests() == [
        "r07 1", "w07 81", "w07 01", "r07 1",
        "r2010 16", "w2000 c2197bbd514dd5eaa426817fdb8113fe", "w07 01", "r07 1", "rf0 16",
    ]  # fmt: skip
    rig.sensor.open()
    assert "w2000 a9d42a98c20cea8f0eb61f17f8f6c001" in rig.new_requests()
    rig.sensor.close()


def test_only_the_microsoft_reader_v2_is_asked_for_its_challenge() -> None:
    rig = ReaderRig(Uru4000Settings(reader="ms-reader", ignored_wakes=2))
    rig.sensor.open()
    assert not any(order.startswith(("r2010", "w2000")) for order in rig.new_requests())


def test_power_that_comes_late_is_asked_for_again() -> None:
    rig = ReaderRig()
    rig.model.inject("late_power_on", seconds=0.5)
    rig.sensor.open()
    assert rig.new_requests() == [*["r07 1", "w07 81", "w07 01", "r07 1"] * 2, "rf0 16"]


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
    assert rig.requests.count("w07 81") == min(times + 1, 3)


def test_a_reader_that_takes_seconds_for_every_register_is_given_up_within_half_a_minute() -> None:
    rig = ReaderRig(Uru4000Settings(ignored_wakes=3))
    rig.model.inject("slow", seconds=3.0)
    rig.model.inject("no_power_on", times=3)
    with pytest.raises(ProtocolError, match="too slowly"):
        rig.sensor.open()
    assert rig.usb.time.now() < 25.0
    assert rig.usb.claims == 0


def test_messages_of_power_on_that_come_during_a_capture_are_nothing() -> None:
    rig = opened(replace(Uru4000Settings(), power_on_messages=tuple(n / 10 for n in range(30))))
    rig.later(1.0, noise(3))
    assert (rig.captured() == as_captured(noise(3))).all()


def test_a_seed_is_new_for_each_key_unless_it_is_given(rig: ReaderRig) -> None:
    seeds = set[str]()
    for number in range(4):
        rig.press(noise(number))
        rig.captured()
        rig.model.lift()
        seeds |= {order for order in rig.new_requests() if order.startswith("w33")}
    assert len({order[-8:] for order in seeds}) == 4


def test_several_seeds_are_used_in_order_and_the_last_one_for_the_rest() -> None:
    blocks = (Block(2, 100), Block(0x82, 60), Block(0x82, 60), Block(0x82, 69))
    rig = opened(Uru4000Settings(blocks=blocks), seed="0x11111111, 2, 0x33333333")
    for _ in range(2):
        rig.press(noise(10))
        rig.captured()
        rig.model.lift()
    seeds = [order[-8:] for order in rig.new_requests() if order.startswith("w33")]
    assert seeds == ["11111111", "02000000", *["33333333"] * 6]
    rig.sensor.open()
    rig.press(noise(10))
    rig.captured()
    assert [order[-8:] for order in rig.new_requests() if order.startswith("w33")][:2] == ["11111111", "02000000"]


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
    assert rig.new_requests()[:5] == ["w4e 10", *["read 82 111424", "w4e 20"] * 2]


def test_what_may_be_left_of_an_image_of_full_length_is_read_before_another_presentation(rig: ReaderRig) -> None:
    rig.press(noise(15))
    rig.model.inject("long", bytes=384)
    rig.captured()
    rig.model.lift()
    rig.later(1.0, noise(16))
    rig.new_requests()
    assert (rig.captured() == as_captured(noise(16))).all()
    assert rig.new_requests()[:4] == ["w4e 10", "read 82 111424", "read 82 111424", "w4e 20"]


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
    with pytest.raises(Stalled, match=r"register 0x4e \(mode\) was refused; is it the device that its id names"):
        rig.captured()


def test_a_silent_reader_is_named_with_what_it_was_asked_and_what_to_do() -> None:
    rig = ReaderRig()
    rig.model.inject("silent")
    with pytest.raises(TransferTimeout, match=r"05ba:000a: no answer from register 0x07 \(status\); .* unplug it"):
        rig.sensor.open()
    assert rig.usb.claims == 0


@pytest.mark.parametrize(
    ("options", "hint"), [({"seed": 1}, "does the option seed have"), ({}, "is it the device that its id names")]
)
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
    with pytest.raises(ProtocolError, match=r"register 0x07 \(status\) returned 0 of 1 bytes; is it the device that"):
        rig.sensor.open()


@pytest.mark.parametrize("fault", ["fault_report", "bad_header", "short"])
def test_an_image_that_ended_is_not_read_to_its_end_again(rig: ReaderRig, fault: str) -> None:
    rig.press(noise(24))
    rig.model.inject(fault, times=1)
    rig.captured()
    assert [order for order in rig.new_requests() if order[:3] in ("rea", "w4e")] == [
        "w4e 10", *["read 82 111424", "w4e 20"] * 2, "w4e 12"
    ]  # fmt: skip


def test_an_image_that_came_too_late_is_not_the_next_ones(rig: ReaderRig) -> None:
    rig.press(noise(25))
    rig.model.inject("late", at="data", seconds=2.1)
    with pytest.raises(TransferTimeout):
        rig.captured()
    rig.new_requests()
    assert (rig.captured() == as_captured(noise(25))).all()
    assert rig.new_requests().count("read 82 111424") > 1


def test_close_switches_the_reader_off_even_after_a_cancel(rig: ReaderRig) -> None:
    rig.sensor.cancel()
    rig.sensor.close()
    assert rig.new_requests() == ["w4e 70"]
    rig.sensor.close()
    assert rig.new_requests() == []


@pytest.mark.parametrize(("challenge", "response"), CHALLENGES)
def test_a_challenge_is_answered_as_openssl_would(challenge: bytes, response: bytes) -> None:
    assert challenge_response(challenge) == response


def test_a_reported_fault_is_logged_and_the_image_taken_again(rig: ReaderRig, caplog: pytest.LogCaptureFixture) -> None:
    rig.model.inject("fault_report")
    rig.press(noise(13))
    with caplog.at_level("INFO", "drivers.uru4000.link"):
        assert (rig.captured() == as_captured(noise(13))).all()
        rig.model.lift()
        rig.retry(1.0)
    assert "reports a fault; the next image may be empty" in caplog.text


def test_a_halted_message_pipe_is_cleared_and_the_finger_noticed(rig: ReaderRig) -> None:
    assert rig.model._wire is not None
    rig.model._wire.stall(0x81)
    rig.later(0.5, noise(4))
    assert (rig.captured() == as_captured(noise(4))).all()
