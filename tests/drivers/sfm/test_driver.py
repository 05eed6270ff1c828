"""The SFM driver against the simulated module on a virtual clock: open, rates, settings, cancel and close."""

import logging
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drivers.errors import Cancelled, LinkLost, ProtocolError
from drivers.sensor import DeviceInfo
from drivers.sfm.driver import Sfm
from drivers.sfm.link import Upload
from simulators.sensors.sfm.commands import Answer
from simulators.sensors.sfm.device import SfmSettings
from simulators.sensors.sfm.wire import Request
from simulators.transports.serial.uart import Burst
from tests.rigs.sfm_rig import (
    FORMAT,
    FULL,
    GREY,
    HEIGHT,
    RATE,
    WIDTH,
    SfmRig,
    answers,
    flags,
    settings_of,
)


def test_open_sends_these_bytes_to_a_module_from_the_factory(rig: SfmRig) -> None:
    rig.opened_sensor()
    assert [raw.hex(" ") for raw in rig.wrote] == [
        "40 60 00 00 00 00 00 00 00 00 00 a0 0a",  # CA
        "40 04 00 00 00 00 00 00 00 00 00 44 0a",  # SS
        "40 03 00 00 00 00 00 00 00 00 6c af 0a",  # SR image format
        "40 01 00 00 00 00 30 00 00 00 6c dd 0a",  # SW image format = grey
        "40 03 00 00 00 00 00 00 00 00 6e b1 0a",  # SR firmware
        "40 04 00 00 00 00 00 00 00 00 00 44 0a",  # SS, between two of the same
        "40 03 00 00 00 00 00 00 00 00 6f b2 0a",  # SR serial number
    ]


def test_open_says_what_it_is(rig: SfmRig) -> None:
    assert rig.sensor().open() == DeviceInfo("sfm", "", "12648430", "V31A", WIDTH, HEIGHT, 500.0, 8)


def test_without_options_the_usual_size_is_reported_until_an_image_teaches_better(rig: SfmRig) -> None:
    sensor = Sfm("serial:/dev/ttyFP0", {}, clock=rig.time.now, connect=rig.connect)
    assert sensor.open().width == 272
    rig.module.press(GREY)
    assert sensor.capture(1).image.shape == (HEIGHT, WIDTH)
    info = sensor.open()
    assert (info.width, info.height) == (WIDTH, HEIGHT)


def test_grey_is_set_for_the_session_and_not_saved_and_put_back(rig: SfmRig) -> None:
    sensor = rig.opened_sensor()
    assert (rig.module.parameter(FORMAT), rig.module.parameter(FORMAT, saved=True)) == (0x30, 0x31)
    sensor.close()
    assert rig.module.parameter(FORMAT) == 0x31
    assert rig.module.commands["SF"] == 0


def test_a_module_that_is_set_already_is_not_written_to() -> None:
    rig = SfmRig(settings_of(image_format=0x30))
    rig.opened_sensor().close()
    assert rig.module.commands["SW"] == 0


def test_a_silent_module_is_greeted_for_longer_than_a_restart_takes(rig: SfmRig) -> None:
    rig.module.inject("silent")
    with pytest.raises(ProtocolError, match=r"no answer at 115200 baud; is it powered and wired"):
        rig.sensor().open()
    assert 5.0 <= rig.time.seconds < 7.0
    assert rig.port.openings == 1


def test_noise_at_a_wrong_rate_is_named(rig: SfmRig) -> None:
    with pytest.raises(ProtocolError, match=r"no answer at 9600 baud"):
        rig.sensor(9600).open()


def test_other_rates_are_probed_and_the_last_contact_comes_first(rig: SfmRig) -> None:
    sensor = rig.sensor(9600, probe_bauds="57600, 115200")
    sensor.open()
    sensor.open()
    assert [url.rpartition("=")[2] for url in rig.opened] == ["9600", "57600", "115200", "115200"]
    assert rig.port.openings == 2


def test_another_rate_is_set_verified_and_put_back(rig: SfmRig) -> None:
    sensor = rig.opened_sensor(baud=921_600)
    assert rig.module.baud == 921_600
    assert rig.module.parameter(RATE, saved=True) == 0x35
    rig.module.press(GREY)
    assert (sensor.capture(1).image == GREY).all()
    sensor.close()
    assert rig.module.baud == 115_200
    sensor.open()
    assert [url.rpartition("=")[2] for url in rig.opened] == ["115200", "921600", "115200", "921600"]


def test_a_rate_left_by_a_process_that_died_is_found_and_put_back(rig: SfmRig) -> None:
    rig.opened_sensor(baud=921_600)._attachment.detach()
    sensor = rig.opened_sensor(baud=921_600)
    sensor.close()
    assert rig.module.baud == 115_200


def test_a_rate_that_does_not_take_effect_is_reported(rig: SfmRig, caplog: pytest.LogCaptureFixture) -> None:
    rig.module.inject("baud_deferred")
    sensor = rig.opened_sensor(baud=921_600)
    assert "keeps 115200 baud" in caplog.text
    rig.module.press(GREY)
    assert (sensor.capture(1).image == GREY).all()


