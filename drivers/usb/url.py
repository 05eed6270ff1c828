"""The URLs of USB devices: parsed and checked without opening a device. connect.py opens them.

usb:05ba:000a                 the only device with this vendor and product id
usb:05ba:000a?port=1-4.2      the one at this port (bus-port.port, as the kernel writes it)
usb:05ba:000a?serial=ABC      the one with this serial number, wherever it is plugged in
usbip://192.0.2.7:3240/1-1    the one that a USB/IP server exports with this bus id
"""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlsplit

PORT = re.compile(r"[0-9]{1,3}-[0-9]{1,3}(\.[0-9]{1,3}){0,6}")
USBIP_PORT = 3240
MAX_SERIAL_CHARS = 126  # characters in a string descriptor


@dataclass(frozen=True, slots=True)
class UsbUrl:
    """A USB device of this machine. Without port or serial number, only one device with these ids may be attached."""

    vendor: int
    product: int
    port: str = ""
    serial: str = ""

    def __str__(self) -> str:
        """The URL as it is written in the configuration."""
        where = f"?port={self.port}" if self.port else f"?serial={quote(self.serial)}" if self.serial else ""
        return f"usb:{self.vendor:04x}:{self.product:04x}{where}"


@dataclass(frozen=True, slots=True)
class UsbIpUrl:
    """A device that a USB/IP server exports. `host` is an address, because a name lookup cannot be cancelled."""

    host: str
    port: int
    busid: str

    def __str__(self) -> str:
        """The URL as it is written in the configuration."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"usbip://{host}:{self.port}/{self.busid}"


AnyUsbUrl = UsbUrl | UsbIpUrl


def parse_usb(url: str) -> UsbUrl:
    """Parses `usb:…`. ValueError says what is wrong."""
    usage = f"URL {url!r}: a USB URL is usb:VENDOR:PRODUCT, four hexadecimal digits each, as in usb:05ba:000a"
    ids, _, query = url.removeprefix("usb:").partition("?")
    if not re.fullmatch(r"[0-9a-fA-F]{4}:[0-9a-fA-F]{4}", ids):
        raise ValueError(usage)
    parameters = dict(parse_qsl(query, keep_blank_values=True))
    port, serial = parameters.pop("port", ""), parameters.pop("serial", "")
    if parameters or (port and serial) or (query and not port and not serial):
        raise ValueError(f"{usage}, followed by either ?port=1-4.2 or ?serial=NUMBER")
    if port and not PORT.fullmatch(port):
        raise ValueError(f"URL {url!r}: a port is written as bus-port.port, as in ?port=1-4.2")
    if len(serial) > MAX_SERIAL_CHARS:
        raise ValueError(f"URL {url!r}: a serial number has at most {MAX_SERIAL_CHARS} characters")
    return UsbUrl(int(ids[:4], 16), int(ids[5:], 16), port, serial)


def parse_usbip(url: str) -> UsbIpUrl:
    """Parses `usbip://…`. ValueError says what is wrong."""
    usage = f"URL {url!r}: a USB/IP URL is usbip://ADDRESS:PORT/BUSID, as in usbip://192.0.2.7:{USBIP_PORT}/1-1"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        ipaddress.ip_address(host)
    except ValueError as error:
        raise ValueError(f"{usage} ({error})") from error
    busid = parts.path.removeprefix("/")
    if parts.query or parts.fragment or parts.username is not None or port == 0 or not PORT.fullmatch(busid):
        raise ValueError(usage)
    return UsbIpUrl(host, port or USBIP_PORT, busid)


USB_PARSERS: dict[str, Callable[[str], AnyUsbUrl]] = {"usb": parse_usb, "usbip": parse_usbip}
