"""Packets of Suprema's SFM modules as the device reads and writes them, and the faults of the line."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random

from simulators.transports.faults import CORRUPTIONS, Corruption, Params
from simulators.transports.serial.uart import LINE_FAULTS

PLAIN, NETWORK = 0x40, 0x41  # start codes
END = 0x0A
SIZE = {PLAIN: 13, NETWORK: 15}
PACKET_TIMEOUT_S = 0.5  # an incomplete packet is discarded after this
BROADCAST = 0  # the terminal number that addresses every terminal; no terminal answers it


def packet(command: int, param: int = 0, size: int = 0, flag: int = 0, terminal: int | None = None) -> bytes:
    """One packet: start, (terminal,) command, param, size, flag, checksum of all that, end."""
    start = bytes([PLAIN]) if terminal is None else bytes([NETWORK]) + terminal.to_bytes(2, "little")
    head = start + bytes([command]) + param.to_bytes(4, "little") + size.to_bytes(4, "little") + bytes([flag])
    return head + bytes([sum(head) & 0xFF, END])


@dataclass(frozen=True, slots=True)
class Request:
    """One packet that the host sent."""

    terminal: int | None
    command: int
    param: int
    size: int
    flag: int
    checksum_ok: bool


class RequestReader:
    """Reads requests from the bytes of the host, which may arrive in any pieces. Skips invalid bytes."""

    def __init__(self) -> None:
        self._buffer = b""
        self._fed_at = 0.0

    def feed(self, data: bytes, now: float) -> Iterator[Request]:
        """The requests that `data` completes."""
        if now - self._fed_at > PACKET_TIMEOUT_S:
            self._buffer = b""
        self._buffer, self._fed_at = self._buffer + data, now
        while self._buffer:
            size = SIZE.get(self._buffer[0])
            if size is not None and len(self._buffer) < size:
                return
            if size is None or self._buffer[size - 1] != END:
                self._buffer = self._buffer[1:]
                continue
            raw, self._buffer = self._buffer[:size], self._buffer[size:]
            yield _request(raw)


def _request(raw: bytes) -> Request:
    terminal = int.from_bytes(raw[1:3], "little") if raw[0] == NETWORK else None
    body = raw[-12:-2]
    numbers = (body[0], int.from_bytes(body[1:5], "little"), int.from_bytes(body[5:9], "little"), body[9])
    return Request(terminal, *numbers, checksum_ok=sum(raw[:-2]) & 0xFF == raw[-2])


def _wrong_checksum(raw: bytes, _head: int, _rng: Random, _params: Params) -> bytes:
    """Change the byte before the end code of a packet, the sum of a data packet, or the end code of a plain image."""
    at = -2 if len(raw) in SIZE.values() else -1
    return raw[:at] + bytes([raw[at] ^ 1]) + raw[len(raw) + at + 1 :] if raw else raw


def _wrong_terminal(raw: bytes, _head: int, _rng: Random, params: Params) -> bytes:
    """Make a valid packet of another terminal."""
    if len(raw) < SIZE[NETWORK] or raw[0] != NETWORK:
        return raw
    head = raw[:1] + (int(params["address"]) & 0xFFFF).to_bytes(2, "little") + raw[3:13]
    return head + bytes([sum(head) & 0xFF]) + raw[14:]


SFM_CORRUPTIONS: Mapping[str, Corruption] = {**CORRUPTIONS, "checksum": _wrong_checksum}
NETWORK_CORRUPTIONS: Mapping[str, Corruption] = {**SFM_CORRUPTIONS, "wrong_address": _wrong_terminal}

# The rows of FAULTS that this device supports (wrong_address only on a network). `unplug` is not among them: the cable
# has that one.
SFM_FAULTS = (
    *NETWORK_CORRUPTIONS, "late", "short", "long", "silent", "receive_error", "capture_fail", "messy", "no_upload",
    "stuck", "sunlight", "baud_deferred", "refuses", "ignores", *LINE_FAULTS,
    "busy", "no_extended", "keeps_format", "gives_up", "fake_finger",
)  # fmt: skip
