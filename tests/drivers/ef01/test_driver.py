"""The EF01 driver against a scripted module: no waiting, every byte and every second under control."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import drivers
from drivers.ef01.driver import Ef01, expand
from drivers.ef01.options import Ef01Options
from drivers.ef01.tables import CONFIRMATIONS, MODELS, NextStep
from drivers.errors import Cancelled, CaptureRetry, LinkLost, ProtocolError, Retry, SensorError
from drivers.options import OptionValue, parse_options
from drivers.sample import Position
from tests.rigs.ef01_wire import (
    DATA,
    GET_IMAGE,
    READ_SYS_PARA,
    SET_SYS_PARA,
    UP_IMAGE,
    VFY_PWD,
    Burst,
    Wire,
    acknowledge,
    frame,
    image_packets,
    system_parameters,
)

URL = "serial:/dev/ttyFP0?baud=57600"
SILENCE: list[Burst] = []
R307 = bytes(i * 7 & 0xFF for i in range(36_864))
R503 = bytes(i * 5 & 0xFF for i in range(18_432))


@pytest.fixture
def wire() -> Wire:
    return Wire(image=R307)


def sensor_on(wire: Wire, url: str = URL, **options: OptionValue) -> Ef01:
    return Ef01(url, options, clock=wire.clock, connect=wire.connect)


def opened(wire: Wire, **options: OptionValue) -> Ef01:
    sensor = Ef01(URL, options, clock=wire.clock, connect=wire.connect)
    sensor.open()
    return sensor


def retry_of(sensor: Ef01, timeout: float = 1.0) -> Retry:
    with pytest.raises(CaptureRetry) as caught:
        sensor.capture(timeout)
    return caught.value.reason


def lift_and_press(wire: Wire, sensor: Ef01) -> None:
    wire.finger = False
    assert retry_of(sensor, 0) is Retry.NOTHING_PRESENTED
    wire.finger = True


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
    wire.says(VFY_PWD, SILENCE)
    opened(wire)
    assert wire.commands() == [VFY_PWD, VFY_PWD, READ_SYS_PARA]
    assert wire.clock.now < 1000.5


def test_a_silent_module_is_given_up_in_two_seconds(wire: Wire) -> None:
    wire.rate = 0
    with pytest.raises(ProtocolError, match=r"no answer at 57600 baud; check power.*baud in the URL"):
        sensor_on(wire).open()
    assert wire.clock.now <= 1002.0


def test_other_rates_are_tried_when_the_first_is_silent(wire: Wire) -> None:
    wire.rate = 115_200
    sensor = sensor_on(wire, probe_bauds="9600,115200")
    sensor.open()
    assert wire.opened == [57_600, 9600, 115_200]
    sensor.open()
    assert wire.opened[3:] == [115_200]  # the last contact comes first


def test_no_rate_answering_names_them_all(wire: Wire) -> None:
    wire.rate = 0
    with pytest.raises(ProtocolError, match="no answer at 57600, 9600 baud"):
        sensor_on(wire, probe_bauds=9600).open()


def test_the_password_and_the_address_are_sent(wire: Wire) -> None:
    with pytest.raises(ProtocolError):  # the scripted module answers from the default address
        sensor_on(wire, password="0x01020304", address=0x0A0B0C0D).open()  # noqa: S106 - a test
    assert wire.sent[0] == bytes([VFY_PWD, 1, 2, 3, 4])
    assert wire.wire_bytes[0][2:6] == bytes([0x0A, 0x0B, 0x0C, 0x0D])


def test_an_answer_from_another_address_is_named(wire: Wire) -> None:
    with pytest.raises(ProtocolError, match="a packet from address 0xFFFFFFFF"):
        sensor_on(wire, address=1).open()


def test_a_wrong_password_names_the_option_and_not_the_password(wire: Wire) -> None:
    wire.says(VFY_PWD, acknowledge(0x13))
    with pytest.raises(ProtocolError, match="set the option password") as caught:
        sensor_on(wire, password=7_654_321).open()
    assert "7654321" not in str(caught.value)


def test_a_module_still_sending_to_a_former_owner_is_let_finish(wire: Wire) -> None:
    tail = [(0.024, packet) for packet in image_packets(R307)[80:]]  # as at 57600 baud
    wire.says(VFY_PWD, [*tail, (0.01, acknowledge(0))])
    sensor = opened(wire)
    assert wire.commands() == [VFY_PWD, READ_SYS_PARA]
    assert (sensor.capture(1).image == expand(R307, 256, 288)).all()


def test_late_answers_to_earlier_greetings_confuse_nothing(wire: Wire) -> None:
    wire.says(VFY_PWD, SILENCE, [(0.29, acknowledge(0))], [(0.3, acknowledge(0)), (0.4, acknowledge(0))])
    sensor = opened(wire)
    assert (sensor.capture(1).image == expand(R307, 256, 288)).all()


@pytest.mark.parametrize("parameters", [system_parameters(packet_code=4), system_parameters(baud_code=0)])
def test_parameters_without_sense_are_refused(wire: Wire, parameters: bytes) -> None:
    wire.parameters = parameters
    with pytest.raises(ProtocolError, match="ef01 at /dev/ttyFP0: invalid system parameters"):
        sensor_on(wire).open()


# Setting it up


def test_another_packet_size_is_set_and_read_back(wire: Wire) -> None:
    wire.says(READ_SYS_PARA, system_parameters(2), system_parameters(3))
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
    wire.says(SET_SYS_PARA, acknowledge(0x1B))
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
    wire.says(SET_SYS_PARA, [(0.1, frame(DATA, bytes(128)))] * 1000)
    with pytest.raises(ProtocolError, match="does not stop sending"):
        opened(wire, baud=115_200)


# Waiting for a finger


def test_polling_waits_for_a_finger_and_takes_its_image(wire: Wire) -> None:
    wire.says(GET_IMAGE, *[acknowledge(0x02)] * 20)
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
    wire.says(GET_IMAGE, acknowledge(0x03), acknowledge(0x06), acknowledge(0x03))
    assert opened(wire).capture(5).image.shape == (288, 256)


def test_an_image_that_stays_messy_is_a_retry(wire: Wire) -> None:
    wire.says(GET_IMAGE, *[acknowledge(0x06)] * 100)
    assert retry_of(opened(wire), 30) is Retry.TOO_MESSY
    assert wire.clock.now < 1002.0


@pytest.mark.parametrize("code", [row.code for row in CONFIRMATIONS.values() if row.then is NextStep.REOPEN] + [0xEE])
def test_a_module_that_refuses_to_work_is_unwell(wire: Wire, code: int) -> None:
    sensor = opened(wire)
    wire.says(GET_IMAGE, acknowledge(code))
    with pytest.raises(ProtocolError, match=f"0x{code:02X}"):
        sensor.capture(1)


# Answers that come late, damaged or not at all


def test_a_late_answer_within_the_deadline_is_taken(wire: Wire) -> None:
    wire.says(GET_IMAGE, [(1.9, acknowledge(0))])
    wire.says(UP_IMAGE, [(1.9, acknowledge(0)), *((0.001, packet) for packet in image_packets(R307))])
    assert opened(wire).capture(1).image.shape == (288, 256)


def test_a_module_that_falls_silent_is_unwell(wire: Wire) -> None:
    sensor = opened(wire)
    wire.says(GET_IMAGE, SILENCE)
    with pytest.raises(ProtocolError, match="no answer to GetImage in 2 s"):
        sensor.capture(1)


def test_a_damaged_answer_is_asked_for_again(wire: Wire) -> None:
    damaged = acknowledge(0)[:-1] + b"\x77"
    wire.says(GET_IMAGE, damaged)
    wire.says(UP_IMAGE, damaged)
    assert opened(wire).capture(1).image.shape == (288, 256)


def test_a_damaged_answer_before_an_image_lets_the_image_by(wire: Wire) -> None:
    old = [(0.0, acknowledge(0)[:-1] + b"\x77"), *((0.001, packet) for packet in image_packets(R503))]
    wire.says(UP_IMAGE, old)
    assert (opened(wire).capture(1).image == expand(R307, 256, 288)).all()


def test_a_command_the_module_did_not_understand_is_sent_again(wire: Wire) -> None:
    wire.says(GET_IMAGE, acknowledge(0x01), acknowledge(0x01))
    assert opened(wire).capture(1).image.shape == (288, 256)


def test_a_module_that_never_understands_is_unwell(wire: Wire) -> None:
    sensor = opened(wire)
    wire.says(GET_IMAGE, *[acknowledge(0x01)] * 3)
    with pytest.raises(ProtocolError, match="no undamaged answer to GetImage in 3 tries"):
        sensor.capture(1)


def test_an_answer_to_a_cancelled_command_is_never_taken_for_the_next_one(wire: Wire) -> None:
    sensor = opened(wire)
    wire.says(GET_IMAGE, [(1.0, acknowledge(0))])  # the finger of before
    wire.after_read = lambda: sensor.cancel() if GET_IMAGE in wire.commands() else None
    with pytest.raises(Cancelled):
        sensor.capture(1)
    wire.after_read = lambda: None
    wire.finger = False
    assert retry_of(sensor) is Retry.NOTHING_PRESENTED
    assert UP_IMAGE not in wire.commands()


def test_an_answer_that_comes_twice_is_never_taken_for_the_next_one(wire: Wire) -> None:
    wire.says(READ_SYS_PARA, system_parameters() + acknowledge(0))
    sensor = opened(wire)
    wire.finger = False
    wire.says(GET_IMAGE, [(0.0, acknowledge(0x02)), (0.0, acknowledge(0))])
    assert retry_of(sensor) is Retry.NOTHING_PRESENTED
    assert UP_IMAGE not in wire.commands()


def test_a_stray_byte_anywhere_between_packets_does_nothing(wire: Wire) -> None:
    wire.says(VFY_PWD, b"\x55" + acknowledge(0))
    wire.says(GET_IMAGE, b"\x55\x55" + acknowledge(0) + b"\x55")
    packets = [b"\x55" + packet for packet in image_packets(R307)]
    wire.says(UP_IMAGE, wire.upload(packets))
    assert (opened(wire).capture(1).image == expand(R307, 256, 288)).all()


# The image


@pytest.mark.parametrize("packet_size", [32, 64, 128, 256])
@pytest.mark.parametrize(("payload", "shape", "ppi"), [(R307, (288, 256), 500.0), (R503, (192, 192), 508.0)])
def test_every_size_of_packet_and_image_comes_out_pixel_by_pixel(
    wire: Wire, packet_size: int, payload: bytes, shape: tuple[int, int], ppi: float
) -> None:
    wire.says(UP_IMAGE, wire.upload(image_packets(payload, packet_size)))
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
    assert retry_of(sensor) is Retry.MOVED
    with pytest.raises(ProtocolError, match="sends 256x288: correct the option"):
        sensor.capture(1)


def test_a_size_that_is_not_the_one_configured_is_named_when_it_comes_twice(wire: Wire) -> None:
    wire.image = bytes(20_000)
    sensor = opened(wire, model="R503")
    assert retry_of(sensor) is Retry.MOVED
    with pytest.raises(ProtocolError, match="sends 20000 bytes an image: correct the option"):
        sensor.capture(1)


def test_half_an_image_is_not_taken_for_one_of_another_model(wire: Wire) -> None:
    half = wire.upload(image_packets(R307[: len(R307) // 2]))  # as long as an image of an R503
    sensor = opened(wire)
    assert sensor.capture(1).image.shape == (288, 256)
    for _ in range(2):
        lift_and_press(wire, sensor)
        wire.says(UP_IMAGE, half)
        assert retry_of(sensor) is Retry.MOVED
        assert sensor.capture(1).image.shape == (288, 256)


def test_another_module_at_the_same_port_is_known_by_its_second_image(wire: Wire) -> None:
    sensor = opened(wire)
    sensor.capture(1)
    lift_and_press(wire, sensor)
    wire.image = R503
    assert retry_of(sensor) is Retry.MOVED
    sample = sensor.capture(1)
    assert (sample.image.shape, sample.pixels_per_inch) == ((192, 192), 508.0)


def test_a_size_that_no_model_has_is_a_retry_once_and_then_an_error(wire: Wire) -> None:
    wire.image = bytes(20_000)
    sensor = opened(wire)
    assert retry_of(sensor) is Retry.MOVED
    with pytest.raises(ProtocolError, match="sends 20000 bytes, unlike any known model: set width and height"):
        sensor.capture(1)


Harm = Callable[[list[bytes]], list[bytes]]

HARMS: dict[str, Harm] = {
    "a wrong checksum": lambda p: [*p[:9], p[9][:-1] + bytes([p[9][-1] ^ 1]), *p[10:]],
    "a lost byte": lambda p: [*p[:9], p[9][:40] + p[9][41:], *p[10:]],
    "a doubled byte": lambda p: [*p[:9], p[9][:41] + p[9][40:], *p[10:]],
    "a lost header": lambda p: [*p[:9], p[9][2:], *p[10:]],
    "a lost packet": lambda p: [*p[:9], *p[10:]],
    "a doubled packet": lambda p: [*p[:9], p[9], *p[9:]],
    "another address": lambda p: [*p[:9], frame(DATA, p[9][9:-2], 5), *p[10:]],
    "an answer among the data": lambda p: [*p[:9], acknowledge(0), *p[9:]],
    "a last packet cut short": lambda p: [*p[:-1], p[-1][:50]],
    "no last packet": lambda p: p[:-1],
    "a last packet with a lost byte": lambda p: [*p[:-1], p[-1][:50] + p[-1][51:]],
    "one packet and silence": lambda p: p[:1],
    "half a packet and silence": lambda p: [p[0][:70]],
}


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
def test_a_damaged_image_is_a_retry_and_the_next_one_is_whole(wire: Wire, harm: Harm) -> None:
    sensor = opened(wire)
    wire.says(UP_IMAGE, wire.upload(harm(image_packets(R307))))
    assert retry_of(sensor) is Retry.MOVED
    assert (sensor.capture(1).image == expand(R307, 256, 288)).all()


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, 40_031), lost=st.integers(0, 300), extra=st.binary(max_size=40))
def test_whatever_happens_to_the_bytes_of_an_image_the_next_one_is_whole(at: int, lost: int, extra: bytes) -> None:
    wire = Wire(image=R307)
    sensor = opened(wire, model="R307")
    stream = b"".join(image_packets(R307))
    harmed = stream[:at] + extra + stream[at + lost :]
    chunks = [harmed[i : i + 1000] for i in range(0, len(harmed), 1000)]
    wire.says(UP_IMAGE, wire.upload(chunks))
    try:
        assert (sensor.capture(1).image == expand(R307, 256, 288)).all()  # noise between packets does no harm
        lift_and_press(wire, sensor)
    except CaptureRetry as retry:
        assert retry.reason is Retry.MOVED  # noqa: PT017 - both ends are right
    assert (sensor.capture(1).image == expand(R307, 256, 288)).all()


def test_a_pause_in_the_image_that_is_too_long_is_a_retry_and_its_tail_harms_nothing(wire: Wire) -> None:
    packets = image_packets(R307)
    wire.says(UP_IMAGE, [*wire.upload(packets[:100]), (1.0, packets[100]), *((0.0, p) for p in packets[101:])])
    sensor = opened(wire)
    assert retry_of(sensor) is Retry.MOVED
    assert (sensor.capture(1).image == expand(R307, 256, 288)).all()


def test_no_image_after_the_answer_is_a_protocol_error(wire: Wire) -> None:
    wire.says(UP_IMAGE, acknowledge(0))
    with pytest.raises(ProtocolError, match="no image follows"):
        opened(wire).capture(1)


def test_an_image_that_dribbles_is_given_up_at_its_deadline(wire: Wire) -> None:
    wire.says(UP_IMAGE, [(0.0, acknowledge(0)), *((0.4, packet) for packet in image_packets(R307))])
    with pytest.raises(ProtocolError, match="did not end in 12"):  # 40032 bytes * 10 / 57600 * 1.5 + 2 = 12.4 s
        opened(wire).capture(1)
    assert wire.clock.now < 1014.0


def test_an_image_without_end_is_given_up_before_it_fills_the_memory(wire: Wire) -> None:
    endless = frame(DATA, bytes(128)) * 10_000
    wire.says(UP_IMAGE, [(0.0, acknowledge(0)), (0.0, endless)])
    with pytest.raises(ProtocolError, match="more than 1048576 bytes"):
        opened(wire).capture(1)


@pytest.mark.parametrize("code", [0x0F, 0x15, 0x0E])
def test_a_module_that_has_no_image_to_send_asks_for_another(wire: Wire, code: int) -> None:
    sensor = opened(wire)
    wire.says(UP_IMAGE, acknowledge(code))
    assert retry_of(sensor) is Retry.MOVED
    sensor.capture(1)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=6), st.sampled_from([VFY_PWD, READ_SYS_PARA, GET_IMAGE, UP_IMAGE]))
def test_a_device_that_talks_nonsense_is_unwell_and_nothing_worse(noise: list[bytes], command: int) -> None:
    wire = Wire(image=R307)
    wire.says(command, *[[(0.01, data) for data in noise]] * 8)
    sensor = sensor_on(wire)
    with pytest.raises((SensorError, CaptureRetry)):  # noqa: PT012 - at whichever of the two it happens
        sensor.open()
        sensor.capture(1)


FLOODS = {
    "image packets": frame(DATA, bytes(128)),
    "packets of another module": frame(DATA, bytes(128), 5),
    "odd answers": acknowledge(0, b"???"),
    "damaged answers": acknowledge(0)[:-1] + b"\x77",
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
@pytest.mark.parametrize("command", [VFY_PWD, GET_IMAGE, UP_IMAGE])
def test_a_device_that_never_stops_sending_is_unwell_at_the_deadline(wire: Wire, command: int, flood: bytes) -> None:
    """Every read brings a whole packet, for five minutes; an image has at most 14.9 s at this rate."""
    sensor = opened(wire) if command != VFY_PWD else sensor_on(wire)
    wire.says(command, *[[(0.05, flood)] * 6000] * 8)
    with pytest.raises(ProtocolError):  # noqa: PT012 - at whichever of the two it happens
        sensor.open()
        sensor.capture(1)
    assert wire.clock.now < 1020.0


def test_a_module_that_babbles_between_image_packets_is_given_up_at_the_deadline(wire: Wire) -> None:
    stranger = frame(DATA, bytes(128), 5)
    wire.says(UP_IMAGE, [(0.0, acknowledge(0)), *[(0.05, stranger)] * 6000])
    with pytest.raises(ProtocolError, match="did not end in 12"):
        opened(wire).capture(1)
    assert wire.clock.now < 1014.0


def test_a_damaged_answer_just_before_the_deadline_is_asked_for_again(wire: Wire) -> None:
    wire.says(GET_IMAGE, [(1.9, acknowledge(0)[:-1] + b"\x77")])
    assert opened(wire).capture(1).image.shape == (288, 256)


# Cancel, close


@pytest.mark.parametrize("reads", [1, 2, 3, 50, 200, 290])
def test_a_capture_cancelled_at_any_point_leaves_the_next_one_whole(wire: Wire, reads: int) -> None:
    sensor = opened(wire)
    left = [reads]

    def count() -> None:
        left[0] -= 1
        if left[0] == 0:
            sensor.cancel()

    wire.after_read = count
    with pytest.raises(Cancelled):
        sensor.capture(1)
    assert (sensor.capture(1).image == expand(R307, 256, 288)).all()


def test_a_cancel_before_open_ends_the_open_and_only_that(wire: Wire) -> None:
    sensor = sensor_on(wire)
    sensor.cancel()
    with pytest.raises(Cancelled):
        sensor.open()
    sensor.open()
    sensor.capture(1)


def test_a_cancel_after_an_error_ends_the_open_that_follows(wire: Wire) -> None:
    sensor = opened(wire)
    wire.says(GET_IMAGE, SILENCE)
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


# Options


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"ppii": 500}, "unknown option 'ppii' (options: model, width, height, ppi,"),
        ({"model": "R999"}, "unknown model 'R999'; there are: ZFM-20, R301T, R307, R503, R551"),
        ({"width": 256}, "width and height go together"),
        ({"model": "R307", "width": 256, "height": 288}, "not both"),
        ({"width": 255, "height": 288}, "option 'width': Input should be a multiple of 2"),
        ({"packet_size": 100}, "option 'packet_size'"),
        ({"width": True, "height": True}, "option 'width': must be a number, not true or false; option 'height'"),
        ({"password": True}, "option 'password': must be a number, not true or false"),
        ({"poll_s": True, "ppi": True}, "option 'ppi': must be a number, not true or false; option 'poll_s'"),
        ({"probe_bauds": True}, "option 'probe_bauds': must be a number, not true or false"),
        ({"baud": 12_345}, "option 'baud'"),
        ({"probe_bauds": "9600,fast"}, "option 'probe_bauds'"),
        ({"poll_s": 0}, "option 'poll_s'"),
        ({"address": "0x1FFFFFFFF"}, "option 'address'"),
        ({"password": "hunter2"}, "option 'password'"),
        ({"ppi": 500, "baud": 1, "poll_s": -1}, "; option 'poll_s'"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, OptionValue], complaint: str) -> None:
    with pytest.raises(ValueError, match="driver ef01") as caught:
        Ef01("serial:/dev/ttyFP0", options)
    assert complaint in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_every_option_and_every_model_is_in_the_readme() -> None:
    text = (Path(drivers.__file__).parent / "README.md").read_text(encoding="utf-8")
    rows = text.partition("## ef01")[2].partition("## Add")[0]
    for name in [*Ef01Options.model_fields, *(name for model in MODELS for name in model.names)]:
        assert f"`{name}`" in rows


def test_an_option_may_be_written_as_text() -> None:
    options = parse_options(Ef01Options, "ef01", {"packet_size": "256", "width": "160", "height": "160", "ppi": "385"})
    assert (options.packet_size, options.width, options.height, options.ppi) == (256, 160, 160, 385.0)


def test_rates_are_for_serial_lines_only() -> None:
    with pytest.raises(ValueError, match="need a serial: URL"):
        Ef01("socket://192.0.2.7:4001", {"baud": 115_200})


def test_the_password_is_in_no_repr() -> None:
    assert "4711" not in repr(parse_options(Ef01Options, "ef01", {"password": 4711}))


def test_every_model_fills_whole_bytes() -> None:
    assert all(model.width % 2 == 0 for model in MODELS)
    assert {model.image_bytes for model in MODELS} == {36_864, 18_432}


def test_over_a_socket_the_deadline_follows_the_rate_that_the_module_tells(wire: Wire) -> None:
    wire.parameters = system_parameters(baud_code=12)
    wire.says(UP_IMAGE, [(0.0, acknowledge(0)), *((0.4, packet) for packet in image_packets(R307))])
    sensor = sensor_on(wire, "socket://192.0.2.7:4001")
    sensor.open()
    with pytest.raises(ProtocolError, match="did not end in 7"):
        sensor.capture(1)
