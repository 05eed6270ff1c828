"""The bytes that a serial device sends and when they arrive: pure arithmetic over a clock given by the caller."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Protocol

from simulators.transports.faults import ANYWHERE, Corruption, Faults, Params

BITS_PER_BYTE = 10  # 8N1: start, eight data, stop
LINE_FAULTS = ("restarts", "trickle")  # faults that the line applies to the bytes of any device
TICK_S = 0.01  # bytes are delivered in groups of this duration, as USB adapters do (FTDI's latency timer: 16 ms)


@dataclass(frozen=True, slots=True)
class Burst:
    """Bytes that a device starts to send at the time `at` (seconds of the caller's clock), at `baud`."""

    at: float
    data: bytes
    baud: int


class SerialDevice(Protocol):
    """The device end of a serial line, as pseudo_terminal.py serves it. Every method may be called from any thread."""

    faults: Faults

    @property
    def baud(self) -> int:
        """The present rate of the device, bits per second."""

    def power_on(self, now: float) -> list[Burst]:
        """Reset everything that is not in flash. Returns what the device sends without being asked."""

    def receive(self, data: bytes, now: float) -> list[Burst]:
        """Take bytes from the host that have arrived by `now`; return the answers."""

    def unsolicited(self, now: float) -> list[Burst]:
        """What the device sends on its own since the last call: a finger came, a timeout expired. Often nothing."""

    def next_send_at(self) -> float | None:
        """The latest time to call `unsolicited` again. None: not before the device receives something or is touched."""


def faulty_bursts(
    frames: list[bytes],
    place: str,
    faults: Faults,
    corruptions: Mapping[str, Corruption],
    now: float,
    baud: int,
    head: int,
) -> list[Burst]:
    """The frames of one answer or one transfer as they are sent, with each fault pending for this `place`, once.

    Faults do not change the first `head` bytes of a frame. A frame that is lost completely gives no burst.
    """
    return [burst for burst in apply_faults(frames, place, faults, corruptions, now, baud, head) if burst.data]


def apply_faults(
    frames: list[bytes],
    place: str,
    faults: Faults,
    corruptions: Mapping[str, Corruption],
    now: float,
    baud: int,
    head: int,
) -> list[Burst]:
    """As `faulty_bursts`, but one burst for each frame: that of a lost frame is empty."""
    frames = list(frames)
    for name, corrupt in corruptions.items():
        if params := faults.take(name, at=place):
            index = _index(params, len(frames), faults.random)
            frames[index] = corrupt(frames[index], min(head, len(frames[index])), faults.random, params)
    late = faults.take("late", at=place)
    late_from = _index(late, len(frames), faults.random) if late else len(frames)
    delay = float(late["seconds"]) if late else 0.0
    return [Burst(now + (delay if index >= late_from else 0.0), raw, baud) for index, raw in enumerate(frames)]


def _index(params: Params, count: int, rng: Random) -> int:
    """The frame that a fault affects: the one given (or the last, if there are fewer), else one chosen at random."""
    asked = int(params["packet"])
    return rng.randrange(count) if asked == ANYWHERE else min(asked, count - 1)


def line_seconds(count: int, baud: int) -> float:
    """The time that `count` bytes take on the line."""
    return count * BITS_PER_BYTE / baud


class Line:
    """A UART line: one byte after another in each direction.

    Without `pace` a byte takes no time, but a burst still waits for its time `at`.
    """

    def __init__(self, *, pace: bool, faults: Faults | None = None) -> None:
        """`faults`: those of the device; `trickle` sends one byte at a time while it is pending."""
        self._pace = pace
        self._faults = faults
        self._bursts: deque[Burst] = deque()
        self._sent = 0  # bytes of the first burst that have arrived
        self._free_at = 0.0  # when the last byte of the previous burst arrived
        self._received_at = 0.0  # when the last byte of the host arrived at the device
        self._trickled_at = 0.0  # when the last byte arrived on a line that trickles

    def receive(self, count: int, now: float, baud: int) -> float:
        """The time when `count` bytes that the host wrote at `now` have arrived at the device."""
        self._received_at = max(now, self._received_at) + self._seconds(count, baud)
        return self._received_at

    def queue(self, bursts: list[Burst]) -> None:
        """Add bursts to the end of the queue."""
        self._bursts.extend(bursts)

    def clear(self) -> None:
        """Discard what has not arrived: the cable is out."""
        self._bursts.clear()
        self._sent = 0
        self._trickled_at = 0.0

    def arrived(self, now: float) -> list[tuple[bytes, int]]:
        """The bytes that have arrived at the host since the last call, as (bytes, rate)."""
        runs = []
        while self._bursts and (count := self._count(now)) > self._sent:
            burst = self._bursts[0]
            runs.append((burst.data[self._sent : count], burst.baud))
            self._trickled_at = self._next_trickle_at or 0.0
            self._sent = count
            if count == len(burst.data):
                self._free_at = self._start + self._seconds(count, burst.baud)
                self._sent = 0
                self._bursts.popleft()
        return runs

    def wake_at(self) -> float | None:
        """When to call `arrived` again: after one tick or at the end of the burst. None if nothing is queued."""
        if not self._bursts:
            return None
        if self._next_trickle_at is not None:
            return self._next_trickle_at
        burst = self._bursts[0]
        rest = self._seconds(len(burst.data) - self._sent, burst.baud)
        return self._start + self._seconds(self._sent, burst.baud) + min(rest, TICK_S)

    @property
    def _next_trickle_at(self) -> float | None:
        """When the next byte arrives on a line that trickles. None if it does not."""
        params = None if self._faults is None else self._faults.peek("trickle")
        return None if params is None else max(self._start, self._trickled_at + float(params["seconds"]))

    @property
    def _start(self) -> float:
        return max(self._bursts[0].at, self._free_at)

    def _count(self, now: float) -> int:
        """The number of bytes of the first burst that have arrived by `now`."""
        burst = self._bursts[0]
        if now < self._start:
            return 0
        if (due := self._next_trickle_at) is not None:
            return self._sent + (now >= due)
        if not self._pace:
            return len(burst.data)
        # 1e-6: otherwise rounding could hold back a byte at exactly the time that wake_at() returned.
        return min(len(burst.data), int((now - self._start) * burst.baud / BITS_PER_BYTE + 1e-6))

    def _seconds(self, count: int, baud: int) -> float:
        return line_seconds(count, baud) if self._pace else 0.0
