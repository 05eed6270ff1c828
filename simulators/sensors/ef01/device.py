"""The device side of the EF01 fingerprint family: receives packets, sends packets, applies faults.

    bytes -> PacketReader -> execute (simulators.sensors.ef01.commands) -> frames -> faults of the line -> Bursts

It opens no port and starts no thread: simulators.transports.serial.pseudo_terminal serves a module to a host.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random

from simulators.sensors.common.serial_module import SerialModule, lacks
from simulators.sensors.ef01.commands import (
    COMMANDS,
    IMAGE_BUFFER,
    OK,
    PACKET_SIZES,
    RECEIVE_ERROR,
    TEMPLATE_BYTES,
    WRONG_ADDRESS,
    Ef01Settings,
    Reply,
    State,
    execute,
)
from simulators.transports.faults import CORRUPTIONS, Corruption, Faults, Params
from simulators.transports.serial.uart import LINE_FAULTS, Burst, faulty_bursts

__all__ = ["EF01_FAULTS", "Counters", "Ef01Module", "Ef01Settings", "frame"]

HEADER = b"\xef\x01"
COMMAND, DATA, ACKNOWLEDGE, LAST_DATA = 0x01, 0x02, 0x07, 0x08
HEAD = 9  # header, address, packet id, length
MAX_LENGTH = max(PACKET_SIZES) + 2  # a packet with a longer length field is invalid
PACKET_TIMEOUT_S = 0.5  # an incomplete packet is discarded after this


def frame(address: int, packet_id: int, payload: bytes) -> bytes:
    """One packet: header, address, id, length, payload, checksum from the id to the end of the payload."""
    body = bytes([packet_id]) + (len(payload) + 2).to_bytes(2) + payload
    return HEADER + address.to_bytes(4) + body + (sum(body) & 0xFFFF).to_bytes(2)


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet that the host sent."""

    address: int
    packet_id: int
    payload: bytes
    checksum_ok: bool


class PacketReader:
    """Reads packets from the bytes of the host, which may arrive in any pieces. Skips invalid bytes."""

    def __init__(self) -> None:
        self._buffer = b""
        self._fed_at = 0.0

    def feed(self, data: bytes, now: float) -> Iterator[Packet]:
        """The packets that `data` completes."""
        if now - self._fed_at > PACKET_TIMEOUT_S:
            self._buffer = b""
        self._buffer, self._fed_at = self._buffer + data, now
        while (packet := self._next()) is not None:
            yield packet

    def _next(self) -> Packet | None:
        while True:
            start = self._buffer.find(HEADER)
            if start < 0:
                self._buffer = self._buffer[-1:] if self._buffer.endswith(HEADER[:1]) else b""
                return None
            self._buffer = self._buffer[start:]
            if len(self._buffer) < HEAD:
                return None
            length = int.from_bytes(self._buffer[7:HEAD])
            if 3 <= length <= MAX_LENGTH:
                return self._cut(HEAD + length)
            self._buffer = self._buffer[2:]

    def _cut(self, end: int) -> Packet | None:
        if len(self._buffer) < end:
            return None
        raw, self._buffer = self._buffer[:end], self._buffer[end:]
        checksum_ok = sum(raw[6:-2]) & 0xFFFF == int.from_bytes(raw[-2:])
        return Packet(int.from_bytes(raw[2:6]), raw[6], raw[HEAD:-2], checksum_ok)


@dataclass(slots=True)
class Counters:
    """Counts of a module since it was created."""

    commands: Counter[str] = field(default_factory=Counter)  # by name; unknown commands as "0xNN"
    images_taken: int = 0
    images_sent: int = 0
    images_received: int = 0


@dataclass(slots=True)
class _Upload:
    """The data packets received so far for DownImage or DownChar."""

    buffer: int
    data: bytearray = field(default_factory=bytearray)
    checksum_ok: bool = True


