"""The URLs of USB devices: parsed and checked without opening a device. connect.py opens them.

usb:05ba:000a                 the only device with this vendor and product id
usb:05ba:000a?path=pci-0000:00:14.0-usb-0:4.2
                              the one at this socket: the USB controller and the ports, as udev writes them
usb:05ba:000a?serial=ABC      the one with this serial number, wherever it is plugged in
usb:05ba:000a?port=1-4.2      the one at this port of a bus; the kernel may number the buses in another order next time
usbip://192.0.2.7:3240/1-1    the one that a USB/IP server exports with this bus id
"""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlsplit

PORT = re.compile(r"[0-9]{1,3}-[0-9]{1,3}(\.[0-9]{1,3}){0,6}")
PATH = re.compile(r"[A-Za-z0-9:._@+-]{1,128}-usb-0:[0-9]{1,3}(\.[0-9]{1,3}){0,6}")
EXAMPLE_PATH = "pci-0000:00:14.0-usb-0:4.2"
USBIP_PORT = 3240
MAX_SERIAL_CHARS = 126  # characters in a string descriptor


@dataclass(frozen=True, slots=True)
class UsbUrl:
    """A USB device of this machine: the only one with these ids, or the one that path, port or serial number names."""

    vendor: int
    product: int
    port: str = ""
    serial: str = ""
    path: str = ""

    def __str__(self) -> str:
        """The URL as it is written in the configuration."""
        named = (("path", self.path), ("port", self.port), ("serial", quote(self.serial)))
        where = next((f"?{key}={value}" for key, value in named if value), "")
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
    parameters = parse_qsl(query, keep_blank_values=True)
    if query and (len(parameters) != 1 or parameters[0][0] not in ("path", "port", "serial") or not parameters[0][1]):
        raise ValueError(f"{usage}, followed by one of ?path=PATH, ?serial=NUMBER and ?port=1-4.2")
    named = dict(parameters)
    if not PORT.fullmatch(named.get("port", "1-1")):
        raise ValueError(f"URL {url!r}: a port is written as bus-port.port, as in ?port=1-4.2")
    if not PATH.fullmatch(named.get("path", EXAMPLE_PATH)):
        raise ValueError(f"URL {url!r}: a path names controller and ports, as in ?path={EXAMPLE_PATH}")
    if len(named.get("serial", "")) > MAX_SERIAL_CHARS:
        raise ValueError(f"URL {url!r}: a serial number has at most {MAX_SERIAL_CHARS} characters")
    return UsbUrl(int(ids[:4], 16), int(ids[5:], 16), **named)


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
