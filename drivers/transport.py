"""Byte streams to a device: the Transport interface, the URLs, and open_transport(url).

serial:/dev/ttyUSB0?baud=57600      a tty, claimed exclusively
socket://192.0.2.7:4001             a serial-to-network adapter in raw TCP mode

usb:05ba:000a, usbip://...          a USB device: a UsbLink, not a byte stream, see drivers/usb/url.py
v4l2:/dev/video0                    a camera through the driver of the kernel, see drivers/v4l2/driver.py

serial_line.py implements the transports.
"""

import ipaddress
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable
from urllib.parse import parse_qsl, urlsplit

from drivers.errors import Cancelled
from drivers.serial_line import StreamTransport, open_serial, open_socket
from drivers.usb.url import USB_PARSERS, AnyUsbUrl

MAX_BAUD = 4_000_000  # the highest rate that Linux defines
LOCALHOST = "127.0.0.1"


@runtime_checkable
class Transport(Protocol):
    """A byte stream. One thread reads and writes; any thread may call cancel(). Raises LinkLost and Cancelled."""

    def read(self, timeout: float) -> bytes:
        """Returns what has arrived, after at most `timeout` seconds. Empty if nothing has arrived."""

    def write(self, data: bytes) -> None:
        """Sends everything."""

    def cancel(self) -> None:
        """Ends the running read or write with Cancelled, or the next one if none is running.

        The cancel is remembered until it has ended one. A cancelled write sends nothing.
        """

    def close(self) -> None:
        """Releases the port. Never raises; may be called twice."""


_: type[Transport] = StreamTransport


@runtime_checkable
class AdjustableRate(Protocol):
    """A Transport whose rate can be changed while it is open: that of a serial port."""

    def set_baud(self, baud: int) -> None:
        """Changes the rate and drops what has arrived at the old one. LinkLost if that is not possible."""


@dataclass(frozen=True, slots=True)
class SerialUrl:
    """A tty and its rate in baud."""

    path: str
    baud: int

    def __str__(self) -> str:
        """The URL as it is written in the configuration."""
        return f"serial:{self.path}?baud={self.baud}"