def test_a_refused_rate_is_reported(rig: SfmRig, caplog: pytest.LogCaptureFixture) -> None:
    flags(rig, 0x01, 0x75, param=RATE)
    rig.opened_sensor(baud=9600)
    assert "refuses 9600 baud: not supported" in caplog.text


SOCKET = "socket://127.0.0.1:4001"


@pytest.mark.parametrize("transfer", ["extended", "plain"])
@pytest.mark.parametrize("rate", [9600, 57_600, 921_600])
def test_behind_a_socket_an_image_has_the_time_of_the_module_s_own_rate(rate: int, transfer: str) -> None:
    rig = SfmRig(SfmSettings(boot_s=0.0, baud=rate))
    sensor = Sfm(SOCKET, {"transfer": transfer}, clock=rig.time.now, connect=rig.connect)
    sensor.open()
    rig.module.press(FULL)
    assert (sensor.capture(5).image == FULL).all()


@pytest.mark.parametrize("answer", [Answer(0x75), Answer(0x61, size=0x77)])
def test_a_module_that_does_not_tell_its_rate_has_the_time_of_the_slowest(answer: Answer) -> None:
    rig = SfmRig(SfmSettings(boot_s=0.0, baud=9600))
    answers(rig, 0x03, answer, param=RATE)
    sensor = Sfm(SOCKET, {}, clock=rig.time.now, connect=rig.connect)
    sensor.open()
    rig.module.press(FULL)
    assert (sensor.capture(5).image == FULL).all()


COMMANDS = {"SS": 0x04, "SR": 0x03, "SW": 0x01, "SIX": 0x83, "RIX": 0x84}


@pytest.mark.parametrize("fault", ["refuses", "ignores"])
@pytest.mark.parametrize("command", [*COMMANDS.values(), -1], ids=[*COMMANDS, "all"])
def test_a_module_that_lacks_an_optional_command_is_used(fault: str, command: int) -> None:
    rig = SfmRig(settings_of(image_format=0x30))
    rig.module.inject(fault, command=command)
    sensor = rig.opened_sensor()
    assert rig.time.seconds < 15.0
    for _ in range(2):
        rig.time.later(1.0, lambda: rig.module.press(GREY))
        assert (sensor.capture(15).image == GREY).all()
        rig.module.lift()
    sensor.close()


