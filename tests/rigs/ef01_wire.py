"""A scripted EF01 module on a scripted clock, for tests of the driver that must not wait.

Written from facts/serial-fingerprint.md part A; frames are put together here and not by drivers.ef01.framing.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from drivers.ef01.driver import Ef01
from drivers.errors import Cancelled, CaptureRetry, Retry
from drivers.options import OptionValue
from drivers.transport import SerialUrl, Url

ADDRESS = 0xFFFFFFFF
ACK, DATA, LAST = 0x07, 0x02, 0x08
GET_IMAGE, UP_IMAGE, SET_SYS_PARA, READ_SYS_PARA, VFY_PWD = 0x01, 0x0A, 0x0E, 0x0F, 0x13

Burst = tuple[float, bytes]  # seconds after the previous burst, bytes


def frame(kind: int, payload: bytes, address: int = ADDRESS) -> bytes:
    body = bytes([kind]) + (len(payload) + 2).to_bytes(2, "big") + payload
    return b"\xef\x01" + address.to_bytes(4, "big") + body + (sum(body) & 0xFFFF).to_bytes(2, "big")


def acknowledge(code: int, payload: bytes = b"") -> bytes:
    return frame(ACK, bytes([code]) + payload)


def system_parameters(packet_code: int = 2, baud_code: int = 6) -> bytes:
    fields = [(0, 2), (9, 2), (200, 2), (3, 2), (ADDRESS, 4), (packet_code, 2), (baud_code, 2)]
    return acknowledge(0, b"".join(value.to_bytes(size, "big") for value, size in fields))


def image_packets(payload: bytes, packet_size: int = 128) -> list[bytes]:
    parts = [payload[at : at + packet_size] for at in range(0, len(payload), packet_size)]
    return [frame(DATA if at < len(parts) - 1 else LAST, part) for at, part in enumerate(parts)]


@dataclass
class FakeClock:
    """A clock that advances only while the driver waits."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Wire:
    """A module and its serial line. `script[code]` holds the next answers, instead of the default ones."""

    clock: FakeClock = field(default_factory=FakeClock)
    rate: int = 57_600  # the baud rate of the module
    finger: bool = True
    image: bytes = bytes(36_864)
    parameters: bytes = field(default_factory=system_parameters)
    script: dict[int, deque[list[Burst]]] = field(default_factory=dict)
    sent: list[bytes] = field(default_factory=list)  # payloads of the received commands, in order
    wire_bytes: list[bytes] = field(default_factory=list)
    after_read: Callable[[], None] = lambda: None
    opened: list[int] = field(default_factory=list)  # the rates of the host, in order
    connects: int = 0  # how often the port was opened
    _inbox: deque[Burst] = field(default_factory=deque)
    _cancelled: bool = False
    _host_rate: int = 0

    def connect(self, url: Url) -> "Wire":
        self.connects += 1
        self.set_baud(url.baud if isinstance(url, SerialUrl) else self.rate)
        return self

    def set_baud(self, baud: int) -> None:
        self._host_rate = baud
        self.opened.append(baud)
        self._inbox.clear()

    def will_answer(self, code: int, *answers: list[Burst] | bytes) -> None:
        """The next answers to commands of this code: bytes that arrive immediately, or bursts."""
        queue = self.script.setdefault(code, deque())
        queue.extend([(0.0, answer)] if isinstance(answer, bytes) else answer for answer in answers)

    def commands(self) -> list[int]:
        return [payload[0] for payload in self.sent]

    # The driver's side

    def write(self, data: bytes) -> None:
        self._raise_cancelled()
        self.wire_bytes.append(data)
        if self._host_rate != self.rate:
            return
        payload = data[9:-2]
        self.sent.append(payload)
        queue = self.script.get(payload[0])
        due = max(self.clock.now, self._inbox[-1][0] if self._inbox else 0.0)
        for delay, burst in queue.popleft() if queue else self._default(payload):
            due += delay
            self._inbox.append((due, burst))

    def read(self, timeout: float) -> bytes:
        self.after_read()
        self._raise_cancelled()
        until = self.clock.now + timeout
        if not self._inbox or self._inbox[0][0] > until:
            self.clock.now = until
            return b""
        due, data = self._inbox.popleft()
        self.clock.now = max(self.clock.now, due)
        return data

    def cancel(self) -> None:
        self._cancelled = True

    def close(self) -> None:
        self._cancelled = False
        self._inbox.clear()

    def _raise_cancelled(self) -> None:
        if self._cancelled:
            self._cancelled = False
            raise Cancelled

    # The module's side

    def _default(self, payload: bytes) -> list[Burst]:
        match payload[0]:
            case 0x01:
                return [(0.0, acknowledge(0x00 if self.finger else 0x02))]
            case 0x0A:
                return self.upload(image_packets(self.image))
            case 0x0F:
                return [(0.0, self.parameters)]
            case _:
                return [(0.0, acknowledge(0x00))]

    def upload(self, packets: list[bytes]) -> list[Burst]:
        return [(0.0, acknowledge(0x00)), *((0.001, packet) for packet in packets)]


URL = "serial:/dev/ttyFP0?baud=57600"


SILENCE: list[Burst] = []


R307 = bytes(i * 7 & 0xFF for i in range(36_864))


R503 = bytes(i * 5 & 0xFF for i in range(18_432))


def sensor_on(wire: Wire, url: str = URL, **options: OptionValue) -> Ef01:
    return Ef01(url, options, clock=wire.clock, connect=wire.connect)


def opened(wire: Wire, **options: OptionValue) -> Ef01:
    sensor = Ef01(URL, options, clock=wire.clock, connect=wire.connect)
    sensor.open()
    return sensor


def retry_of(sensor: Ef01, timeout: float = 1.0) -> Retry:
    with pytest.raises(CaptureRetry) as caught:
        sensor.capture(timeout)
    return caught.value.reason


def lift_and_press(wire: Wire, sensor: Ef01) -> None:
    wire.finger = False
    assert retry_of(sensor, 0) is Retry.NOTHING_PRESENTED
    wire.finger = True
