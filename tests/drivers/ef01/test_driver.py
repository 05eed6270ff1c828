"""The EF01 driver against a scripted module: no waiting, every byte and every second under control."""

import logging

import pytest

from drivers.ef01.driver import Ef01, expand
from drivers.ef01.tables import CONFIRMATIONS, NextStep
from drivers.errors import Cancelled, CaptureRetry, LinkLost, ProtocolError, Retry
from drivers.options import OptionValue
from drivers.sample import Position
from drivers.transport import Transport, Url
from tests.rigs.ef01_wire import (
    DATA,
    GET_IMAGE,
    R307,
    R503,
    READ_SYS_PARA,
    SET_SYS_PARA,
    SILENCE,
    UP_IMAGE,
    URL,
    VFY_PWD,
    Burst,
    Wire,
    acknowledge,
    frame,
    image_packets,
    lift_and_press,
    opened,
    retry_of,
    sensor_on,
    system_parameters,
)

# Opening


def test_open_sends_the_documented_bytes_and_reads_a_real_answer(wire: Wire) -> None:
    wire.parameters = bytes.fromhex("EF01FFFFFFFF070013000000000000500003FFFFFFFF0002000C0477")
    opened(wire)
    assert [data.hex().upper() for data in wire.wire_bytes] == ["EF01FFFFFFFF01000713000000000 01B".replace(" ", ""),
                                                               "EF01FFFFFFFF0100030F0013"]  # fmt: skip


def test_open_of_a_configured_model_says_its_size(wire: Wire) -> None:
    info = sensor_on(wire, model="r503").open()
    assert (info.driver, info.model, info.width, info.height) == ("ef01", "R503/R551", 192, 192)
    assert (info.pixels_per_inch, info.depth_bits) == (508.0, 4)


def test_open_without_a_model_does_not_guess(wire: Wire) -> None:
    info = sensor_on(wire).open()
    assert (info.model, info.width, info.height, info.pixels_per_inch) == ("", 0, 0, 0.0)


def test_what_the_first_image_taught_is_known_when_opened_again(wire: Wire) -> None:
    sensor = opened(wire)
    sensor.capture(1)
    assert sensor.open().width == 256


def test_a_module_that_just_got_power_is_asked_again(wire: Wire) -> None:
    wire.will_answer(VFY_PWD, SILENCE)
    opened(wire)
    assert wire.commands() == [VFY_PWD, VFY_PWD, READ_SYS_PARA]
    assert wire.clock.now < 1000.5


def test_a_silent_module_is_greeted_for_longer_than_a_restart_takes(wire: Wire) -> None:
    wire.rate = 0
    with pytest.raises(ProtocolError, match=r"no answer at 57600 baud; check power.*baud in the URL.*option address"):
        sensor_on(wire).open()
    assert 1005.0 <= wire.clock.now <= 1007.0
    assert wire.connects == 1


def test_other_rates_are_tried_on_the_open_port_when_the_first_is_silent(wire: Wire) -> None:
    wire.rate = 115_200
    sensor = sensor_on(wire, probe_bauds="9600,115200")
    sensor.open()
    assert (wire.opened, wire.connects) == ([57_600, 9600, 115_200], 1)
    sensor.open()
    assert wire.opened[3:] == [115_200]  # the last contact comes first


class OldWire:
    """A Transport without a rate to change: only the methods that Transport has."""

    def __init__(self, wire: Wire) -> None:
        self.read, self.write, self.cancel, self.close = wire.read, wire.write, wire.cancel, wire.close


def test_a_transport_whose_rate_cannot_be_changed_is_opened_again(wire: Wire) -> None:
    wire.rate = 115_200

    def connect(url: Url) -> Transport:
        return OldWire(wire.connect(url))

    Ef01(URL, {"probe_bauds": 115_200}, clock=wire.clock, connect=connect).open()
    assert wire.connects == 2


def test_no_rate_answering_names_them_all(wire: Wire) -> None:
    wire.rate = 0
    with pytest.raises(ProtocolError, match="no answer at 57600, 9600 baud"):
        sensor_on(wire, probe_bauds=9600).open()


