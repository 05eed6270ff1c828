"""The commands of the simulated EF01 module, compared with the facts."""

from typing import Any

import numpy as np
import pytest

from simulators.sensors.ef01.commands import COMMANDS, PACKET_SIZES, pack, unpack
from simulators.sensors.ef01.device import Ef01Module, Ef01Settings, frame
from tests.rigs.ef01_module import (
    ANYONE,
    DOWN_CHAR,
    DOWN_IMAGE,
    GET_IMAGE,
    READ_PARAMETERS,
    SET_ADDRESS,
    SET_PARAMETER,
    SET_PASSWORD,
    SMALL,
    TO_TEMPLATE,
    TOUCH,
    UP_CHAR,
    UP_IMAGE,
    VERIFY,
    answer,
    bursts,
    frames,
    small,
)


def test_the_real_trace_of_system_parameters_is_answered_byte_for_byte() -> None:
    module = Ef01Module(Ef01Settings(system_id=0, library_size=80, security=3, baud=115_200))
    heard = module.receive(bytes.fromhex("EF01FFFFFFFF0100030F0013"), 1.0)
    assert [b.data.hex() for b in heard] == ["ef01ffffffff070013000000000000500003ffffffff0002000c0477"]


def test_the_real_trace_of_a_template_begins_byte_for_byte() -> None:
    module = small()
    frames(module, GET_IMAGE)
    frames(module, TO_TEMPLATE, b"\x01")
    acknowledge, first, *_ = module.receive(bytes.fromhex("EF01FFFFFFFF0100040801000E"), 1.0)
    assert acknowledge.data == bytes.fromhex("EF01FFFFFFFF07000300000A")
    assert first.data.startswith(bytes.fromhex("EF01FFFFFFFF020082"))


def test_the_left_pixel_is_the_high_nibble() -> None:
    assert pack(np.array([[0x12, 0xAB], [0xFF, 0x0F]], np.uint8)) == b"\x1a\xf0"
    assert unpack(b"\x1a\xf0", 2).tolist() == [[17, 170], [255, 0]]


ANSWERS: list[tuple[int, bytes, bytes]] = [
    (GET_IMAGE, b"", b"\x02"),
    (0x52, b"", b"\x02"),
    (UP_IMAGE, b"", b"\x15"),
    (TO_TEMPLATE, b"\x01", b"\x15"),
    (UP_CHAR, b"\x01", b"\x0d"),
    (DOWN_IMAGE, b"", b"\x00"),
    (DOWN_CHAR, b"\x01", b"\x00"),
    (SET_PARAMETER, b"\x06\x00", b"\x00"),
    (SET_PARAMETER, b"\x04\x0c", b"\x00"),
    (SET_PARAMETER, b"\x04\x0d", b"\x1b"),
    (SET_PARAMETER, b"\x04\x64", b"\x1b"),
    (SET_PARAMETER, b"\x05\x06", b"\x1b"),
    (SET_PARAMETER, b"\x05\x04", b"\x00"),
    (SET_PARAMETER, b"\x06\x04", b"\x1b"),
    (SET_PARAMETER, b"\x07\x00", b"\x1a"),
    (READ_PARAMETERS, b"", bytes.fromhex("00 0000 0009 00c8 0003 ffffffff 0002 0006")),
    (SET_PASSWORD, b"\0\0\0\1", b"\x00"),
    (VERIFY, b"\0\0\0\0", b"\x00"),
    (VERIFY, b"\0\0\0\1", b"\x13"),
    (0x1D, b"", b"\x00\0\0"),
    (0x1F, b"\x00", b"\x00" + bytes(32)),
    (0x1F, b"\x04", b"\x0b"),
    (0x35, b"\1\x80\1\0", b"\x00"),
    (0x50, b"", b"\x00"),
    (0x51, b"", b"\x00"),
    (0x53, b"", b"\x55"),
    (0x77, b"", b"\x19"),
    (VERIFY, b"\0", b"\x01"),
]


@pytest.mark.parametrize(("code", "payload", "expected"), ANSWERS)
def test_a_module_without_a_finger_answers(code: int, payload: bytes, expected: bytes) -> None:
    assert answer(small(touched=False), code, payload) == expected


def test_every_command_of_the_facts_is_tried_above() -> None:
    assert set(COMMANDS) <= {code for code, _, _ in ANSWERS} | {SET_ADDRESS}


