"""Scans of the simulated SFM module: what each result leads to, and the waiting for fingers."""

import pytest

from drivers.errors import CaptureRetry, ProtocolError, Retry
from drivers.sfm.tables import RESULTS
from simulators.sensors.sfm.commands import Answer
from simulators.sensors.sfm.wire import Request
from simulators.transports.serial.uart import Burst
from tests.rigs.sfm_rig import GREY, SIXTEEN, SfmRig, flags, retry_of, settings_of


@pytest.mark.parametrize("fault", ["checksum", "drop", "lost"])
@pytest.mark.parametrize("transfer", ["extended", "plain"])
def test_a_scan_whose_image_is_lost_on_the_way_is_read_again(rig: SfmRig, transfer: str, fault: str) -> None:
    sensor = rig.opened_sensor(transfer=transfer)
    rig.module.press(GREY)
    rig.module.inject("gives_up")
    rig.module.inject(fault, at="data")
    assert (sensor.capture(1).image == GREY).all()
    assert rig.module.images_taken == 1
    assert rig.module.commands["RIX" if transfer == "extended" else "RI"] == 1


@pytest.mark.parametrize("fault", ["short", "long"])
def test_an_image_that_stays_damaged_asks_the_person_again(rig: SfmRig, fault: str) -> None:
    sensor = rig.opened_sensor()
    rig.module.press(GREY)
    rig.module.inject(fault, times=0)
    assert retry_of(sensor) is Retry.MOVED


def test_an_answer_that_is_lost_after_the_scan_costs_no_second_presentation(rig: SfmRig) -> None:
    rig = SfmRig(settings_of(send_scanned=False))
    sensor = rig.opened_sensor()
    rig.module.inject("checksum", at="answer", times=2)
    rig.module.press(GREY)
    assert (sensor.capture(5).image == GREY).all()


def test_a_module_without_the_extended_transfer_is_asked_plainly(rig: SfmRig) -> None:
    rig.module.inject("no_extended")
    sensor = rig.opened_sensor()
    rig.module.press(GREY)
    assert (sensor.capture(1).image == GREY).all()
    assert (rig.module.commands["SIX"], rig.module.commands["SI"]) == (1, 1)


def test_an_extended_transfer_that_was_required_is_an_error(rig: SfmRig) -> None:
    rig.module.inject("no_extended")
    sensor = rig.opened_sensor(transfer="extended")
    with pytest.raises(ProtocolError, match=r"SIX refused: not supported: is enhanced privacy on"):
        sensor.capture(1)


def test_black_and_white_images_are_refused_with_what_to_do(rig: SfmRig) -> None:
    rig.module.inject("keeps_format")
    sensor = rig.opened_sensor()
    rig.module.press(GREY)
    with pytest.raises(
        ProtocolError, match=r"not plain grey \(format 1\): set its image format to grey, and switch encryption"
    ):
        sensor.capture(1)


AGAIN, AFRESH, WAITS = "again", "afresh", "waits"


EXPECTED: dict[int, Retry | str] = {
    0x63: Retry.TOO_MESSY, 0x6B: Retry.TOO_MESSY, 0xB0: Retry.TOO_MESSY,  # the person
    0x6C: AGAIN, 0x81: AGAIN, 0x80: AGAIN, 0x82: AGAIN,  # nobody: the driver asks again
    0x62: WAITS, 0x74: WAITS, 0x83: WAITS,  # another answer follows
    **dict.fromkeys([0x69, 0x6A, 0x6D, 0x6E, 0x72, 0x76, 0x7A, 0x7C, 0x86, 0x90, 0x91, 0x93, 0x94, 0xA0, 0xA1], AFRESH),
    0x75: AFRESH, 0x00: AFRESH, 0xFF: AFRESH,
}  # fmt: skip


def test_the_table_has_every_result_of_the_facts() -> None:
    assert set(RESULTS) == (set(EXPECTED) | {0x61}) - {0x00, 0xFF}


@pytest.mark.parametrize("code", EXPECTED)
def test_every_result_of_a_scan_leads_to_its_next_action(rig: SfmRig, code: int) -> None:
    sensor = rig.opened_sensor(transfer="extended")
    rig.module.press(GREY)
    flags(rig, 0x83, code)
    expected = EXPECTED[code]
    if isinstance(expected, Retry):
        assert retry_of(sensor) is expected
    elif expected == AFRESH:
        with pytest.raises(ProtocolError, match=f"0x{code:02X}"):
            sensor.capture(1)
    elif expected == AGAIN:
        assert (sensor.capture(1).image == GREY).all()
        assert rig.module.images_taken == 1
    else:  # "finger scanned" and nothing behind it: what was scanned last is read, and there is nothing
        assert retry_of(sensor, 5) is Retry.TOO_MESSY
        assert rig.module.commands["RIX"] == 1


def after_scanned(rig: SfmRig, code: int, times: int) -> None:
    """Behind "finger scanned" comes this result so often, in place of the image; also to those who ask again."""
    send, left = rig.module._send_image, [code] * times

    def refuse(request: Request, now: float) -> list[Burst]:
        return rig.module._answer(request, Answer(left.pop()), now) if left else send(request, now)

    rig.module._send_image = refuse  # type: ignore[method-assign]