def test_the_password_and_the_address_are_sent(wire: Wire) -> None:
    with pytest.raises(ProtocolError):  # the scripted module answers from the default address
        sensor_on(wire, password="0x01020304", address=0x0A0B0C0D).open()  # noqa: S106 - a test
    assert wire.sent[0] == bytes([VFY_PWD, 1, 2, 3, 4])
    assert wire.wire_bytes[0][2:6] == bytes([0x0A, 0x0B, 0x0C, 0x0D])


def test_a_wrong_password_names_the_option_and_not_the_password(wire: Wire) -> None:
    wire.will_answer(VFY_PWD, acknowledge(0x13))
    with pytest.raises(ProtocolError, match="set the option password") as caught:
        sensor_on(wire, password=7_654_321).open()
    assert "7654321" not in str(caught.value)


# Setting it up


def test_another_packet_size_is_set_and_read_back(wire: Wire) -> None:
    wire.will_answer(READ_SYS_PARA, system_parameters(2), system_parameters(3))
    opened(wire, packet_size=256)
    assert bytes([SET_SYS_PARA, 6, 3]) in wire.sent


def test_a_packet_size_that_holds_is_not_set_again(wire: Wire) -> None:
    opened(wire, packet_size=128)
    assert SET_SYS_PARA not in wire.commands()


def test_a_packet_size_that_does_not_hold_is_told(wire: Wire, caplog: pytest.LogCaptureFixture) -> None:
    opened(wire, packet_size=256)
    assert "still uses packets of 128 bytes" in caplog.text


def test_a_new_rate_is_used_at_once_when_it_is_in_force(wire: Wire) -> None:
    def follow() -> None:
        if bytes([SET_SYS_PARA, 4, 12]) in wire.sent and wire.opened[-1] != 57_600:
            wire.rate = 115_200

    wire.after_read = follow
    opened(wire, baud=115_200)
    assert wire.opened == [115_200, 57_600, 115_200]


