"""Descriptors and standard requests of any simulated device (USB 2.0, chapter 9)."""

import struct
from collections.abc import Iterator

from simulators.transports.usb.device import IN, Setup, Stall, UsbDescription

DEVICE, CONFIGURATION, STRING, INTERFACE, ENDPOINT = 1, 2, 3, 4, 5  # descriptor types
GET_STATUS, CLEAR_FEATURE, SET_FEATURE, SET_ADDRESS, GET_DESCRIPTOR = 0, 1, 3, 5, 6
GET_CONFIGURATION, SET_CONFIGURATION, GET_INTERFACE, SET_INTERFACE = 8, 9, 10, 11
BULK = 2
LANGUAGES = bytes([4, STRING]) + struct.pack("<H", 0x0409)
BCD_USB = {"full": 0x0200, "high": 0x0200, "super": 0x0300}
MAX_PACKET_0 = {"full": 64, "high": 64, "super": 9}


def device_descriptor(about: UsbDescription) -> bytes:
    """The 18 bytes of the device descriptor."""
    return struct.pack(
        "<BBHBBBBHHHBBBB",
        18,
        DEVICE,
        BCD_USB[about.speed],
        *about.device_class,
        MAX_PACKET_0[about.speed],
        about.vendor,
        about.product,
        about.bcd_device,
        *(index if text else 0 for index, text in enumerate(_texts(about), 1)),
        1,
    )


def configuration_descriptor(*parts: bytes, interfaces: int = 1, attributes: int = 0x80, milliamps: int = 100) -> bytes:
    """A whole configuration: its header, then `parts` (interface, endpoint and class descriptors) unchanged."""
    body = b"".join(parts)
    return (
        struct.pack("<BBHBBBBB", 9, CONFIGURATION, 9 + len(body), interfaces, 1, 0, attributes, milliamps // 2) + body
    )


def interface_descriptor(number: int, alternate: int, endpoint_count: int, kind: tuple[int, int, int]) -> bytes:
    """One interface; `kind` is class, subclass, protocol."""
    return struct.pack("<BBBBBBBBB", 9, INTERFACE, number, alternate, endpoint_count, *kind, 0)


def endpoint_descriptor(address: int, transfer: int, packet: int, interval: int = 0) -> bytes:
    """One endpoint; `transfer` is 1 isochronous, 2 bulk, 3 interrupt."""
    return struct.pack("<BBBBHB", 7, ENDPOINT, address, transfer, packet, interval)


def descriptors(blob: bytes) -> Iterator[bytes]:
    """The descriptors of a configuration, up to the first bytes that are no descriptor."""
    place = 0
    while place + 2 <= len(blob) and blob[place] >= 2:
        yield blob[place : place + blob[place]]
        place += blob[place]


def endpoints(configuration: bytes) -> dict[int, int]:
    """The transfer type of every endpoint, by address."""
    return {d[2]: d[3] & 3 for d in descriptors(configuration) if d[1] == ENDPOINT and len(d) >= 7}


def _texts(about: UsbDescription) -> tuple[str, str, str]:
    return about.manufacturer, about.name, about.serial


class StandardRequests:
    """Answers the standard requests, which are the same for every device."""

    def __init__(self, about: UsbDescription) -> None:
        self._about = about
        self._types = endpoints(about.configuration)
        self._configuration = 1

    def is_bulk(self, endpoint: int) -> bool:
        """Whether an endpoint is a bulk endpoint."""
        return self._types.get(endpoint) == BULK

    def cleared_halt(self, setup: Setup) -> int | None:
        """The endpoint whose halt this request clears; None if it is another request."""
        return setup.index if (setup.request_type, setup.request, setup.value) == (0x02, CLEAR_FEATURE, 0) else None

    def answers(self, setup: Setup) -> bool:
        """Whether a request is a standard one (those for an interface's alternate setting go to the model)."""
        return setup.request_type & 0x60 == 0 and setup.request not in (GET_INTERFACE, SET_INTERFACE)

    def answer(self, setup: Setup) -> bytes:
        """Execute a standard request. Raises Stall if it is unknown."""
        if setup.request == GET_DESCRIPTOR:
            return self._descriptor(setup.value >> 8, setup.value & 0xFF)
        if setup.request == GET_CONFIGURATION:
            return bytes([self._configuration])
        if setup.request == GET_STATUS and setup.request_type & IN:
            return bytes(2)
        if setup.request in (SET_CONFIGURATION, SET_ADDRESS, SET_FEATURE, CLEAR_FEATURE):
            return b""
        raise Stall

    def _descriptor(self, kind: int, index: int) -> bytes:
        if kind == DEVICE:
            return device_descriptor(self._about)
        if kind == CONFIGURATION and index == 0:
            return self._about.configuration
        if kind == STRING:
            return self._string(index)
        raise Stall

    def _string(self, index: int) -> bytes:
        if index == 0:
            return LANGUAGES
        texts = ("", *_texts(self._about))
        if index >= len(texts) or not texts[index]:
            raise Stall
        text = texts[index].encode("utf-16-le")
        return bytes([2 + len(text), STRING]) + text