@pytest.mark.parametrize("transfer", ["extended", "plain"])
@pytest.mark.parametrize("code", EXPECTED)
def test_every_result_behind_a_scan_leads_to_its_next_action(rig: SfmRig, code: int, transfer: str) -> None:
    sensor = rig.opened_sensor(transfer=transfer)
    rig.module.press(GREY)
    after_scanned(rig, code, 1)
    expected = EXPECTED[code]
    if isinstance(expected, Retry):
        assert retry_of(sensor) is expected
    elif expected == AFRESH:
        name = "SIX" if transfer == "extended" else "SI"
        with pytest.raises(ProtocolError, match=rf"{name} refused: .*\(0x{code:02X}\)"):
            sensor.capture(1)
    else:  # what was scanned is read
        assert (sensor.capture(1).image == GREY).all()
        assert rig.module.images_taken == 1
    rig.module.lift()
    rig.time.later(1.0, lambda: rig.module.press(SIXTEEN))
    assert (sensor.capture(5).image == SIXTEEN).all()


@pytest.mark.parametrize("code", [0x80, 0x82])
def test_a_module_that_never_sends_what_it_scanned_is_named(rig: SfmRig, code: int) -> None:
    sensor = rig.opened_sensor()
    rig.module.press(GREY)
    after_scanned(rig, code, 3)
    with pytest.raises(ProtocolError, match=rf"3 times: .*\(0x{code:02X}\)"):
        sensor.capture(1)


def test_a_scan_that_was_cancelled_and_not_by_us_is_presented_again(rig: SfmRig) -> None:
    sensor = rig.opened_sensor()
    rig.module.press(GREY)
    after_scanned(rig, 0x81, 3)
    with pytest.raises(CaptureRetry, match=r"moved: cancelled \(0x81\)"):
        sensor.capture(1)


def test_nobody_coming_is_a_retry_and_the_module_waits_no_longer(rig: SfmRig) -> None:
    sensor = rig.opened_sensor()
    assert retry_of(sensor, 3.0) is Retry.NOTHING_PRESENTED
    assert not rig.module.waits_for_finger


def test_the_module_s_own_timeout_is_not_ours(rig: SfmRig) -> None:
    sensor = rig.opened_sensor()
    rig.time.later(25.0, lambda: rig.module.press(GREY))
    assert (sensor.capture(60).image == GREY).all()
    assert rig.module.commands["SIX"] == 4  # 10 s each, after one of 2 s that showed that the module knows the command
    assert rig.module.commands["SI"] == 0


def test_a_module_that_falls_silent_for_ever_is_noticed_before_the_person_s_time_is_up(rig: SfmRig) -> None:
    sensor = rig.opened_sensor()
    rig.time.later(1.0, lambda: rig.module.inject("silent"))
    rig.module._pending_scan = None
    with pytest.raises(ProtocolError, match="does not become idle"):
        sensor.capture(120)
    assert rig.time.seconds < 40


def test_a_finger_that_stays_is_no_new_presentation(rig: SfmRig) -> None:
    sensor = rig.opened_sensor()
    rig.module.press(GREY)
    sensor.capture(1)
    assert retry_of(sensor, 2.0) is Retry.LIFT_FINGER
    rig.module.lift()
    rig.time.later(1.0, lambda: rig.module.press(SIXTEEN))
    assert (sensor.capture(5).image == SIXTEEN).all()


def test_looking_for_a_lift_leaves_no_image_under_way(rig: SfmRig) -> None:
    sensor = rig.opened_sensor()
    rig.module.press(GREY)
    sensor.capture(1)
    began = rig.port.bytes_sent
    assert retry_of(sensor, 0.0) is Retry.LIFT_FINGER
    looks = rig.module.commands["SIX"] - 1
    assert 0 < rig.port.bytes_sent - began < 400 * looks


def test_a_scan_that_stays_busy_or_refused_is_an_error_with_the_last_result(rig: SfmRig) -> None:
    sensor = rig.opened_sensor()
    flags(rig, 0x83, 0x80, 0x82, 0x80)
    with pytest.raises(ProtocolError, match=r"3 times: busy with another command: .*\(0x80\)"):
        sensor.capture(1)


def test_a_module_that_does_not_say_what_it_cancels_is_asked_both_ways_in_turn(rig: SfmRig) -> None:
    obey = rig.module._answer

    def answer(request: Request, answer: Answer, now: float, baud: int | None = None) -> list[Burst]:
        return [] if answer.flag == 0x81 else obey(request, answer, now, baud)

    rig.module._answer = answer  # type: ignore[method-assign]
    sensor = rig.opened_sensor()
    rig.time.later(6.0, lambda: rig.module.press(GREY))
    assert (sensor.capture(20).image == GREY).all()
    assert (rig.module.commands["SIX"], rig.module.commands["SI"]) == (2, 1)


def test_an_image_that_the_module_cannot_send_again_asks_the_person(rig: SfmRig) -> None:
    sensor = rig.opened_sensor()
    rig.module.press(GREY)
    rig.module.inject("refuses", command=0x84)
    rig.module.inject("gives_up")
    rig.module.inject("checksum", at="data")
    assert retry_of(sensor) is Retry.MOVED
