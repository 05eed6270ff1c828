"""The eight bytes that begin a control transfer."""

import struct

import pytest

from simulators.transports.usb.device import IN, Setup


def test_a_setup_is_read_in_the_byte_order_of_usb() -> None:
    setup = Setup.from_bytes(bytes([0x80, 6, 0x00, 0x02, 0x09, 0x04, 0xFF, 0x01]))
    assert setup == Setup(request_type=0x80, request=6, value=0x0200, index=0x0409, length=0x01FF)
    assert setup.request_type & IN


@pytest.mark.parametrize("length", [0, 7, 9])
def test_another_length_is_no_setup(length: int) -> None:
    with pytest.raises(struct.error):
        Setup.from_bytes(bytes(length))
