"""Opening the device of a USB URL: through libusb, over USB/IP at once, or over USB/IP without waiting."""

import socket

import pytest

from drivers.errors import LinkLost
from drivers.usb.connect import begin_link, open_link
from drivers.usb.url import UsbIpUrl, UsbUrl

NO_SUCH_DEVICE = UsbUrl(0x1209, 0xFFFE, port="99-9")


@pytest.fixture
def nobody() -> UsbIpUrl:
    """A port where no server listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return UsbIpUrl("127.0.0.1", port, "1-1")


def test_a_usb_device_that_is_not_attached_is_a_lost_link() -> None:
    with pytest.raises(LinkLost, match="not plugged in"):
        open_link(NO_SUCH_DEVICE)
    with pytest.raises(LinkLost, match="not plugged in"):
        begin_link(NO_SUCH_DEVICE)


def test_open_waits_for_the_server(nobody: UsbIpUrl) -> None:
    with pytest.raises(LinkLost, match="nothing is exported there"):
        open_link(nobody)


def test_begin_does_not_wait_and_the_first_use_raises_the_error(nobody: UsbIpUrl) -> None:
    link = begin_link(nobody)
    try:
        with pytest.raises(LinkLost, match="nothing is exported there"):
            _ = link.identity
    finally:
        link.close()
