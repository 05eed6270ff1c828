"""Records the traffic of one sensor as text. drivers/recordings/playback.py plays it back to the same driver in a test.

A recording contains what the sensor sent, including the fingerprint or eye: keep and delete it like a sample.

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

Each line is one call of the driver: the seconds since the start, the call with its arguments, and after `=` the answer,
or after `!` the error.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TextIO, TypeVar
from urllib.parse import quote

from drivers.errors import Cancelled, LinkLost, ProtocolError, Stalled, TransferTimeout
from drivers.transport import AdjustableRate, SerialUrl, SocketUrl, Transport, Url, open_transport
from drivers.usb.configuration import WantedInterface
from drivers.usb.connect import open_link
from drivers.usb.link import CONTROL_TIMEOUT_S, Inbox, PendingRead, UsbLink
from drivers.usb.url import AnyUsbUrl

TITLE = "# kiosk-agent recording 1"
ERRORS = {error.__name__: error for error in (TransferTimeout, Stalled, Cancelled, LinkLost, ProtocolError)}

Answer = TypeVar("Answer", bound=bytes | None)
Opened = TypeVar("Opened")


@dataclass(frozen=True, slots=True)
class Line:
    """One call: its time, the call with its arguments, and its answer (hexadecimal; `-` for None) or its error."""

    at: float
    call: str
    answer: str = field(default="", repr=False)
    error: str = ""

    def __str__(self) -> str:
        """The line as it is written in the file."""
        end = f"! {self.error}" if self.error else f"= {self.answer}"
        return f"{self.at:.6f} {self.call} {end}".rstrip()

    @classmethod
    def parse(cls, text: str) -> "Line":
        """Parses a line. ValueError if it is not a line of a recording."""
        head, bang, error = text.partition(" ! ")
        head, equals, answer = (head, "", "") if bang else text.partition(" =")
        at, _, call = head.partition(" ")
        if not (bang or equals) or not call:
            raise ValueError(f"not a line of a recording: {text[:40]!r}")
        return cls(float(at), call, answer.strip(), error)


def control_in_call(request_type: int, request: int, value: int, index: int, length: int) -> str:
    """The text of a control request that returns data."""
    return f"control_in {request_type:02x} {request:02x} {value:04x} {index:04x} {length}"


def control_out_call(request_type: int, request: int, value: int, index: int, data: bytes) -> str:
    """The text of a control request that sends data."""
    return f"control_out {request_type:02x} {request:02x} {value:04x} {index:04x} {data.hex()}".rstrip()


class Recorder:
    """Writes the traffic of the transports and links that it opens.

    `lines` is the number of lines so far; `opened` is True if a device could be opened.
    """

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
        self._lock = threading.Lock()  # a camera is read in a separate thread
        self.lines = 0
        self.opened = False
        head = [TITLE, f"driver {driver}", f"url {url}", *(f"option {key}={value}" for key, value in options.items())]
        file.write("\n".join(head) + "\n")

    def write_line(self, call: str, answer: str = "", error: str = "") -> None:
        """Writes one line."""
        with self._lock:
            self._file.write(f"{Line(self._clock() - self._start, call, answer, error)}\n")
            self.lines += 1

    def connect(self, url: Url | AnyUsbUrl, *interface: WantedInterface) -> Any:  # noqa: ANN401 - a Transport or a UsbLink
        """Opens the device and records its traffic. A driver takes this as `connect`."""
        if isinstance(url, SerialUrl | SocketUrl):
            return self.transport(self._opened(lambda: open_transport(url)))
        return self.link(self._opened(lambda: open_link(url, *interface)))

    def _opened(self, open_device: Callable[[], Opened]) -> Opened:
        try:
            opened = open_device()
        except LinkLost:
            self.write_line("open", error="LinkLost")
            raise
        self.opened = True
        self.write_line("open")
        return opened

    def record(self, call: str, work: Callable[[], Answer]) -> Answer:
        """Calls `work` and writes the result."""
        try:
            answer = work()
        except tuple(ERRORS.values()) as error:
            self.write_line(call, error=next(name for name, kind in ERRORS.items() if isinstance(error, kind)))
            raise
        self.write_line(call, "-" if answer is None else answer.hex())
        return answer

    def record_no_answer(self, call: str, work: Callable[[], None]) -> None:
        """Like record(), for calls that return nothing."""

        def no_answer() -> bytes:
            work()
            return b""

        self.record(call, no_answer)

    def transport(self, inner: Transport) -> "RecordedTransport":
        """Wraps a transport so that its traffic is recorded."""
        return RecordedTransport(inner, self)

    def link(self, inner: UsbLink) -> "RecordedLink":
        """Wraps a USB link so that its traffic is recorded."""
        identity = " ".join(f"{name}={quote(str(value))}" for name, value in asdict(inner.identity).items())
        self.write_line(f"identity {identity}")
        self.write_line("configuration", inner.configuration.hex())
        return RecordedLink(inner, self)


@dataclass(frozen=True, slots=True)
class RecordedTransport:
    """A Transport whose traffic is recorded."""

    inner: Transport
    recorder: Recorder

    def read(self, timeout: float) -> bytes:
        """Like the recorded one."""
        return self.recorder.record("read", lambda: self.inner.read(timeout))

    def write(self, data: bytes) -> None:
        """Like the recorded one."""
        self.recorder.record_no_answer(f"write {data.hex()}", lambda: self.inner.write(data))

    def set_baud(self, baud: int) -> None:
        """Like the recorded one. A driver changes the rate of a serial port only."""
        if isinstance(self.inner, AdjustableRate):
            inner = self.inner
            self.recorder.record_no_answer(f"baud {baud}", lambda: inner.set_baud(baud))

    def cancel(self) -> None:
        """Like the recorded one."""
        self.inner.cancel()

    def close(self) -> None:
        """Like the recorded one."""
        self.inner.close()


@dataclass(frozen=True, slots=True)
class _RecordedRead:
    inner: PendingRead
    recorder: Recorder
    endpoint: int

    def result(self, timeout: float) -> bytes:
        return self.recorder.record(f"result {self.endpoint:02x}", lambda: self.inner.result(timeout))

    def abandon(self) -> None:
        self.inner.abandon()


@dataclass(frozen=True, slots=True)
class _RecordedInbox:
    inner: Inbox
    recorder: Recorder
    endpoint: int

    def next(self, timeout: float) -> bytes | None:
        return self.recorder.record(f"next {self.endpoint:02x}", lambda: self.inner.next(timeout))

    def close(self) -> None:
        self.inner.close()


class RecordedLink:
    """A UsbLink whose traffic is recorded."""

    def __init__(self, inner: UsbLink, recorder: Recorder) -> None:
        self.identity = inner.identity
        self.configuration = inner.configuration
        self._inner = inner
        self._recorder = recorder

    def now(self) -> float:
        """Like the recorded one."""
        return self._inner.now()

    def pause(self, seconds: float) -> None:
        """Like the recorded one."""
        self._inner.pause(seconds)

    def control_in(
        self, request_type: int, request: int, value: int, index: int, length: int, timeout: float = CONTROL_TIMEOUT_S
    ) -> bytes:
        """Like the recorded one."""
        call = control_in_call(request_type, request, value, index, length)
        return self._recorder.record(
            call, lambda: self._inner.control_in(request_type, request, value, index, length, timeout)
        )

    def control_out(
        self,
        request_type: int,
        request: int,
        value: int,
        index: int,
        data: bytes = b"",
        timeout: float = CONTROL_TIMEOUT_S,
    ) -> None:
        """Like the recorded one."""
        call = control_out_call(request_type, request, value, index, data)
        self._recorder.record_no_answer(
            call, lambda: self._inner.control_out(request_type, request, value, index, data, timeout)
        )

    def read(self, endpoint: int, size: int, timeout: float) -> bytes:
        """Like the recorded one."""
        return self._recorder.record(f"read {endpoint:02x} {size}", lambda: self._inner.read(endpoint, size, timeout))

    def write(self, endpoint: int, data: bytes, timeout: float) -> None:
        """Like the recorded one."""
        self._recorder.record_no_answer(
            f"write {endpoint:02x} {data.hex()}", lambda: self._inner.write(endpoint, data, timeout)
        )

    def begin_read(self, endpoint: int, size: int, timeout: float) -> PendingRead:
        """Like the recorded one."""
        self._recorder.write_line(f"begin_read {endpoint:02x} {size}")
        return _RecordedRead(self._inner.begin_read(endpoint, size, timeout), self._recorder, endpoint)

    def listen(self, endpoint: int, size: int) -> Inbox:
        """Like the recorded one."""
        self._recorder.write_line(f"listen {endpoint:02x} {size}")
        return _RecordedInbox(self._inner.listen(endpoint, size), self._recorder, endpoint)

    def claim(self, interface: int) -> None:
        """Like the recorded one."""
        self._recorder.record_no_answer(f"claim {interface}", lambda: self._inner.claim(interface))

    def clear_halt(self, endpoint: int) -> None:
        """Like the recorded one."""
        self._recorder.record_no_answer(f"clear_halt {endpoint:02x}", lambda: self._inner.clear_halt(endpoint))

    def cancel(self) -> None:
        """Like the recorded one."""
        self._inner.cancel()

    def close(self) -> None:
        """Like the recorded one."""
        self._inner.close()
