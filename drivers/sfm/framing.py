"""SFM packets: takes received bytes in pieces of any size; returns whole packets and the raw bytes after them.

offset  size  field (multi-byte fields are little endian)
0       1     start: 40, or 41 on a network (RS-485), where two bytes with the terminal's number follow
1       1     command
2       4     param
6       4     size
10      1     flag (to the module) or result (from it)
11      1     checksum: sum of all bytes before it, mod 256
12      1     end: 0A
"""

import struct
from dataclasses import dataclass

END = 0x0A
BLOCK_SUM_SIZE = 4  # a data packet of the extended transfer ends with the plain sum of its body

_START, _NETWORK_START = 0x40, 0x41
_FIELDS = struct.Struct("<BIIB")
_TAIL_SIZE = 2  # checksum and end


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet. `terminal` is None if the line is not a network. It never contains pixels."""

    command: int
    param: int = 0
    size: int = 0
    flag: int = 0
    terminal: int | None = None

    def to_bytes(self) -> bytes:
        """The packet on the wire."""
        head = _marker(self.terminal) + _FIELDS.pack(self.command, self.param, self.size, self.flag)
        return head + bytes([sum(head) & 0xFF, END])

    @classmethod
    def from_bytes(cls, raw: bytes) -> "Packet":
        """Parses `raw`, which is one packet and nothing else. ValueError says what is wrong."""
        sizes = {_START: packet_size(None), _NETWORK_START: packet_size(0)}
        if not raw or len(raw) != sizes.get(raw[0]):
            raise ValueError("not one packet: wrong start or length")
        terminal = int.from_bytes(raw[1:3], "little") if raw[0] == _NETWORK_START else None
        found = _parse(raw, terminal)
        if found is None:
            raise ValueError("not one packet: wrong checksum or end")
        return found


def packet_size(terminal: int | None) -> int:
    """The size of a packet in bytes: 13, on a network 15."""
    return len(_marker(terminal)) + _FIELDS.size + _TAIL_SIZE


def _marker(terminal: int | None) -> bytes:
    return bytes([_START]) if terminal is None else bytes([_NETWORK_START]) + terminal.to_bytes(2, "little")


def _parse(raw: bytes | bytearray, terminal: int | None) -> Packet | None:
    """Parses a packet that fills `raw` and has a valid start. None if its checksum or its end is wrong."""
    if raw[-1] != END or sum(raw[:-_TAIL_SIZE]) & 0xFF != raw[-_TAIL_SIZE]:
        return None
    command, param, size, flag = _FIELDS.unpack(raw[-_TAIL_SIZE - _FIELDS.size : -_TAIL_SIZE])
    return Packet(command, param, size, flag, terminal)


class Unframer:
    """Collects bytes; returns packets of one terminal, and the raw bytes that a packet announced.

    Bytes that are not a packet are skipped. A truncated packet at the end of the buffer hides a packet inside it until
    more bytes come: call packet() with `final` if no more came for a while.
    """

    def __init__(self, terminal: int | None = None) -> None:
        self._terminal = terminal
        self._marker = _marker(terminal)
        self._size = packet_size(terminal)
        self._buffer = bytearray()
        self.skipped = 0  # bytes that were not part of a packet, since clear()

    @property
    def pending(self) -> int:
        """The number of bytes received and not yet returned."""
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Appends received bytes."""
        self._buffer += data

    def clear(self) -> None:
        """Discards all bytes."""
        self._buffer.clear()
        self.skipped = 0

    def packet(self, *, final: bool = False) -> Packet | None:
        """The next packet. None if more bytes are needed; with `final`, if there is none: all bytes are dropped."""
        buffer, at, found = self._buffer, 0, None
        while found is None and (at := buffer.find(self._marker, at)) >= 0:
            if len(buffer) - at < self._size:
                if not final:
                    break
            else:
                found = _parse(buffer[at : at + self._size], self._terminal)
            at += 0 if found else 1
        self._drop(at if at >= 0 else self._unusable(final=final), self._size if found else 0)
        return found

    def body(self, count: int) -> bytes | None:
        """The next `count` raw bytes. None if more are needed."""
        if len(self._buffer) < count:
            return None
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def _unusable(self, *, final: bool) -> int:
        """How many bytes cannot begin a packet: all, except a truncated start code at the end."""
        for kept in range(min(len(self._marker) - 1, len(self._buffer)), 0, -1):
            if not final and self._buffer.endswith(self._marker[:kept]):
                return len(self._buffer) - kept
        return len(self._buffer)

    def _drop(self, noise: int, whole: int) -> None:
        self.skipped += noise
        del self._buffer[: noise + whole]
