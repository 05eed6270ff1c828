"""The commands and the image formats of the simulated SFM module."""

import struct

import pytest

from simulators.sensors.sfm.commands import (
    BINARY,
    COMMANDS,
    FORMAT,
    GREY4,
    GREY8,
    RATE,
    READ,
    RESET,
    SAVE,
    STATUS,
    SUCCESS,
    UNSUPPORTED,
    WRITE,
    Answer,
    State,
    image_record,
)
from simulators.sensors.sfm.device import SfmSettings
from simulators.transports.faults import Faults


@pytest.mark.parametrize(
    "wrong", [{"baud": 12345}, {"width": 0, "height": 7}, {"terminal": 0}, {"firmware": "V3"}],
)  # fmt: skip
def test_settings_that_no_module_has_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"must|has"):
        SfmSettings(**wrong)  # type: ignore[arg-type]


@pytest.fixture(name="state")
def _state() -> State:
    settings = SfmSettings(width=4, height=2, image_format=GREY8)
    state = State(settings, Faults(), settings.parameters())
    state.power_on()
    return state


def test_a_written_parameter_is_read_back_and_reset_at_power_on(state: State) -> None:
    assert COMMANDS[WRITE].execute(state, FORMAT, GREY4) == Answer(SUCCESS, size=GREY4)
    assert COMMANDS[READ].execute(state, FORMAT, 0) == Answer(SUCCESS, size=GREY4)
    state.power_on()
    assert COMMANDS[READ].execute(state, FORMAT, 0) == Answer(SUCCESS, size=GREY8)


def test_a_saved_parameter_is_kept(state: State) -> None:
    COMMANDS[WRITE].execute(state, FORMAT, GREY4)
    assert COMMANDS[SAVE].execute(state, 0, 0) == Answer(SUCCESS)
    state.power_on()
    assert state.parameters[FORMAT] == GREY4


@pytest.mark.parametrize("deferred", [False, True])
def test_a_new_rate_takes_effect_immediately_or_with_the_fault_after_power_off(*, deferred: bool, state: State) -> None:
    if deferred:
        state.faults.inject("baud_deferred")
    COMMANDS[WRITE].execute(state, RATE, 0x38)
    assert state.baud == (115_200 if deferred else 921_600)


def test_an_unknown_parameter_or_a_value_out_of_range_is_not_supported(state: State) -> None:
    assert COMMANDS[READ].execute(state, 0x99, 0) == Answer(UNSUPPORTED)
    assert COMMANDS[WRITE].execute(state, 0x99, 0x30) == Answer(UNSUPPORTED)
    assert COMMANDS[WRITE].execute(state, FORMAT, 0x40) == Answer(UNSUPPORTED)


def test_status_and_reset_succeed(state: State) -> None:
    assert COMMANDS[STATUS].execute(state, 0, 0) == Answer(SUCCESS, param=0x30)
    assert COMMANDS[RESET].execute(state, 0, 0) == Answer(SUCCESS)


@pytest.mark.parametrize(
    ("image_format", "code", "packed"),
    [
        (GREY8, 0, "00ff7f8012345678"),
        (GREY4, 2, "0f781357"),
        (BINARY, 1, "50"),
    ],
)
def test_an_image_record_has_seven_numbers_and_the_pixels(image_format: int, code: int, packed: str) -> None:
    record = image_record(SfmSettings(width=4, height=2), bytes.fromhex("00ff7f8012345678"), image_format)
    assert struct.unpack("<7i", record[:28]) == (4, 2, 0, 0, code, len(packed) // 2, 0)
    assert record[28:].hex() == packed


def test_a_last_byte_that_is_not_full_ends_with_zeros() -> None:
    assert image_record(SfmSettings(width=3, height=1), b"\xff" * 3, GREY4)[28:] == b"\xff\xf0"
    assert image_record(SfmSettings(width=3, height=1), b"\xff" * 3, BINARY)[28:] == b"\xe0"
