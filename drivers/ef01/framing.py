"""EF01 packets: takes received bytes in pieces of any size and returns whole packets. Uses no port.

offset  size  field (multi-byte fields are big endian)
0       2     header EF 01
2       4     module address, FFFFFFFF unless it was changed
6       1     kind: 01 command, 02 data (more follows), 07 acknowledge, 08 last data
7       2     length of what follows: payload and checksum
9       n     payload
9 + n   2     checksum: sum of the bytes from `kind` to the end of the payload, mod 65536
"""

from dataclasses import dataclass
from enum import IntEnum

HEADER = b"\xef\x01"
DEFAULT_ADDRESS = 0xFFFFFFFF
OVERHEAD = 11  # bytes of a packet that are not payload
MAX_PAYLOAD = 256  # bytes; the largest packet size that a module can be set to
MAX_FRAME = MAX_PAYLOAD + OVERHEAD

_BODY_AT = 6  # the checksum starts here
_PAYLOAD_AT = 9
_CHECKSUM_SIZE = 2


class PacketKind(IntEnum):
    """The packet id byte."""

    COMMAND = 0x01
    DATA = 0x02
    ACKNOWLEDGE = 0x07
    LAST_DATA = 0x08


_KINDS = {int(kind): kind for kind in PacketKind}


def checksum(body: bytes | bytearray) -> int:
    """Sum of kind, length and payload, mod 65536."""
    return sum(body) & 0xFFFF


@dataclass(frozen=True, slots=True, repr=False)
class Packet:
    """One packet. The repr does not show the payload, which may be a fingerprint."""

    kind: PacketKind
    payload: bytes
    address: int = DEFAULT_ADDRESS

    def __repr__(self) -> str:
        """Kind and size."""
        return f"<Packet {self.kind.name} {len(self.payload)} bytes from {self.address:08X}>"

    def to_bytes(self) -> bytes:
        """Encodes the packet. ValueError if the payload is longer than MAX_PAYLOAD."""
        if len(self.payload) > MAX_PAYLOAD:
            raise ValueError(f"a payload has at most {MAX_PAYLOAD} bytes, not {len(self.payload)}")
        length = len(self.payload) + _CHECKSUM_SIZE
        body = bytes([self.kind]) + length.to_bytes(2, "big") + self.payload
        return HEADER + self.address.to_bytes(4, "big") + body + checksum(body).to_bytes(2, "big")

    @classmethod
    def from_bytes(cls, frame: bytes) -> "Packet":
        """Decodes `frame`, which must be exactly one packet. ValueError says what is wrong."""
        found = _parse(frame, 0, len(frame)) if frame.startswith(HEADER) else Damaged("no header")
        if isinstance(found, Packet) and len(found.payload) + OVERHEAD == len(frame):
            return found
        raise ValueError(f"not one packet: {found.why if isinstance(found, Damaged) else 'wrong length'}")


@dataclass(frozen=True, slots=True)
class Damaged:
    """A packet with our address that is not whole: bytes were lost or changed."""

    why: str


@dataclass(frozen=True, slots=True)
class Foreign:
    """A whole packet from a module with another address."""

    address: int


Frame = Packet | Damaged | Foreign


class Unframer:
    """Collects bytes until packets of one address are whole.

    Bytes between packets (noise, the 0x55 of a module at power-on) are skipped. After a damaged packet, the search
    continues one byte after its start, so that a packet after lost bytes is found. A packet that is cut short hides the
    good packet after it until more bytes come: call reset() when a read times out.
    """

    def __init__(self, address: int = DEFAULT_ADDRESS) -> None:
        self._marker = HEADER + address.to_bytes(4, "big")
        self._buffer = bytearray()

    @property
    def pending(self) -> int:
        """Number of bytes kept for a packet that is not whole yet; always less than MAX_FRAME."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Frame]:
        """Adds received bytes; returns the packets that are now whole, in order."""
        self._buffer += data
        return self._scan(final=False)

    def reset(self) -> list[Frame]:
        """Drops the packet that is not whole; returns the packets that it hid. Nothing is kept."""
        frames = self._scan(final=True)
        self._buffer.clear()
        return frames

    def _scan(self, *, final: bool) -> list[Frame]:
        buffer, frames, at = self._buffer, list[Frame](), 0
        while (own := buffer.find(self._marker, at)) >= 0:
            self._foreign(frames, at, own)
            found = _parse(buffer, own, len(buffer))
            if found is None and not final:
                del buffer[:own]
                return frames
            frames.append(found or Damaged("cut short"))
            at = own + (OVERHEAD + len(found.payload) if isinstance(found, Packet) else 1)
        at = self._foreign(frames, at, len(buffer))
        del buffer[: max(at, len(buffer) - MAX_FRAME + 1)]
        return frames

    def _foreign(self, frames: list[Frame], at: int, stop: int) -> int:
        """Reports whole packets of other modules in buffer[at:stop]; returns the offset after the last one."""
        start = at
        while (start := self._buffer.find(HEADER, start, stop)) >= 0:
            found = _parse(self._buffer, start, stop)
            if isinstance(found, Packet):
                frames.append(Foreign(found.address))
                at = start = start + OVERHEAD + len(found.payload)
            else:
                start += 1
        return at


def _parse(buffer: bytes | bytearray, start: int, stop: int) -> Packet | Damaged | None:
    """Parses the packet whose header is at `start`, using only bytes before `stop`. None if more bytes are needed."""
    payload_at = start + _PAYLOAD_AT
    if stop < payload_at:
        return None
    length = buffer[payload_at - 2] << 8 | buffer[payload_at - 1]
    if not _CHECKSUM_SIZE <= length <= MAX_PAYLOAD + _CHECKSUM_SIZE:
        return Damaged("impossible length")
    checksum_at = payload_at + length - _CHECKSUM_SIZE
    if stop < checksum_at + _CHECKSUM_SIZE:
        return None
    if checksum(buffer[start + _BODY_AT : checksum_at]) != buffer[checksum_at] << 8 | buffer[checksum_at + 1]:
        return Damaged("wrong checksum")
    kind = _KINDS.get(buffer[start + _BODY_AT])
    if kind is None:
        return Damaged("unknown kind")
    address = int.from_bytes(buffer[start + 2 : start + _BODY_AT], "big")
    return Packet(kind, bytes(buffer[payload_at:checksum_at]), address)