@dataclass(frozen=True, slots=True)
class SocketUrl:
    """A TCP server that forwards bytes to a device. `host` is an address, because a name lookup cannot be cancelled."""

    host: str
    port: int

    def __str__(self) -> str:
        """The URL as it is written in the configuration."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"socket://{host}:{self.port}"


Url = SerialUrl | SocketUrl


@dataclass(frozen=True, slots=True)
class VideoUrl:
    """A video device of the kernel. Only the driver v4l2 opens it; it is not a byte stream."""

    path: str

    def __str__(self) -> str:
        """The URL as it is written in the configuration."""
        return f"v4l2:{self.path}"


def open_transport(url: str | Url) -> Transport:
    """Claims the serial port, or begins to connect to the TCP server, that `url` names.

    ValueError if the URL is wrong; LinkLost if the port cannot be claimed. If the server refuses the connection, the
    first read or write raises LinkLost; cancel() can end that wait.
    """
    found = parse_url(url) if isinstance(url, str) else url
    if isinstance(found, SerialUrl):
        return open_serial(found.path, found.baud)
    return open_socket(found.host, found.port)


def parse_url(url: str, baud: int | None = None) -> Url:
    """Parses the URL of a byte stream without opening a device. ValueError says what is wrong.

    `baud` is used for a serial URL without a rate.
    """
    return _PARSERS[_scheme(url, _PARSERS, {**USB_PARSERS, **_VIDEO_PARSERS})](url, baud)


def parse_usb_url(url: str) -> AnyUsbUrl:
    """Parses the URL of a USB device without opening it. ValueError says what is wrong."""
    return USB_PARSERS[_scheme(url, USB_PARSERS, {**_PARSERS, **_VIDEO_PARSERS})](url)


def parse_video_url(url: str) -> VideoUrl:
    """Parses the URL of a video device of the kernel without opening it. ValueError says what is wrong."""
    return _VIDEO_PARSERS[_scheme(url, _VIDEO_PARSERS, {**_PARSERS, **USB_PARSERS})](url)


def _scheme(url: str, wanted: Collection[str], others: Collection[str]) -> str:
    """Returns the scheme of a URL. ValueError if it is not one of `wanted`."""
    scheme = url.partition(":")[0]
    if scheme in others:
        raise ValueError(f"URL {url!r}: this sensor cannot be at {scheme!r}, only at: {', '.join(wanted)}")
    if scheme not in wanted:
        meant = f"; did you mean serial:{url}?" if url.startswith("/") and "serial" in wanted else ""
        raise ValueError(f"URL {url!r}: there is no transport {scheme!r}; there are: {', '.join(wanted)}{meant}")
    return scheme


def _parse_serial(url: str, default_baud: int | None) -> SerialUrl:
    # urlsplit is not used, because a by-path name of udev contains colons.
    path, _, query = url.removeprefix("serial:").partition("?")
    parameters = dict(parse_qsl(query, keep_blank_values=True))
    baud = parameters.pop("baud", None if default_baud is None else str(default_baud))
    if not path.startswith("/"):
        raise ValueError(f"URL {url!r}: a serial URL names a device file: serial:/dev/ttyUSB0?baud=57600")
    if parameters:
        raise ValueError(f"URL {url!r}: unknown parameter {next(iter(parameters))!r}; there is: baud")
    return SerialUrl(path, _baud(url, baud or ""))


def _baud(url: str, text: str) -> int:
    # Check the length first: int() refuses a number with thousands of digits.
    valid = text.isascii() and text.isdigit() and len(text) <= len(str(MAX_BAUD)) and 0 < int(text) <= MAX_BAUD
    if not valid:
        raise ValueError(f"URL {url!r}: baud must be a number of bits per second up to {MAX_BAUD}, as in ?baud=57600")
    return int(text)


def _parse_socket(url: str, _: int | None) -> SocketUrl:
    usage = f"URL {url!r}: a socket URL is socket://HOST:PORT"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"{usage} ({error})") from error
    if not host or not port or parts.path or parts.query or parts.fragment or parts.username is not None:
        raise ValueError(usage)
    if host == "localhost":
        return SocketUrl(LOCALHOST, port)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise ValueError(f"{usage}; HOST is an address, such as 192.0.2.7 or [2001:db8::7], not a name") from None
    return SocketUrl(host, port)


def _parse_video(url: str) -> VideoUrl:
    path = url.removeprefix("v4l2:")
    if not path.startswith("/"):
        raise ValueError(f"URL {url!r}: a video URL names a device file: v4l2:/dev/video0")
    return VideoUrl(path)


_VIDEO_PARSERS: dict[str, Callable[[str], VideoUrl]] = {"v4l2": _parse_video}
_PARSERS: dict[str, Callable[[str, int | None], Url]] = {"serial": _parse_serial, "socket": _parse_socket}


class Cancellable(Protocol):
    """The methods of a Transport or UsbLink that an Attachment uses."""

    def cancel(self) -> None:
        """Like Transport.cancel()."""

    def close(self) -> None:
        """Like Transport.close()."""


class Attachment:
    """The transport or USB link that a sensor holds, and a cancel() that is remembered when the transport changes.

    A transport remembers a cancel only while it is open. The cancel of a sensor must also reach the next open() or
    capture(), which may use another transport.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._transport: Cancellable | None = None
        self._cancelled = False

    def attach(self, transport: Cancellable) -> None:
        """Holds `transport` and closes the one before. A cancel that has ended nothing yet ends its first read."""
        self.detach()
        with self._lock:
            self._transport = transport
            if self._cancelled:
                transport.cancel()

    @property
    def held(self) -> Cancellable | None:
        """The transport that is held now."""
        return self._transport

    def detach(self) -> None:
        """Closes the transport, if any. Never raises."""
        with self._lock:
            transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()

    def cancel(self) -> None:
        """Ends the running attempt() or the next one with Cancelled. Any thread may call it."""
        with self._lock:
            self._cancelled = True
            if self._transport is not None:
                self._transport.cancel()

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Context of one open() or capture(). A cancel that ends it is forgotten; any other one ends the next."""
        with self._lock:
            if self._cancelled and self._transport is not None:
                self._transport.cancel()  # again, because the clean-up after the last attempt may have used it up
        try:
            yield
        except Cancelled:
            with self._lock:
                self._cancelled = False
            raise
