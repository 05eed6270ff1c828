"""The URLs of USB devices: what they name, and why a wrong one is refused."""

import pytest

from drivers.transport import parse_usb_url
from drivers.usb.url import EXAMPLE_PATH, AnyUsbUrl, UsbIpUrl, UsbUrl


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("usb:05ba:000a", UsbUrl(0x05BA, 0x000A)),
        ("usb:05ba:000a?port=1-4.2", UsbUrl(0x05BA, 0x000A, port="1-4.2")),
        (f"usb:05ba:000a?path={EXAMPLE_PATH}", UsbUrl(0x05BA, 0x000A, path=EXAMPLE_PATH)),
        (
            "usb:05ba:000a?path=platform-xhci-hcd.1.auto-usb-0:1",
            UsbUrl(0x05BA, 0x000A, path="platform-xhci-hcd.1.auto-usb-0:1"),
        ),
        ("usb:05ba:000a?serial=A%20B", UsbUrl(0x05BA, 0x000A, serial="A B")),
        ("usbip://192.0.2.7:3241/1-1", UsbIpUrl("192.0.2.7", 3241, "1-1")),
        ("usbip://192.0.2.7/1-4.2", UsbIpUrl("192.0.2.7", 3240, "1-4.2")),
        ("usbip://[2001:db8::7]:3240/1-1", UsbIpUrl("2001:db8::7", 3240, "1-1")),
    ],
)
def test_a_url_names_a_device(text: str, url: AnyUsbUrl) -> None:
    assert parse_usb_url(text) == url
    assert parse_usb_url(str(url)) == url


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("serial:/dev/ttyUSB0", "cannot be at 'serial', only at: usb, usbip"),
        ("pigeon:1", "there is no transport 'pigeon'; there are: usb, usbip"),
        ("usb:05ba", "four hexadecimal digits each"),
        ("usb:05ba:000a?colour=red", "followed by one of"),
        ("usb:05ba:000a?port=", "followed by one of"),
        ("usb:05ba:000a?port=1-1&serial=A", "followed by one of"),
        ("usb:05ba:000a?port=1-1&port=1-2", "followed by one of"),
        ("usb:05ba:000a?path=1-4.2", "a path names controller and ports, as in ?path=pci-0000:00:14.0-usb-0:4.2"),
        ("usb:05ba:000a?port=4", "a port is written as bus-port.port"),
        ("usb:05ba:000a?serial=" + "A" * 127, "at most 126"),
        ("usbip://example.org:3240/1-1", "usbip://ADDRESS:PORT/BUSID"),
        ("usbip://192.0.2.7:3240", "usbip://ADDRESS:PORT/BUSID"),
        ("usbip://192.0.2.7:99999/1-1", "usbip://ADDRESS:PORT/BUSID"),
        ("usbip://192.0.2.7:0/1-1", "usbip://ADDRESS:PORT/BUSID"),
    ],
)
def test_a_bad_url_is_refused_with_what_is_wrong(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match="URL") as caught:
        parse_usb_url(text)
    assert complaint in str(caught.value)