def test_a_new_rate_that_waits_for_power_leaves_the_old_one_in_use(
    wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    sensor = opened(wire, baud=115_200)
    assert wire.opened == [115_200, 57_600, 115_200, 57_600]
    assert "still uses 57600 baud" in caplog.text
    assert sensor.capture(1).image.shape == (288, 256)


def test_a_refused_rate_is_told_and_leaves_the_old_one_in_use(wire: Wire, caplog: pytest.LogCaptureFixture) -> None:
    wire.will_answer(SET_SYS_PARA, acknowledge(0x1B))
    sensor = opened(wire, baud=19_200)
    assert wire.opened == [19_200, 57_600]
    assert "refuses 19200 baud: register does not accept this value (0x1B)" in caplog.text
    assert sensor.capture(1).image.shape == (288, 256)


def test_a_rate_is_written_once_however_often_the_sensor_is_opened(wire: Wire) -> None:
    sensor = opened(wire, baud=115_200)
    sensor.open()
    sensor.open()
    assert wire.commands().count(SET_SYS_PARA) == 1


def test_a_module_that_breaks_when_its_rate_is_set_is_unwell(wire: Wire) -> None:
    wire.will_answer(SET_SYS_PARA, [(0.1, frame(DATA, bytes(128)))] * 1000)
    with pytest.raises(ProtocolError, match="does not stop sending"):
        opened(wire, baud=115_200)


# Commands that some modules do not have: R303, R305 and R308 have no ReadSysPara

Answers = list[list[Burst] | bytes]

UNSUPPORTED: dict[str, Answers] = {
    "0x01": [acknowledge(0x01)] * 3,
    "0x19": [acknowledge(0x19)],
    "0x1A": [acknowledge(0x1A)],
    "unknown code": [acknowledge(0xEE)],
    "silence": [SILENCE] * 3,
    "short answer": [acknowledge(0x00)] * 3,
    "long answer": [acknowledge(0x00, bytes(17))] * 3,
    "no sense": [system_parameters(packet_code=4)],
}


@pytest.mark.parametrize("packet_size", [None, 256])
@pytest.mark.parametrize("answers", UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_a_module_that_does_not_tell_its_parameters_is_used_with_those_of_the_options(
    wire: Wire,
    caplog: pytest.LogCaptureFixture,
    packet_size: int | None,
    answers: Answers,
) -> None:
    caplog.set_level(logging.INFO)
    wire.will_answer(READ_SYS_PARA, *answers)
    options: dict[str, OptionValue] = {} if packet_size is None else {"packet_size": packet_size}
    sensor = opened(wire, model="R307", **options)
    assert sensor.capture(1).image.shape == (288, 256)
    assert "does not tell its parameters" in caplog.text
    assert (bytes([SET_SYS_PARA, 6, 3]) in wire.sent) == (packet_size is not None)
    wire.will_answer(READ_SYS_PARA, *answers)
    sensor.open()
    assert wire.commands().count(SET_SYS_PARA) <= 1  # it wears the flash memory


@pytest.mark.parametrize("answers", [[acknowledge(0x01)] * 4, [acknowledge(0x19)], [acknowledge(0xEE)], [SILENCE] * 9])
def test_a_module_without_a_password_command_is_used(wire: Wire, answers: Answers) -> None:
    wire.will_answer(VFY_PWD, *answers)
    assert opened(wire, model="R307").capture(1).image.shape == (288, 256)
    assert wire.clock.now < 1005.0


@pytest.mark.parametrize("answers", [[acknowledge(0x01)] * 3, [acknowledge(0x1A)], [acknowledge(0xEE)], [SILENCE]])
@pytest.mark.parametrize("option", ["packet_size", "baud"])
def test_a_module_without_settings_is_used_as_it_is_set(
    wire: Wire, caplog: pytest.LogCaptureFixture, option: str, answers: Answers
) -> None:
    wire.will_answer(SET_SYS_PARA, *answers)
    sensor = opened(wire, model="R307", **{option: 256 if option == "packet_size" else 115_200})
    assert sensor.capture(1).image.shape == (288, 256)
    assert wire.commands().count(SET_SYS_PARA) <= 3
    assert caplog.text


@pytest.mark.parametrize(
    ("command", "code", "option"), [(VFY_PWD, 0x21, "password"), (VFY_PWD, 0x20, "address"),
                                    (READ_SYS_PARA, 0x21, "password"), (READ_SYS_PARA, 0x13, "password"),
                                    (READ_SYS_PARA, 0x20, "address"), (GET_IMAGE, 0x21, "password")]
)  # fmt: skip
def test_a_refusal_of_access_is_no_missing_command_and_names_the_option(
    wire: Wire, command: int, code: int, option: str
) -> None:
    wire.will_answer(command, acknowledge(code))
    with pytest.raises(ProtocolError, match=rf"set the option {option} \(0x{code:02X}\)"):
        sensor_on(wire).open() if command != GET_IMAGE else opened(wire).capture(1)


def test_a_module_that_answers_no_password_but_wants_one_names_the_option(wire: Wire) -> None:
    wire.will_answer(VFY_PWD, *[SILENCE] * 50)
    wire.will_answer(GET_IMAGE, *[acknowledge(0x21)] * 50)
    with pytest.raises(ProtocolError, match=r"no answer at 57600 baud .*set the option password"):
        sensor_on(wire).open()


def test_a_module_that_is_silent_after_the_greeting_is_not_taken_for_one_without_parameters(wire: Wire) -> None:
    wire.will_answer(READ_SYS_PARA, SILENCE)
    wire.will_answer(VFY_PWD, acknowledge(0x00), *[SILENCE] * 9)
    wire.will_answer(GET_IMAGE, *[SILENCE] * 9)
    with pytest.raises(ProtocolError, match="no answer to ReadSysPara"):
        sensor_on(wire).open()


def test_behind_a_socket_a_module_that_does_not_tell_its_rate_has_the_time_of_the_slowest(wire: Wire) -> None:
    wire.will_answer(READ_SYS_PARA, acknowledge(0x19))
    wire.will_answer(UP_IMAGE, [(0.0, acknowledge(0)), *((0.13, packet) for packet in image_packets(R307))])
    sensor = sensor_on(wire, "socket://192.0.2.7:4001")
    sensor.open()
    assert sensor.capture(1).image.shape == (288, 256)


# Waiting for a finger


def test_polling_waits_for_a_finger_and_takes_its_image(wire: Wire) -> None:
    wire.will_answer(GET_IMAGE, *[acknowledge(0x02)] * 20)
    sample = opened(wire, poll_s=0.25).capture(30, Position.LEFT_INDEX)
    assert 1005.0 <= wire.clock.now < 1006.0
    assert wire.commands().count(GET_IMAGE) == 21
    assert (sample.position, sample.depth_bits, sample.pixels_per_inch) == (Position.LEFT_INDEX, 4, 500.0)
    assert sample.device == "ef01 at /dev/ttyFP0"


def test_nobody_coming_is_a_retry_after_the_time_out(wire: Wire) -> None:
    wire.finger = False
    assert retry_of(opened(wire), 3) is Retry.NOTHING_PRESENTED
    assert wire.clock.now == pytest.approx(1003.0, abs=0.01)


def test_a_finger_must_be_lifted_before_the_next_sample(wire: Wire) -> None:
    sensor = opened(wire)
    sensor.capture(1)
    assert retry_of(sensor) is Retry.LIFT_FINGER
    assert retry_of(sensor) is Retry.LIFT_FINGER
    lift_and_press(wire, sensor)
    sensor.capture(1)


def test_closing_and_opening_does_not_make_it_a_new_presentation(wire: Wire) -> None:
    sensor = opened(wire)
    sensor.capture(1)
    sensor.open()
    assert retry_of(sensor) is Retry.LIFT_FINGER


def test_a_finger_on_its_way_gives_bad_images_and_then_a_sample(wire: Wire) -> None:
    wire.will_answer(GET_IMAGE, acknowledge(0x03), acknowledge(0x06), acknowledge(0x03))
    assert opened(wire).capture(5).image.shape == (288, 256)


def test_an_image_that_stays_messy_is_a_retry(wire: Wire) -> None:
    wire.will_answer(GET_IMAGE, *[acknowledge(0x06)] * 100)
    assert retry_of(opened(wire), 30) is Retry.TOO_MESSY
    assert wire.clock.now < 1002.0


@pytest.mark.parametrize("code", [row.code for row in CONFIRMATIONS.values() if row.then is NextStep.REOPEN] + [0xEE])
def test_a_module_that_refuses_to_work_is_unwell(wire: Wire, code: int) -> None:
    sensor = opened(wire)
    wire.will_answer(GET_IMAGE, acknowledge(code))
    with pytest.raises(ProtocolError, match=f"0x{code:02X}"):
        sensor.capture(1)


# The image


@pytest.mark.parametrize("packet_size", [32, 64, 128, 256])
@pytest.mark.parametrize(("payload", "shape", "ppi"), [(R307, (288, 256), 500.0), (R503, (192, 192), 508.0)])
def test_every_size_of_packet_and_image_comes_out_pixel_by_pixel(
    wire: Wire, packet_size: int, payload: bytes, shape: tuple[int, int], ppi: float
) -> None:
    wire.will_answer(UP_IMAGE, wire.upload(image_packets(payload, packet_size)))
    sample = opened(wire).capture(1)
    assert sample.image.shape == shape
    assert sample.pixels_per_inch == ppi
    assert [sample.image[0, 0], sample.image[0, 1]] == [(payload[0] >> 4) * 17, (payload[0] & 15) * 17]
    assert (sample.image == expand(payload, shape[1], shape[0])).all()


def test_the_high_nibble_is_the_left_pixel_and_levels_fill_the_range() -> None:
    image = expand(bytes([0x0F, 0xF0, 0x12, 0xAB]), 4, 2)
    assert image.tolist() == [[0, 255, 255, 0], [17, 34, 170, 187]]


def test_a_configured_size_is_used(wire: Wire) -> None:
    wire.image = bytes(160 * 160 // 2)
    sample = opened(wire, width=160, height=160, ppi=385).capture(1)
    assert (sample.image.shape, sample.pixels_per_inch) == ((160, 160), 385.0)


def test_a_module_that_is_another_than_configured_is_named_when_it_sends_so_twice(wire: Wire) -> None:
    sensor = opened(wire, model="R503")
    with pytest.raises(ProtocolError, match="sends 256x288: correct the option"):
        sensor.capture(1)


def test_a_size_that_is_not_the_one_configured_is_named_when_it_comes_twice(wire: Wire) -> None:
    wire.image = bytes(20_000)
    sensor = opened(wire, model="R503")
    with pytest.raises(ProtocolError, match="sends 20000 bytes an image: correct the option"):
        sensor.capture(1)


def test_half_an_image_is_not_taken_for_one_of_another_model(wire: Wire) -> None:
    half = wire.upload(image_packets(R307[: len(R307) // 2]))  # as long as an image of an R503
    sensor = opened(wire)
    assert sensor.capture(1).image.shape == (288, 256)
    for _ in range(2):
        lift_and_press(wire, sensor)
        wire.will_answer(UP_IMAGE, half)
        assert sensor.capture(1).image.shape == (288, 256)


def test_an_image_of_two_different_wrong_sizes_is_a_retry(wire: Wire) -> None:
    sensor = opened(wire, model="R307")
    wire.will_answer(UP_IMAGE, *(wire.upload(image_packets(R307[:size])) for size in (20_000, 19_872)))
    assert retry_of(sensor) is Retry.MOVED
    assert sensor.capture(1).image.shape == (288, 256)


def test_another_module_at_the_same_port_is_known_by_its_image_sent_twice(wire: Wire) -> None:
    sensor = opened(wire)
    sensor.capture(1)
    lift_and_press(wire, sensor)
    wire.image = R503
    sample = sensor.capture(1)
    assert (sample.image.shape, sample.pixels_per_inch) == ((192, 192), 508.0)


@pytest.mark.parametrize(
    ("image_bytes", "named"),
    [(12_800, r"set width and height \(width=160 and height=160 would fit\)$"), (19_968, "set width and height$")],
)
def test_a_size_that_no_model_has_is_named_at_the_first_capture(wire: Wire, image_bytes: int, named: str) -> None:
    """A technician calls `kiosk-agent capture` once: "hold still" would be all that it says."""
    wire.image = bytes(image_bytes)
    with pytest.raises(ProtocolError, match=f"sends {image_bytes} bytes, unlike any known model: {named}"):
        opened(wire).capture(1)


def test_a_module_that_sends_an_image_only_once_is_named_at_the_second_capture(wire: Wire) -> None:
    wire.image = bytes(12_800)
    sensor = opened(wire)
    wire.will_answer(UP_IMAGE, wire.upload(image_packets(wire.image)), acknowledge(0x15))
    with pytest.raises(CaptureRetry, match=r"the image has 12800 bytes.*correct the option model, or width and height"):
        sensor.capture(1)
    with pytest.raises(ProtocolError, match="sends 12800 bytes, unlike any known model: set width and height"):
        sensor.capture(1)


@pytest.mark.parametrize("code", [0x0F, 0x15, 0x0E])
def test_a_module_that_has_no_image_to_send_asks_for_another(wire: Wire, code: int) -> None:
    sensor = opened(wire)
    wire.will_answer(UP_IMAGE, acknowledge(code))
    assert retry_of(sensor) is Retry.MOVED
    sensor.capture(1)


# Cancel, close


def test_a_cancel_before_open_ends_the_open_and_only_that(wire: Wire) -> None:
    sensor = sensor_on(wire)
    sensor.cancel()
    with pytest.raises(Cancelled):
        sensor.open()
    sensor.open()
    sensor.capture(1)


def test_a_cancel_after_an_error_ends_the_open_that_follows(wire: Wire) -> None:
    sensor = opened(wire)
    wire.will_answer(GET_IMAGE, SILENCE)
    with pytest.raises(ProtocolError):
        sensor.capture(1)
    sensor.cancel()
    sensor.close()
    with pytest.raises(Cancelled):
        sensor.open()


def test_a_capture_that_was_not_opened_says_so(wire: Wire) -> None:
    sensor = sensor_on(wire)
    sensor.close()
    with pytest.raises(LinkLost, match="not open"):
        sensor.capture(1)


def test_no_log_line_holds_bytes_of_an_image(wire: Wire, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    wire.image = bytes([0xC7]) * 36_864
    sample = opened(wire, baud=115_200).capture(1)
    assert "c7c7" not in caplog.text.lower()
    assert "199" not in repr(sample)


def test_rates_are_for_serial_lines_only() -> None:
    with pytest.raises(ValueError, match="need a serial: URL"):
        Ef01("socket://192.0.2.7:4001", {"baud": 115_200})
