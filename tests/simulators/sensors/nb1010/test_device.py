"""The simulated NB-1010-U alone: its messages as recorded, its images and its faults; no driver of ours."""

import pytest

from simulators.sensors.nb1010.device import (
    BULK_IN,
    BULK_OUT,
    CAPTURE,
    CHECK,
    HEIGHT,
    INTERRUPT_IN,
    NB1010_FAULTS,
    PRE_CAPTURE,
    WIDTH,
    Nb1010Model,
)
from simulators.transports.usb.device import Setup, Stall
from tests.rigs.usb_wire import SentTransfers

PIXELS = bytes(number * 37 + number // 251 & 0xFF for number in range(WIDTH * HEIGHT))


@pytest.fixture(name="wire")
def _wire() -> SentTransfers:
    return SentTransfers()


@pytest.fixture(name="model")
def _model(wire: SentTransfers) -> Nb1010Model:
    model = Nb1010Model()
    model.attach(wire, 0.0)
    return model


def command(code: int, sequence: int = 3, size: int = 12) -> bytes:
    return bytes([0x80, code, sequence, 0]) + size.to_bytes(2, "little") + bytes(size - 6)


def answers(model: Nb1010Model, wire: SentTransfers, message: bytes) -> list[bytes]:
    model.received(BULK_OUT, message)
    sent = wire.take()
    assert {endpoint for endpoint, _ in sent} <= {BULK_IN}
    return [data for _, data in sent]


def test_a_check_is_answered_with_the_contact_level(model: Nb1010Model, wire: SentTransfers) -> None:
    (bare,) = answers(model, wire, command(CHECK))
    assert (bare[:6], bare[12], len(bare)) == (bytes.fromhex("803703001000"), 0x03, 16)
    model.press(PIXELS)
    (touched,) = answers(model, wire, command(CHECK))
    assert touched[12] == 0xF7


def test_the_order_before_a_capture_is_answered_with_its_sequence(model: Nb1010Model, wire: SentTransfers) -> None:
    (answer,) = answers(model, wire, command(PRE_CAPTURE, sequence=9))
    assert answer == bytes.fromhex("80200900100000000000000000000000")


def test_an_image_comes_in_90_messages_of_two_lines(model: Nb1010Model, wire: SentTransfers) -> None:
    model.press(PIXELS)
    answer, *messages = answers(model, wire, command(CAPTURE))
    assert (answer[1], answer[12]) == (0x20, 3)
    assert len(messages) == 90
    assert {len(message) for message in messages} == {540}
    assert b"".join(message[26 - 1 :][: 2 * WIDTH] for message in messages) == PIXELS
    assert [message[12] for message in messages] == [1] * 89 + [0]


def test_without_a_finger_the_image_has_one_grey_level(model: Nb1010Model, wire: SentTransfers) -> None:
    _, first, *_ = answers(model, wire, command(CAPTURE))
    assert set(first[25 : 25 + 2 * WIDTH]) == {0xE5}


def test_a_capture_that_fails_is_acknowledged_without_an_image_once(model: Nb1010Model, wire: SentTransfers) -> None:
    model.inject("capture_fail")
    assert len(answers(model, wire, command(CAPTURE))) == 1
    assert len(answers(model, wire, command(CAPTURE))) == 91


@pytest.mark.parametrize(
    "message",
    [b"", command(CHECK)[:7], b"\x81" + command(CHECK)[1:], command(CHECK) + b"\0", command(0x55)],
    ids=["empty", "short", "another start", "another length", "unknown command"],
)
def test_an_invalid_message_or_an_unknown_command_is_not_answered(
    message: bytes, model: Nb1010Model, wire: SentTransfers
) -> None:
    assert answers(model, wire, message) == []


def test_another_endpoint_or_an_unplugged_sensor_executes_nothing(model: Nb1010Model, wire: SentTransfers) -> None:
    model.received(INTERRUPT_IN, command(CHECK))
    model.read_submitted(BULK_IN, 64)
    model.detach()
    model.received(BULK_OUT, command(CHECK))
    assert wire.take() == []
    assert model.commands[CHECK] == 0


def test_control_requests_are_refused(model: Nb1010Model) -> None:
    with pytest.raises(Stall):
        model.control(Setup(0xC0, 1, 0, 0, 1), b"")


def test_a_finger_of_another_size_is_refused(model: Nb1010Model) -> None:
    with pytest.raises(ValueError, match="this sensor needs 46080 pixels, 180 lines of 256: not 3"):
        model.press(b"123")


def test_a_stuck_finger_stays_until_the_faults_are_cleared(model: Nb1010Model) -> None:
    model.press(PIXELS)
    model.inject("stuck")
    model.lift()
    assert model.finger_on
    model.clear_faults()
    assert not model.finger_on
    model.press(PIXELS)
    model.lift()
    assert not model.finger_on


def test_it_has_the_faults_of_usb_and_its_own() -> None:
    assert {"stall", "capture_fail", "stuck"} <= set(NB1010_FAULTS)
    with pytest.raises(ValueError, match="this sensor has no fault 'hung'"):
        Nb1010Model().inject("hung")