def test_a_module_that_neither_tells_nor_sets_its_format_sends_what_it_sends(
    rig: SfmRig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.module.inject("refuses")  # and it is set to black and white
    sensor = rig.opened_sensor()
    assert "its image format is not known and cannot be set: not supported" in caplog.text
    rig.module.press(GREY)
    with pytest.raises(ProtocolError, match="set its image format to grey"):
        sensor.capture(5)


def test_a_module_that_sets_grey_without_an_answer_is_asked_whether_it_did(rig: SfmRig) -> None:
    obey = rig.module._answer

    def mute(request: Request, answer: Answer, now: float, baud: int | None = None) -> list[Burst]:
        return [] if request.command == 0x01 else obey(request, answer, now, baud)

    rig.module._answer = mute  # type: ignore[method-assign]
    sensor = rig.opened_sensor()
    rig.module.press(GREY)
    assert (sensor.capture(1).image == GREY).all()


def test_grey_that_is_neither_answered_nor_set_is_an_error(rig: SfmRig) -> None:
    rig.module.inject("ignores", command=0x01)
    with pytest.raises(ProtocolError, match=r"images in grey refused: no answer to SW in 2 s"):
        rig.sensor().open()


@pytest.mark.parametrize("command", [0x03, 0x01])
def test_a_module_that_falls_silent_while_it_is_opened_is_not_taken_for_one_without_the_command(
    rig: SfmRig, command: int
) -> None:
    send = rig.port.send

    def fall_silent(data: bytes) -> None:
        if data[1] == command:
            rig.module.inject("silent")
        send(data)

    rig.port.send = fall_silent  # type: ignore[method-assign]
    with pytest.raises(ProtocolError, match=r"no answer to S[RW] in 2 s"):
        rig.sensor().open()


def test_grey_refused_is_an_error_that_says_so(rig: SfmRig) -> None:
    flags(rig, 0x01, 0x75)
    with pytest.raises(ProtocolError, match=r"images in grey refused: not supported.*\(0x75\)"):
        rig.sensor().open()


@pytest.mark.parametrize("transfer", ["extended", "plain"])
@pytest.mark.parametrize("after", [0.01, 0.05, 0.1, 0.2])
def test_cancel_ends_it_anywhere_and_the_next_capture_is_whole(rig: SfmRig, transfer: str, after: float) -> None:
    sensor = rig.opened_sensor(transfer=transfer)
    rig.module.press(GREY)
    rig.time.later(after, sensor.cancel)
    began = rig.time.seconds
    with pytest.raises(Cancelled):
        sensor.capture(5)
    assert rig.time.seconds - began == pytest.approx(after, abs=0.01)
    assert rig.wrote[-1][1] == 0x60
    assert (sensor.capture(5).image == GREY).all()


@pytest.mark.parametrize("cancels", [1, 2])
def test_a_cancel_that_ended_nothing_does_not_keep_the_module_from_being_put_back(rig: SfmRig, cancels: int) -> None:
    sensor = rig.opened_sensor(baud=921_600)
    for _ in range(cancels):
        sensor.cancel()
    sensor.close()
    assert (rig.module.baud, rig.module.parameter(FORMAT)) == (115_200, 0x31)
    with pytest.raises(Cancelled):  # it is remembered all the same
        sensor.open()
    sensor.open()


@given(st.floats(0.0, 0.5), st.floats(0.0, 0.1))
@example(0.3345, 0.0)  # both of them in close()
def test_a_second_cancel_behind_that_of_a_capture_does_not_either(after: float, later: float) -> None:
    rig = SfmRig()
    sensor = rig.opened_sensor(baud=921_600)
    rig.time.later(0.3, lambda: rig.module.press(GREY))
    for at in (after, after + later):
        rig.time.later(at, sensor.cancel)
    with suppress(Cancelled):
        sensor.capture(5)
    sensor.close()
    assert (rig.module.baud, rig.module.parameter(FORMAT)) == (115_200, 0x31)


@pytest.mark.parametrize("requests", [1, 2, 4, 5, 6, 7, 8, 9, 10])
def test_a_cancel_in_open_leaves_nothing_changed_after_close(rig: SfmRig, requests: int) -> None:
    """Except after the third request, of the new rate: then it is unknown which rate the module has."""
    sensor = rig.sensor(115_200, baud=921_600)
    send = rig.port.send

    def cancelled(data: bytes) -> None:
        send(data)
        if len(rig.wrote) == requests:
            sensor.cancel()

    rig.port.send = cancelled  # type: ignore[method-assign]
    with pytest.raises(Cancelled):
        sensor.open()
    sensor.close()
    assert (rig.module.baud, rig.module.parameter(FORMAT), rig.port.claims) == (115_200, 0x31, 0)


@given(st.floats(0.0, 0.1))
def test_after_a_cancel_anywhere_in_open_the_next_close_leaves_nothing_changed(after: float) -> None:
    rig = SfmRig()
    sensor = rig.sensor(115_200, baud=921_600)
    rig.time.later(after, sensor.cancel)
    with suppress(Cancelled):
        sensor.open()
    sensor.close()
    rig.time.run(lambda: False, 0.1)  # a cancel that came behind all that ends the next
    with suppress(Cancelled):
        sensor.open()
    sensor.open()
    sensor.close()
    assert (rig.module.baud, rig.module.parameter(FORMAT), rig.port.claims) == (115_200, 0x31, 0)


def test_an_open_that_fails_behind_a_new_rate_puts_it_back(rig: SfmRig) -> None:
    flags(rig, 0x01, 0x75, param=FORMAT)
    with pytest.raises(ProtocolError, match="images in grey refused"):
        rig.sensor(115_200, baud=921_600).open()
    assert (rig.module.baud, rig.port.claims) == (115_200, 0)


def test_close_is_quick_when_the_module_is_gone(rig: SfmRig) -> None:
    sensor = rig.opened_sensor()
    rig.module.inject("silent")
    began = rig.time.seconds
    sensor.close()
    assert rig.time.seconds - began < 1.0
    with pytest.raises(LinkLost):
        sensor.capture(1)


def test_a_socket_has_no_rate_to_set() -> None:
    with pytest.raises(ValueError, match="has no rate to set"):
        Sfm("socket://127.0.0.1:4001", {"baud": 9600})


def test_nothing_that_is_printed_holds_pixels(rig: SfmRig, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    sensor = rig.opened_sensor()
    rig.module.press(np.full((HEIGHT, WIDTH), 0x5A, np.uint8))
    sensor.capture(1)
    assert "5a5a" not in caplog.text.lower()
    assert "ZZZ" not in repr(Upload(b"Z" * 100, ""))


def test_a_module_that_answers_but_is_not_idle_is_not_called_silent(rig: SfmRig) -> None:
    answers(rig, 0x04, *[Answer(0x61, param=0x31)] * 100)
    with pytest.raises(ProtocolError, match=r"answers at 115200 baud but does not become idle: state 0x31; if no"):
        rig.sensor().open()


def test_a_rate_whose_answer_is_lost_is_found_at_the_new_rate(rig: SfmRig) -> None:
    sensor = rig.sensor(115_200, baud=921_600)
    send = rig.port.send

    def lose_the_answer(data: bytes) -> None:
        if data[1] == 0x01 and data[10] == RATE:
            rig.module.inject("lost", at="answer")
        send(data)

    rig.port.send = lose_the_answer  # type: ignore[method-assign]
    sensor.open()
    assert rig.module.baud == 921_600