class Ef01Module(SerialModule):
    """One fingerprint module. Any thread may press, lift and inject; one thread passes it the bytes of the host."""

    def __init__(self, settings: Ef01Settings, seed: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(settings.width, settings.height, Faults(seed, EF01_FAULTS), clock)
        self.settings = settings
        self._state = State.new(settings, self.faults, self._touch)
        self._counters = Counters()
        self._packets = PacketReader()
        self._upload: _Upload | None = None
        self._ready_at = 0.0
        self._state.power_on()

    @property
    def baud(self) -> int:
        """The current baud rate."""
        return self._state.baud

    @property
    def packet_size(self) -> int:
        """The current payload size of a data packet, bytes."""
        return PACKET_SIZES[self._state.packet_code]

    @property
    def image_buffer(self) -> bytes | None:
        """The packed image in the image buffer, for tests of DownImage."""
        return self._state.image

    def template_buffer(self, number: int) -> bytes | None:
        """The template in buffer 1 or 2, for tests of DownChar."""
        return self._state.templates.get(number)

    def counters(self) -> Counters:
        """A copy of the counters."""
        with self._lock:
            seen = self._counters
            return Counters(seen.commands.copy(), seen.images_taken, seen.images_sent, seen.images_received)

    # The serial line

    def power_on(self, now: float) -> list[Burst]:
        """Reset; the module accepts commands once it has booted."""
        with self._lock:
            self._state.power_on()
            self._packets, self._upload = PacketReader(), None
            self._ready_at = now + self.settings.boot_s
            return [Burst(self._ready_at, b"\x55", self.baud)] if self.settings.hello else []

    def receive(self, data: bytes, now: float | None = None) -> list[Burst]:
        """Process the bytes of the host, in any pieces; return what the module sends and when."""
        now = self._clock() if now is None else now
        with self._lock:
            if now < self._ready_at:
                return []
            return [burst for packet in self._packets.feed(data, now) for burst in self._answer(packet, now)]

    def unsolicited(self, _now: float) -> list[Burst]:
        """Nothing: modules of this family only answer commands."""
        return []

    def next_send_at(self) -> float | None:
        """None: the module sends nothing without a command."""
        return None

    def _answer(self, packet: Packet, now: float) -> list[Burst]:
        if packet.packet_id in (DATA, LAST_DATA):
            self._collect(packet)
            return []
        if packet.packet_id != COMMAND or self.faults.occurs("silent") or self._ignores(packet):
            return []
        baud = self._state.baud  # the acknowledge is still sent at the old rate
        reply = self._execute(packet, now)
        self._upload = None if reply.receive_into is None else _Upload(reply.receive_into)
        return self._send(reply, now, baud)

    def _ignores(self, packet: Packet) -> bool:
        params, command = self.faults.peek("ignores"), COMMANDS.get(packet.payload[0])
        return params is not None and lacks(params, packet.payload[0], optional=command is None or command.optional)

    def _execute(self, packet: Packet, now: float) -> Reply:
        code = packet.payload[0]
        command = COMMANDS.get(code)
        name = f"0x{code:02X}" if command is None else command.name
        self._counters.commands[name] += 1
        if packet.address != self._state.address:
            return Reply(WRONG_ADDRESS)
        if not packet.checksum_ok or self.faults.occurs("receive_error"):
            return Reply(RECEIVE_ERROR)
        reply = execute(self._state, packet.payload, now)
        self._counters.images_taken += name.startswith("GetImage") and reply.code == OK
        self._counters.images_sent += name == "UpImage" and reply.code == OK
        return reply

    def _collect(self, packet: Packet) -> None:
        """Store one data packet of the host. It is not acknowledged: a damaged transfer leaves the buffer empty."""
        upload = self._upload
        if upload is None or packet.address != self._state.address:
            return
        upload.data += packet.payload
        upload.checksum_ok &= packet.checksum_ok
        if packet.packet_id == LAST_DATA:
            self._upload = None
            self._store(upload)

    def _store(self, upload: _Upload) -> None:
        data = bytes(upload.data) if upload.checksum_ok else b""
        if upload.buffer == IMAGE_BUFFER:
            complete = len(data) == self.settings.image_bytes
            self._state.image = data if complete else None
            self._counters.images_received += complete
            return
        self._state.templates.pop(upload.buffer, None)
        if 0 < len(data) <= 2 * TEMPLATE_BYTES:
            self._state.templates[upload.buffer] = data

    def _send(self, reply: Reply, now: float, baud: int) -> list[Burst]:
        address = self._state.address
        answer = [frame(address, ACKNOWLEDGE, bytes([reply.code]) + reply.payload)]
        bursts = faulty_bursts(answer, "answer", self.faults, EF01_CORRUPTIONS, now, baud, HEAD)
        if reply.data is not None:
            frames = list(_data_frames(address, reply.data, self.packet_size))
            bursts += faulty_bursts(
                frames, "data", self.faults, EF01_CORRUPTIONS, bursts[-1].at if bursts else now, baud, HEAD
            )
        return bursts


def _data_frames(address: int, data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        last = start + size >= len(data)
        yield frame(address, LAST_DATA if last else DATA, data[start : start + size])


def _wrong_checksum(raw: bytes, _head: int, _rng: Random, _params: Params) -> bytes:
    return raw[:-2] + (int.from_bytes(raw[-2:]) ^ 1).to_bytes(2)


def _wrong_address(raw: bytes, _head: int, _rng: Random, params: Params) -> bytes:
    return raw[:2] + int(params["address"]).to_bytes(4) + raw[6:]


EF01_CORRUPTIONS: Mapping[str, Corruption] = {
    **CORRUPTIONS,
    "checksum": _wrong_checksum,
    "wrong_address": _wrong_address,
}

# The rows of FAULTS that this device supports. `unplug` is not among them: the cable has that one.
EF01_FAULTS = (
    *EF01_CORRUPTIONS, "late", "short", "long", "silent", "receive_error", "capture_fail", "messy", "no_upload",
    "stuck", "sunlight", "baud_deferred", "refuses", "ignores", *LINE_FAULTS,
)  # fmt: skip
