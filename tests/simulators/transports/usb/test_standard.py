"""The descriptors and standard requests of a simulated USB device."""

import struct

import pytest

from simulators.transports.usb.device import Setup, Stall
from simulators.transports.usb.standard import (
    CLEAR_FEATURE,
    CONFIGURATION,
    DEVICE,
    GET_CONFIGURATION,
    GET_DESCRIPTOR,
    GET_INTERFACE,
    GET_STATUS,
    SET_CONFIGURATION,
    STRING,
    StandardRequests,
    descriptors,
    endpoints,
)
from tests.rigs.usb_echo import BELL, IN, OUT, Echo
from tests.rigs.usb_echo import CONFIGURATION as ECHO_CONFIGURATION

ECHO = Echo("SERIAL").description


def read(kind: int, index: int = 0) -> bytes:
    return StandardRequests(ECHO).answer(Setup(0x80, GET_DESCRIPTOR, kind << 8 | index, 0, 255))


def test_the_device_descriptor_names_the_device_and_its_strings() -> None:
    found = read(DEVICE)
    assert (len(found), found[0], found[1]) == (18, 18, DEVICE)
    assert struct.unpack("<HHH", found[8:14]) == (0x1209, 0x0001, 0x0100)
    texts = [read(STRING, index)[2:].decode("utf-16-le") for index in found[14:17]]
    assert texts == ["Kiosk", "Echo", "SERIAL"]
    assert read(STRING) == bytes([4, STRING, 0x09, 0x04])


def test_the_configuration_lists_its_endpoints() -> None:
    found = read(CONFIGURATION)
    assert found == ECHO_CONFIGURATION
    assert int.from_bytes(found[2:4], "little") == len(found) == sum(map(len, descriptors(found)))
    assert endpoints(found) == {BELL: 3, OUT: 2, IN: 2}
    requests = StandardRequests(ECHO)
    assert [requests.is_bulk(endpoint) for endpoint in (BELL, OUT, IN)] == [False, True, True]


def test_settings_are_acknowledged_and_status_is_zero() -> None:
    requests = StandardRequests(ECHO)
    assert requests.answer(Setup(0x80, GET_CONFIGURATION, 0, 0, 1)) == b"\x01"
    assert requests.answer(Setup(0x80, GET_STATUS, 0, 0, 2)) == b"\0\0"
    assert requests.answer(Setup(0x00, SET_CONFIGURATION, 1, 0, 0)) == b""


def test_only_clearing_the_halt_of_an_endpoint_names_an_endpoint() -> None:
    requests = StandardRequests(ECHO)
    assert requests.cleared_halt(Setup(0x02, CLEAR_FEATURE, 0, IN, 0)) == IN
    assert requests.cleared_halt(Setup(0x00, CLEAR_FEATURE, 0, IN, 0)) is None


def test_vendor_requests_and_alternate_settings_are_left_to_the_model() -> None:
    requests = StandardRequests(ECHO)
    assert requests.answers(Setup(0x80, GET_DESCRIPTOR, 0, 0, 0))
    assert not requests.answers(Setup(0xC0, 4, 0, 0, 0))
    assert not requests.answers(Setup(0x81, GET_INTERFACE, 0, 0, 1))


@pytest.mark.parametrize(
    "setup",
    [
        Setup(0x80, GET_DESCRIPTOR, 0x0F << 8, 0, 5),
        Setup(0x80, GET_DESCRIPTOR, CONFIGURATION << 8 | 1, 0, 5),
        Setup(0x80, GET_DESCRIPTOR, STRING << 8 | 9, 0, 5),
        Setup(0x80, 0x30, 0, 0, 5),
    ],
)
def test_an_unknown_request_is_refused(setup: Setup) -> None:
    with pytest.raises(Stall):
        StandardRequests(ECHO).answer(setup)