def test_the_new_address_answers_and_the_old_one_is_wrong() -> None:
    module = small()
    (acknowledge,) = frames(module, SET_ADDRESS, b"\0\0\xbe\xef")
    assert acknowledge[2:6] == b"\0\0\xbe\xef"
    assert answer(module, READ_PARAMETERS) == b"\x20"
    assert answer(module, READ_PARAMETERS, address=0xBEEF)[0] == 0


def test_a_module_with_a_password_wants_it_first_and_after_each_power_on() -> None:
    module = Ef01Module(Ef01Settings(password=7, boot_s=0.0))
    for _ in range(2):
        assert answer(module, GET_IMAGE) == b"\x21"
        assert answer(module, VERIFY, b"\0\0\0\7") == b"\x00"
        assert answer(module, GET_IMAGE) == b"\x02"
        module.power_on(0.0)


def test_an_image_without_ridges_gives_too_few_points() -> None:
    module = small(touched=False)
    module.press(np.full((64, 64), 200, np.uint8))
    frames(module, GET_IMAGE)
    assert answer(module, TO_TEMPLATE, b"\x01") == b"\x07"


def test_a_finger_is_seen_once_it_has_settled() -> None:
    module = Ef01Module(Ef01Settings(width=64, height=64, boot_s=0.0, settle_s=0.3), clock=lambda: 5.0)
    module.press(TOUCH)
    asked = frame(ANYONE, 0x01, b"\x01")
    assert [module.receive(asked, now)[0].data[9] for now in (5.1, 5.4)] == [0x02, 0x00]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"packet_size": 100}, "packet size"),
        ({"baud": 57000}, "9600 times"),
        ({"width": 191}, "even width"),
        ({"height": 1026}, "at most 1024 pixels a side, not 256x1026"),
        ({"ppi": 0}, "100 to 2000 ppi"),
    ],
)
def test_settings_that_no_module_has_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Ef01Settings(**wrong)


@pytest.mark.parametrize("size", PACKET_SIZES)
def test_an_image_comes_in_packets_of_the_size_set_and_only_the_last_is_marked(size: int) -> None:
    module = small()
    assert answer(module, SET_PARAMETER, bytes([6, PACKET_SIZES.index(size)])) == b"\x00"
    frames(module, GET_IMAGE)
    _, *data = frames(module, UP_IMAGE)
    assert b"".join(raw[9:-2] for raw in data) == pack(TOUCH)
    assert {len(raw) for raw in data} == {size + 11}
    assert [raw[6] for raw in data] == [0x02] * (len(data) - 1) + [0x08]


@pytest.mark.parametrize(("name", "more"), [("short", -100), ("long", 100)])
def test_short_and_long_change_the_count_and_close_the_image_properly(name: str, more: int) -> None:
    module = small()
    frames(module, GET_IMAGE)
    module.inject(name, bytes=100)
    _, *data = frames(module, UP_IMAGE)
    assert sum(len(raw) - 11 for raw in data) == SMALL.image_bytes + more
    assert [raw[6] for raw in data] == [0x02] * (len(data) - 1) + [0x08]
    assert all(sum(raw[6:-2]) & 0xFFFF == int.from_bytes(raw[-2:]) for raw in data)


SAID = [("capture_fail", GET_IMAGE, 0x03), ("messy", GET_IMAGE, 0x06), ("no_upload", UP_IMAGE, 0x0F)]


@pytest.mark.parametrize(("name", "code", "confirmation"), [*SAID, ("receive_error", READ_PARAMETERS, 0x01)])
def test_a_fault_in_what_is_said_strikes_as_often_as_asked(name: str, code: int, confirmation: int) -> None:
    module = small()
    frames(module, GET_IMAGE)
    module.inject(name, times=2)
    assert [frames(module, code)[0][9] for _ in range(3)] == [confirmation, confirmation, 0x00]


@pytest.mark.parametrize("deferred", [False, True])
def test_a_rate_holds_after_its_acknowledge_or_when_deferred_after_power_on(*, deferred: bool) -> None:
    module = small()
    if deferred:
        module.inject("baud_deferred")
    (acknowledge,) = bursts(module, SET_PARAMETER, b"\x04\x0c")
    assert acknowledge.baud == 57600
    assert answer(module, READ_PARAMETERS)[-1] == 12
    assert module.baud == (57600 if deferred else 115_200)
    module.power_on(1.0)
    assert module.baud == 115_200
