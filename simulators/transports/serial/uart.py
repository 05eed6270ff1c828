"""What a serial device sends and when the bytes arrive: pure arithmetic over a clock that the caller brings."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Protocol

from simulators.transports.faults import ANYWHERE, Faults, Params, Spoil

BITS_PER_BYTE = 10  # 8N1: start, eight data, stop
TICK_S = 0.01  # bytes are handed over in lots of this time, as a USB adapter does (FTDI's latency timer: 16 ms)


@dataclass(frozen=True, slots=True)
class Burst:
    """Bytes that a device sends from the time `at` (seconds of the caller's clock) on, at `baud`."""

    at: float
    data: bytes
    baud: int


class SerialDevice(Protocol):
    """The device side of a serial wire, as pseudo_terminal.py serves it. Every method may be called from any thread."""

    faults: Faults

    @property
    def baud(self) -> int:
        """The rate at which the device listens now, bits a second."""

    def power_on(self, now: float) -> list[Burst]:
        """Start afresh: what is not in flash is forgotten. Returns what the device says by itself."""

    def receive(self, data: bytes, now: float) -> list[Burst]:
        """Take bytes that the host sent and that have arrived by `now`; return the answers."""

    def unasked(self, now: float) -> list[Burst]:
        """What the device says by itself since it was asked last: a finger came, a time-out passed. Often nothing."""

    def speaks_at(self) -> float | None:
        """When to ask `unasked` again at the latest. None: not before it hears something or is touched."""


def struck(
    frames: list[bytes], place: str, faults: Faults, spoils: Mapping[str, Spoil], now: float, baud: int, head: int
) -> list[Burst]:
    """The frames of one answer or one transfer as they go out, each fault that waits for this `place` struck once.

    The first `head` bytes of a frame are spared. What was lost whole is no burst.
    """
    return [burst for burst in strike(frames, place, faults, spoils, now, baud, head) if burst.data]


def strike(
    frames: list[bytes], place: str, faults: Faults, spoils: Mapping[str, Spoil], now: float, baud: int, head: int
) -> list[Burst]:
    """As `struck`, one burst a frame: that of a lost one is empty."""
    frames = list(frames)
    for name, spoil in spoils.items():
        if params := faults.take(name, at=place):
            index = _index(params, len(frames), faults.random)
            frames[index] = spoil(frames[index], min(head, len(frames[index])), faults.random, params)
    late = faults.take("late", at=place)
    late_from = _index(late, len(frames), faults.random) if late else len(frames)
    delay = float(late["seconds"]) if late else 0.0
    return [Burst(now + (delay if index >= late_from else 0.0), raw, baud) for index, raw in enumerate(frames)]


def _index(params: Params, count: int, rng: Random) -> int:
    """Which frame is struck: the one asked for, the last when there are not so many, else the seed's choice."""
    asked = int(params["packet"])
    return rng.randrange(count) if asked == ANYWHERE else min(asked, count - 1)


def line_seconds(count: int, baud: int) -> float:
    """How long `count` bytes take on the line."""
    return count * BITS_PER_BYTE / baud


class Line:
    """A UART line, one byte after another each way. Unpaced, a byte takes no time, but a burst still waits for `at`."""

    def __init__(self, *, pace: bool) -> None:
        self._pace = pace
        self._bursts: deque[Burst] = deque()
        self._sent = 0  # bytes of the first burst that have arrived
        self._free_at = 0.0  # when the last byte of the burst before the first one arrived
        self._heard_at = 0.0  # when the last byte of the host arrived

    def hear(self, count: int, now: float, baud: int) -> float:
        """When `count` bytes that the host wrote at `now` have arrived at the device."""
        self._heard_at = max(now, self._heard_at) + self._seconds(count, baud)
        return self._heard_at

    def queue(self, bursts: list[Burst]) -> None:
        """Send these after all that are queued."""
        self._bursts.extend(bursts)

    def clear(self) -> None:
        """Forget what has not arrived: the cable is out."""
        self._bursts.clear()
        self._sent = 0

    def arrived(self, now: float) -> list[tuple[bytes, int]]:
        """The bytes that have newly arrived at the host by `now`, each run with its rate."""
        runs = []
        while self._bursts and (count := self._count(now)) > self._sent:
            burst = self._bursts[0]
            runs.append((burst.data[self._sent : count], burst.baud))
            self._sent = count
            if count == len(burst.data):
                self._free_at = self._start + self._seconds(count, burst.baud)
                self._sent = 0
                self._bursts.popleft()
        return runs

    def wake_at(self) -> float | None:
        """When to ask again: after a tick's worth of bytes or at the end of the burst. None: nothing is queued."""
        if not self._bursts:
            return None
        burst = self._bursts[0]
        rest = self._seconds(len(burst.data) - self._sent, burst.baud)
        return self._start + self._seconds(self._sent, burst.baud) + min(rest, TICK_S)

    @property
    def _start(self) -> float:
        return max(self._bursts[0].at, self._free_at)

    def _count(self, now: float) -> int:
        """How many bytes of the first burst have arrived by `now`."""
        burst = self._bursts[0]
        if now < self._start:
            return 0
        if not self._pace:
            return len(burst.data)
        # A hair more than nothing, or rounding would hold back a byte at the very moment that wake_at() named.
        return min(len(burst.data), int((now - self._start) * burst.baud / BITS_PER_BYTE + 1e-6))

    def _seconds(self, count: int, baud: int) -> float:
        return line_seconds(count, baud) if self._pace else 0.0
