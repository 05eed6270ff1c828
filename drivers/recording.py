"""The traffic of one sensor as text: written while a driver works, and played back to the same driver in a test.

A recording holds what the sensor sent, a fingerprint or an eye included: it is kept and deleted like a sample.

    # kiosk-agent recording 1
    driver nb1010
    url usb:298d:1010
    option pixels_per_inch=385
    0.000000 open =
    0.000310 identity vendor=10637 product=4112 serial= port=1-1 bcd_device=1 speed=full =
    0.000310 configuration = 0902...
    0.000812 write 02 8038010008000000 =
    0.001544 read 83 540 = 80211a...
    0.501544 read 83 540 ! TransferTimeout

One line a call of the driver: seconds since the start, what was called with which arguments, and after `=` what came
back, or after `!` the error. drivers/playback.py plays it.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TextIO, TypeVar
from urllib.parse import quote

from drivers.errors import Cancelled, LinkLost, ProtocolError, Stalled, TransferTimeout
from drivers.transport import SerialUrl, SocketUrl, Transport, Url, open_transport
from drivers.usb.configuration import WantedInterface
from drivers.usb.connect import open_link
from drivers.usb.link import CONTROL_TIMEOUT_S, Inbox, PendingRead, UsbLink
from drivers.usb.url import AnyUsbUrl

TITLE = "# kiosk-agent recording 1"
ERRORS = {error.__name__: error for error in (TransferTimeout, Stalled, Cancelled, LinkLost, ProtocolError)}

Answer = TypeVar("Answer", bound=bytes | None)
End = TypeVar("End")


@dataclass(frozen=True, slots=True)
class Line:
    """One call: when, what (arguments included), and its answer in hexadecimal, `-` for none, or an error."""

    at: float
    call: str
    answer: str = field(default="", repr=False)
    error: str = ""

    def __str__(self) -> str:
        """As it stands in the file."""
        end = f"! {self.error}" if self.error else f"= {self.answer}"
        return f"{self.at:.6f} {self.call} {end}".rstrip()

    @classmethod
    def parse(cls, text: str) -> "Line":
        """Read a line. ValueError: it is none."""
        head, bang, error = text.partition(" ! ")
        head, equals, answer = (head, "", "") if bang else text.partition(" =")
        at, _, call = head.partition(" ")
        if not (bang or equals) or not call:
            raise ValueError(f"no line of a recording: {text[:40]!r}")
        return cls(float(at), call, answer.strip(), error)


def control_in_call(request_type: int, request: int, value: int, index: int, length: int) -> str:
    """How a recording names a control request that answers."""
    return f"control_in {request_type:02x} {request:02x} {value:04x} {index:04x} {length}"


def control_out_call(request_type: int, request: int, value: int, index: int, data: bytes) -> str:
    """How a recording names a control request with data."""
    return f"control_out {request_type:02x} {request:02x} {value:04x} {index:04x} {data.hex()}".rstrip()


class Recorder:
    """Writes what passes through the ends that it hands out: so many `lines` until now; `opened`: there was an end."""

    def __init__(
        self,
        file: TextIO,
        driver: str,
        url: str,
        options: Mapping[str, object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = file
        self._clock = clock
        self._start = clock()
        self._lock = threading.Lock()  # a camera is read in a thread of its own
        self.lines = 0
        self.opened = False
        head = [TITLE, f"driver {driver}", f"url {url}", *(f"option {key}={value}" for key, value in options.items())]
        file.write("\n".join(head) + "\n")

    def note(self, call: str, answer: str = "", error: str = "") -> None:
        """Write one line."""
        with self._lock:
            self._file.write(f"{Line(self._clock() - self._start, call, answer, error)}\n")
            self.lines += 1

    def connect(self, url: Url | AnyUsbUrl, *interface: WantedInterface) -> Any:  # noqa: ANN401 - a Transport or a UsbLink, see below
        """Open the device and listen to it: what a driver takes as `connect`."""
        if isinstance(url, SerialUrl | SocketUrl):
            return self.transport(self._opened(lambda: open_transport(url)))
        return self.link(self._opened(lambda: open_link(url, *interface)))

    def _opened(self, open_end: Callable[[], End]) -> End:
        try:
            end = open_end()
        except LinkLost:
            self.note("open", error="LinkLost")
            raise
        self.opened = True
        self.note("open")
        return end

    def call(self, call: str, work: Callable[[], Answer]) -> Answer:
        """Do it and write what came of it."""
        try:
            answer = work()
        except tuple(ERRORS.values()) as error:
            self.note(call, error=next(name for name, kind in ERRORS.items() if isinstance(error, kind)))
            raise
        self.note(call, "-" if answer is None else answer.hex())
        return answer

    def do(self, call: str, work: Callable[[], None]) -> None:
        """The same for what answers nothing."""

        def silently() -> bytes:
            work()
            return b""

        self.call(call, silently)

    def transport(self, inner: Transport) -> "RecordedTransport":
        """A transport that is listened to."""
        return RecordedTransport(inner, self)

    def link(self, inner: UsbLink) -> "RecordedLink":
        """A USB link that is listened to."""
        identity = " ".join(f"{name}={quote(str(value))}" for name, value in asdict(inner.identity).items())
        self.note(f"identity {identity}")
        self.note("configuration", inner.configuration.hex())
        return RecordedLink(inner, self)


@dataclass(frozen=True, slots=True)
class RecordedTransport:
    """A Transport whose traffic is written down."""

    inner: Transport
    to: Recorder

    def read(self, timeout: float) -> bytes:
        """As the inner one."""
        return self.to.call("read", lambda: self.inner.read(timeout))

    def write(self, data: bytes) -> None:
        """As the inner one."""
        self.to.do(f"write {data.hex()}", lambda: self.inner.write(data))

    def cancel(self) -> None:
        """As the inner one."""
        self.inner.cancel()

    def close(self) -> None:
        """As the inner one."""
        self.inner.close()


@dataclass(frozen=True, slots=True)
class _RecordedRead:
    inner: PendingRead
    to: Recorder
    endpoint: int

    def result(self, timeout: float) -> bytes:
        return self.to.call(f"result {self.endpoint:02x}", lambda: self.inner.result(timeout))

    def abandon(self) -> None:
        self.inner.abandon()


@dataclass(frozen=True, slots=True)
class _RecordedInbox:
    inner: Inbox
    to: Recorder
    endpoint: int

    def next(self, timeout: float) -> bytes | None:
        return self.to.call(f"next {self.endpoint:02x}", lambda: self.inner.next(timeout))

    def close(self) -> None:
        self.inner.close()


class RecordedLink:
    """A UsbLink whose traffic is written down."""

    def __init__(self, inner: UsbLink, to: Recorder) -> None:
        self.identity = inner.identity
        self.configuration = inner.configuration
        self._inner = inner
        self._to = to

    def now(self) -> float:
        """As the inner one."""
        return self._inner.now()

    def pause(self, seconds: float) -> None:
        """As the inner one."""
        self._inner.pause(seconds)

    def control_in(
        self, request_type: int, request: int, value: int, index: int, length: int, timeout: float = CONTROL_TIMEOUT_S
    ) -> bytes:
        """As the inner one."""
        call = control_in_call(request_type, request, value, index, length)
        return self._to.call(call, lambda: self._inner.control_in(request_type, request, value, index, length, timeout))

    def control_out(
        self,
        request_type: int,
        request: int,
        value: int,
        index: int,
        data: bytes = b"",
        timeout: float = CONTROL_TIMEOUT_S,
    ) -> None:
        """As the inner one."""
        call = control_out_call(request_type, request, value, index, data)
        self._to.do(call, lambda: self._inner.control_out(request_type, request, value, index, data, timeout))

    def read(self, endpoint: int, size: int, timeout: float) -> bytes:
        """As the inner one."""
        return self._to.call(f"read {endpoint:02x} {size}", lambda: self._inner.read(endpoint, size, timeout))

    def write(self, endpoint: int, data: bytes, timeout: float) -> None:
        """As the inner one."""
        self._to.do(f"write {endpoint:02x} {data.hex()}", lambda: self._inner.write(endpoint, data, timeout))

    def begin_read(self, endpoint: int, size: int, timeout: float) -> PendingRead:
        """As the inner one."""
        self._to.note(f"begin_read {endpoint:02x} {size}")
        return _RecordedRead(self._inner.begin_read(endpoint, size, timeout), self._to, endpoint)

    def listen(self, endpoint: int, size: int) -> Inbox:
        """As the inner one."""
        self._to.note(f"listen {endpoint:02x} {size}")
        return _RecordedInbox(self._inner.listen(endpoint, size), self._to, endpoint)

    def claim(self, interface: int) -> None:
        """As the inner one."""
        self._to.do(f"claim {interface}", lambda: self._inner.claim(interface))

    def clear_halt(self, endpoint: int) -> None:
        """As the inner one."""
        self._to.do(f"clear_halt {endpoint:02x}", lambda: self._inner.clear_halt(endpoint))

    def cancel(self) -> None:
        """As the inner one."""
        self._inner.cancel()

    def close(self) -> None:
        """As the inner one."""
        self._inner.close()
