"""The device side of the EF01 fingerprint family: packets in, packets out, faults on the way.

    bytes of any split -> Packets -> obey (simulators.sensors.ef01.commands) -> frames -> faults of the wire -> Bursts

No ports, no threads: simulators.transports.serial.pseudo_terminal serves a module to a host.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random

from simulators.sensors.ef01.commands import (
    COMMANDS,
    IMAGE_BUFFER,
    OK,
    PACKET_SIZES,
    RECEIVE_ERROR,
    TEMPLATE_BYTES,
    WRONG_ADDRESS,
    Ef01Settings,
    Image,
    Reply,
    State,
    obey,
)
from simulators.transports.faults import SPOILS, Faults, Params, Spoil, Value
from simulators.transports.serial.uart import Burst, struck

__all__ = ["EF01_FAULTS", "Counters", "Ef01Module", "Ef01Settings", "frame"]

HEADER = b"\xef\x01"
COMMAND, DATA, ACKNOWLEDGE, LAST_DATA = 0x01, 0x02, 0x07, 0x08
HEAD = 9  # header, address, packet id, length
LONGEST = max(PACKET_SIZES) + 2  # a length above this is no packet of ours
PATIENCE_S = 0.5  # a packet that stops half-way is forgotten after this


def frame(address: int, packet_id: int, payload: bytes) -> bytes:
    """One packet: header, address, id, length, payload, checksum from the id to the end of the payload."""
    body = bytes([packet_id]) + (len(payload) + 2).to_bytes(2) + payload
    return HEADER + address.to_bytes(4) + body + (sum(body) & 0xFFFF).to_bytes(2)


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet that the host sent; `sound` is whether its checksum holds."""

    address: int
    packet_id: int
    payload: bytes
    sound: bool


class Packets:
    """Bytes of any split -> packets. What is no packet is skipped up to the next header."""

    def __init__(self) -> None:
        self._buffer = b""
        self._fed_at = 0.0

    def feed(self, data: bytes, now: float) -> Iterator[Packet]:
        """The packets that `data` completes."""
        if now - self._fed_at > PATIENCE_S:
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
            if 3 <= length <= LONGEST:
                return self._cut(HEAD + length)
            self._buffer = self._buffer[2:]

    def _cut(self, end: int) -> Packet | None:
        if len(self._buffer) < end:
            return None
        raw, self._buffer = self._buffer[:end], self._buffer[end:]
        sound = sum(raw[6:-2]) & 0xFFFF == int.from_bytes(raw[-2:])
        return Packet(int.from_bytes(raw[2:6]), raw[6], raw[HEAD:-2], sound)


@dataclass(slots=True)
class Counters:
    """What a module has seen and done since it was made."""

    commands: Counter[str] = field(default_factory=Counter)  # by name; unknown ones by "0xNN"
    images_taken: int = 0
    images_sent: int = 0
    images_received: int = 0


@dataclass(slots=True)
class _Incoming:
    """The data packets of DownImage or DownChar, so far."""

    buffer: int
    data: bytearray = field(default_factory=bytearray)
    sound: bool = True


