"""One exchange with an EF01 module: answers that are late, damaged or missing, and images that are damaged."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.ef01.driver import expand
from drivers.errors import Cancelled, CaptureRetry, ProtocolError, Retry, SensorError
from tests.rigs.ef01_wire import (
    DATA,
    GET_IMAGE,
    R307,
    R503,
    READ_SYS_PARA,
    SILENCE,
    UP_IMAGE,
    VFY_PWD,
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


def test_a_late_answer_within_the_deadline_is_taken(wire: Wire) -> None:
    wire.will_answer(GET_IMAGE, [(1.9, acknowledge(0))])
    wire.will_answer(UP_IMAGE, [(1.9, acknowledge(0)), *((0.001, packet) for packet in image_packets(R307))])
    assert opened(wire).capture(1).image.shape == (288, 256)


def test_a_module_that_falls_silent_is_unwell(wire: Wire) -> None:
    sensor = opened(wire)
    wire.will_answer(GET_IMAGE, SILENCE)
    with pytest.raises(ProtocolError, match="no answer to GetImage in 2 s"):
        sensor.capture(1)


def test_a_damaged_answer_is_asked_for_again(wire: Wire) -> None:
    damaged = acknowledge(0)[:-1] + b"\x77"
    wire.will_answer(GET_IMAGE, damaged)
    wire.will_answer(UP_IMAGE, damaged)
    assert opened(wire).capture(1).image.shape == (288, 256)


def test_a_damaged_answer_before_an_image_lets_the_image_by(wire: Wire) -> None:
    old = [(0.0, acknowledge(0)[:-1] + b"\x77"), *((0.001, packet) for packet in image_packets(R503))]
    wire.will_answer(UP_IMAGE, old)
    assert (opened(wire).capture(1).image == expand(R307, 256, 288)).all()


def test_a_command_the_module_did_not_understand_is_sent_again(wire: Wire) -> None:
    wire.will_answer(GET_IMAGE, acknowledge(0x01), acknowledge(0x01))
    assert opened(wire).capture(1).image.shape == (288, 256)


def test_a_module_that_never_understands_is_unwell(wire: Wire) -> None:
    sensor = opened(wire)
    wire.will_answer(GET_IMAGE, *[acknowledge(0x01)] * 3)
    with pytest.raises(ProtocolError, match="no undamaged answer to GetImage in 3 tries"):
        sensor.capture(1)


def test_an_answer_to_a_cancelled_command_is_never_taken_for_the_next_one(wire: Wire) -> None:
    sensor = opened(wire)
    wire.will_answer(GET_IMAGE, [(1.0, acknowledge(0))])  # the finger of before
    wire.after_read = lambda: sensor.cancel() if GET_IMAGE in wire.commands() else None
    with pytest.raises(Cancelled):
        sensor.capture(1)
    wire.after_read = lambda: None
    wire.finger = False
    assert retry_of(sensor) is Retry.NOTHING_PRESENTED
    assert UP_IMAGE not in wire.commands()


def test_an_answer_that_comes_twice_is_never_taken_for_the_next_one(wire: Wire) -> None:
    wire.will_answer(READ_SYS_PARA, system_parameters() + acknowledge(0))
    sensor = opened(wire)
    wire.finger = False
    wire.will_answer(GET_IMAGE, [(0.0, acknowledge(0x02)), (0.0, acknowledge(0))])
    assert retry_of(sensor) is Retry.NOTHING_PRESENTED
    assert UP_IMAGE not in wire.commands()


def test_a_stray_byte_anywhere_between_packets_does_nothing(wire: Wire) -> None:
    wire.will_answer(VFY_PWD, b"\x55" + acknowledge(0))
    wire.will_answer(GET_IMAGE, b"\x55\x55" + acknowledge(0) + b"\x55")
    packets = [b"\x55" + packet for packet in image_packets(R307)]
    wire.will_answer(UP_IMAGE, wire.upload(packets))
    assert (opened(wire).capture(1).image == expand(R307, 256, 288)).all()


def test_late_answers_to_earlier_greetings_confuse_nothing(wire: Wire) -> None:
    wire.will_answer(VFY_PWD, SILENCE, [(0.29, acknowledge(0))], [(0.3, acknowledge(0)), (0.4, acknowledge(0))])
    sensor = opened(wire)
    assert (sensor.capture(1).image == expand(R307, 256, 288)).all()


def test_an_answer_from_another_address_is_named(wire: Wire) -> None:
    with pytest.raises(
        ProtocolError, match="a packet from address 0xFFFFFFFF: if it is this module, set the option addr"
    ):
        sensor_on(wire, address=1).open()


def test_bytes_that_are_no_packets_are_named_with_the_rate(wire: Wire) -> None:
    wire.will_answer(VFY_PWD, *[b"??"] * 50)
    wire.will_answer(GET_IMAGE, *[b"???"] * 50)
    with pytest.raises(ProtocolError, match=r"\(3 bytes that are no packet: is the rate right\?\)"):
        sensor_on(wire).open()


def test_a_module_still_sending_to_a_former_owner_is_let_finish(wire: Wire) -> None:
    tail = [(0.024, packet) for packet in image_packets(R307)[80:]]  # as at 57600 baud
    wire.will_answer(VFY_PWD, [*tail, (0.01, acknowledge(0))])
    sensor = opened(wire)
    assert wire.commands() == [VFY_PWD, READ_SYS_PARA]
    assert (sensor.capture(1).image == expand(R307, 256, 288)).all()


Harm = Callable[[list[bytes]], list[bytes]]


HARMS: dict[str, Harm] = {
    "a wrong checksum": lambda p: [*p[:9], p[9][:-1] + bytes([p[9][-1] ^ 1]), *p[10:]],
    "a lost byte": lambda p: [*p[:9], p[9][:40] + p[9][41:], *p[10:]],
    "a doubled byte": lambda p: [*p[:9], p[9][:41] + p[9][40:], *p[10:]],
    "another address": lambda p: [*p[:9], frame(DATA, p[9][9:-2], 5), *p[10:]],
    "an answer among the data": lambda p: [*p[:9], acknowledge(0), *p[9:]],
    "a last packet cut short": lambda p: [*p[:-1], p[-1][:50]],
    "no last packet": lambda p: p[:-1],
    "a last packet with a lost byte": lambda p: [*p[:-1], p[-1][:50] + p[-1][51:]],
    "one packet and silence": lambda p: p[:1],
    "half a packet and silence": lambda p: [p[0][:70]],
}


WRONG_SIZES: dict[str, Harm] = {
    "a lost header": lambda p: [*p[:9], p[9][2:], *p[10:]],
    "a lost packet": lambda p: [*p[:9], *p[10:]],
    "a doubled packet": lambda p: [*p[:9], p[9], *p[9:]],
}


@pytest.mark.parametrize("harm", WRONG_SIZES.values(), ids=WRONG_SIZES)
def test_an_image_of_a_wrong_size_is_sent_again_without_another_presentation(wire: Wire, harm: Harm) -> None:
    sensor = opened(wire)
    wire.will_answer(UP_IMAGE, wire.upload(harm(image_packets(R307))))
    assert (sensor.capture(1).image == expand(R307, 256, 288)).all()


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
def test_a_damaged_image_is_a_retry_and_the_next_one_is_whole(wire: Wire, harm: Harm) -> None:
    sensor = opened(wire)
    wire.will_answer(UP_IMAGE, wire.upload(harm(image_packets(R307))))
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
    wire.will_answer(UP_IMAGE, wire.upload(chunks))
    try:
        assert (sensor.capture(1).image == expand(R307, 256, 288)).all()  # noise between packets does no harm
        lift_and_press(wire, sensor)
    except CaptureRetry as retry:
        assert retry.reason is Retry.MOVED  # noqa: PT017 - both ends are right
    assert (sensor.capture(1).image == expand(R307, 256, 288)).all()


def test_a_pause_in_the_image_that_is_too_long_is_a_retry_and_its_tail_harms_nothing(wire: Wire) -> None:
    packets = image_packets(R307)
    wire.will_answer(UP_IMAGE, [*wire.upload(packets[:100]), (1.0, packets[100]), *((0.0, p) for p in packets[101:])])
    sensor = opened(wire)
    assert retry_of(sensor) is Retry.MOVED
    assert (sensor.capture(1).image == expand(R307, 256, 288)).all()


def test_no_image_after_the_answer_is_a_protocol_error(wire: Wire) -> None:
    wire.will_answer(UP_IMAGE, acknowledge(0))
    with pytest.raises(ProtocolError, match="no image follows"):
        opened(wire).capture(1)


def test_an_image_that_dribbles_is_given_up_at_its_deadline(wire: Wire) -> None:
    wire.will_answer(UP_IMAGE, [(0.0, acknowledge(0)), *((0.4, packet) for packet in image_packets(R307))])
    with pytest.raises(ProtocolError, match="did not end in 12"):  # 40032 bytes * 10 / 57600 * 1.5 + 2 = 12.4 s
        opened(wire).capture(1)
    assert wire.clock.now < 1014.0


def test_an_image_without_end_is_given_up_before_it_fills_the_memory(wire: Wire) -> None:
    endless = frame(DATA, bytes(128)) * 10_000
    wire.will_answer(UP_IMAGE, [(0.0, acknowledge(0)), (0.0, endless)])
    with pytest.raises(ProtocolError, match="more than 1048576 bytes"):
        opened(wire).capture(1)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=6), st.sampled_from([VFY_PWD, READ_SYS_PARA, GET_IMAGE, UP_IMAGE]))
def test_a_device_that_talks_nonsense_is_unwell_and_nothing_worse(noise: list[bytes], command: int) -> None:
    wire = Wire(image=R307)
    wire.will_answer(command, *[[(0.01, data) for data in noise]] * 8)
    sensor = sensor_on(wire)
    with suppress(SensorError, CaptureRetry):  # or it is noise only, and the next answer is right
        sensor.open()
        sensor.capture(1)
    assert wire.clock.now < 1120.0


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
    wire.will_answer(command, *[[(0.05, flood)] * 6000] * 8)
    with pytest.raises(ProtocolError):  # noqa: PT012 - at whichever of the two it happens
        sensor.open()
        sensor.capture(1)
    assert wire.clock.now < 1020.0


def test_a_module_that_babbles_between_image_packets_is_given_up_at_the_deadline(wire: Wire) -> None:
    stranger = frame(DATA, bytes(128), 5)
    wire.will_answer(UP_IMAGE, [(0.0, acknowledge(0)), *[(0.05, stranger)] * 6000])
    with pytest.raises(ProtocolError, match="did not end in 12"):
        opened(wire).capture(1)
    assert wire.clock.now < 1014.0


def test_a_damaged_answer_just_before_the_deadline_is_asked_for_again(wire: Wire) -> None:
    wire.will_answer(GET_IMAGE, [(1.9, acknowledge(0)[:-1] + b"\x77")])
    assert opened(wire).capture(1).image.shape == (288, 256)


def test_over_a_socket_the_deadline_follows_the_rate_that_the_module_tells(wire: Wire) -> None:
    wire.parameters = system_parameters(baud_code=12)
    wire.will_answer(UP_IMAGE, [(0.0, acknowledge(0)), *((0.4, packet) for packet in image_packets(R307))])
    sensor = sensor_on(wire, "socket://192.0.2.7:4001")
    sensor.open()
    with pytest.raises(ProtocolError, match="did not end in 7"):
        sensor.capture(1)


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


def test_a_module_without_vfypwd_that_asks_for_a_password_is_no_contact(wire: Wire) -> None:
    wire.will_answer(VFY_PWD, *[SILENCE] * 50)
    wire.will_answer(GET_IMAGE, *[acknowledge(0x21)] * 50)
    with pytest.raises(ProtocolError, match=r"GetImage is refused: the password must be verified first"):
        sensor_on(wire).open()


def test_late_answers_to_the_greeting_of_a_module_without_parameters_confuse_nothing(wire: Wire) -> None:
    wire.will_answer(VFY_PWD, SILENCE, SILENCE)
    wire.will_answer(GET_IMAGE, [(0.1, acknowledge(0x02)), (0.3, acknowledge(0)), (0.3, acknowledge(0))])
    wire.will_answer(READ_SYS_PARA, acknowledge(0x19))
    sensor = opened(wire, model="R307")
    wire.finger = False
    assert retry_of(sensor) is Retry.NOTHING_PRESENTED
    assert UP_IMAGE not in wire.commands()


def test_a_module_that_falls_silent_is_unwell_and_the_next_capture_says_so_too(wire: Wire) -> None:
    sensor = opened(wire)
    wire.will_answer(GET_IMAGE, [(0.5, frame(DATA, bytes(64)))] * 100)
    for _ in range(2):
        with pytest.raises(ProtocolError, match="does not stop sending"):
            sensor.capture(1)