class Ef01Module:
    """One fingerprint module. Any thread may press, lift and inject; one thread gives it the bytes of the host."""

    def __init__(self, settings: Ef01Settings, seed: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self.settings = settings
        self.faults = Faults(seed, EF01_FAULTS)
        self._clock = clock
        self._lock = threading.RLock()
        self._state = State.new(settings, self.faults)
        self._counters = Counters()
        self._packets = Packets()
        self._incoming: _Incoming | None = None
        self._ready_at = 0.0
        self._state.power_on()

    # The finger and the faults

    def press(self, image: Image) -> None:
        """Lay a finger on the sensor: u8[height, width] as the sensor would see it, ridges dark."""
        shape = (self.settings.height, self.settings.width)
        if image.shape != shape or image.dtype != "uint8":
            raise ValueError(f"this sensor needs u8{list(shape)}, not {image.dtype}{list(image.shape)}")
        with self._lock:
            if self._state.finger is None:
                self._state.pressed_at = self._clock()
            self._state.finger, self._state.lift_asked = image.copy(), False

    def lift(self) -> None:
        """Take the finger away; the fault `stuck` keeps it there."""
        with self._lock:
            self._state.lift_asked = self.faults.strikes("stuck")
            if not self._state.lift_asked:
                self._state.finger = None

    def inject(self, name: str, *, times: int | None = None, **params: Value) -> None:
        """Let a fault of simulators.transports.faults wait in this module. ValueError names what there is."""
        self.faults.inject(name, times=times, **params)

    def clear_faults(self) -> None:
        """Forget every waiting fault; a finger that was stuck leaves."""
        self.faults.clear()
        with self._lock:
            if self._state.lift_asked:
                self.lift()

    @property
    def finger_on(self) -> bool:
        """Whether the sensor feels a finger."""
        return self._state.finger is not None

    @property
    def baud(self) -> int:
        """The rate in force."""
        return self._state.baud

    @property
    def packet_size(self) -> int:
        """Payload bytes of a data packet now."""
        return PACKET_SIZES[self._state.packet_code]

    @property
    def image_buffer(self) -> bytes | None:
        """The packed image in the module's buffer, for tests of DownImage."""
        return self._state.image

    def template_buffer(self, number: int) -> bytes | None:
        """The template in buffer 1 or 2, for tests of DownChar."""
        return self._state.templates.get(number)

    def counters(self) -> Counters:
        """A copy of the counters."""
        with self._lock:
            seen = self._counters
            return Counters(seen.commands.copy(), seen.images_taken, seen.images_sent, seen.images_received)

    # The wire

    def power_on(self, now: float) -> list[Burst]:
        """Start afresh; commands are heard once the module has booted."""
        with self._lock:
            self._state.power_on()
            self._packets, self._incoming = Packets(), None
            self._ready_at = now + self.settings.boot_s
            return [Burst(self._ready_at, b"\x55", self.baud)] if self.settings.hello else []

    def receive(self, data: bytes, now: float | None = None) -> list[Burst]:
        """Take what the host sent, in any split; return what the module sends and when."""
        now = self._clock() if now is None else now
        with self._lock:
            if now < self._ready_at:
                return []
            return [burst for packet in self._packets.feed(data, now) for burst in self._answer(packet, now)]

    def unasked(self, _now: float) -> list[Burst]:
        """Nothing: a module of this family only answers."""
        return []

    def speaks_at(self) -> float | None:
        """Never by itself."""
        return None

    def _answer(self, packet: Packet, now: float) -> list[Burst]:
        if packet.packet_id in (DATA, LAST_DATA):
            self._collect(packet)
            return []
        if packet.packet_id != COMMAND or self.faults.strikes("silent"):
            return []
        baud = self._state.baud  # a new rate holds after the acknowledge
        reply = self._obey(packet, now)
        self._incoming = None if reply.receive_into is None else _Incoming(reply.receive_into)
        return self._send(reply, now, baud)

    def _obey(self, packet: Packet, now: float) -> Reply:
        code = packet.payload[0]
        command = COMMANDS.get(code)
        name = f"0x{code:02X}" if command is None else command.name
        self._counters.commands[name] += 1
        if packet.address != self._state.address:
            return Reply(WRONG_ADDRESS)
        if not packet.sound or self.faults.strikes("receive_error"):
            return Reply(RECEIVE_ERROR)
        reply = obey(self._state, packet.payload, now)
        self._counters.images_taken += name.startswith("GetImage") and reply.code == OK
        self._counters.images_sent += name == "UpImage" and reply.code == OK
        return reply

    def _collect(self, packet: Packet) -> None:
        """One data packet of the host. There is no acknowledge: a damaged transfer leaves the buffer empty."""
        incoming = self._incoming
        if incoming is None or packet.address != self._state.address:
            return
        incoming.data += packet.payload
        incoming.sound &= packet.sound
        if packet.packet_id == LAST_DATA:
            self._incoming = None
            self._store(incoming)

    def _store(self, incoming: _Incoming) -> None:
        data = bytes(incoming.data) if incoming.sound else b""
        if incoming.buffer == IMAGE_BUFFER:
            good = len(data) == self.settings.image_bytes
            self._state.image = data if good else None
            self._counters.images_received += good
            return
        self._state.templates.pop(incoming.buffer, None)
        if 0 < len(data) <= 2 * TEMPLATE_BYTES:
            self._state.templates[incoming.buffer] = data

    def _send(self, reply: Reply, now: float, baud: int) -> list[Burst]:
        address = self._state.address
        answer = [frame(address, ACKNOWLEDGE, bytes([reply.code]) + reply.payload)]
        bursts = struck(answer, "answer", self.faults, EF01_SPOILS, now, baud, HEAD)
        if reply.data is not None:
            frames = list(_data_frames(address, reply.data, self.packet_size))
            bursts += struck(frames, "data", self.faults, EF01_SPOILS, bursts[-1].at if bursts else now, baud, HEAD)
        return bursts


def _data_frames(address: int, data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        last = start + size >= len(data)
        yield frame(address, LAST_DATA if last else DATA, data[start : start + size])


def _wrong_checksum(raw: bytes, _head: int, _rng: Random, _params: Params) -> bytes:
    return raw[:-2] + (int.from_bytes(raw[-2:]) ^ 1).to_bytes(2)


def _wrong_address(raw: bytes, _head: int, _rng: Random, params: Params) -> bytes:
    return raw[:2] + int(params["address"]).to_bytes(4) + raw[6:]


EF01_SPOILS: Mapping[str, Spoil] = {**SPOILS, "checksum": _wrong_checksum, "wrong_address": _wrong_address}

# The rows of FAULTS that this device can carry out; `unplug` is of the plug.
EF01_FAULTS = (
    *EF01_SPOILS, "late", "short", "long", "silent", "receive_error", "capture_fail", "messy", "no_upload", "stuck",
    "baud_deferred",
)  # fmt: skip
