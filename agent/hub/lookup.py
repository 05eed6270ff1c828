"""Looks up the addresses of the hub in a thread of its own: getaddrinfo() takes no limit and cannot be interrupted.

Three silent name servers keep it for half a minute. The hub's link waits only as long as it wants and asks again later.
There is one look-up at a time, however often the link asks, and its result is kept for the next question.
"""

import queue
import socket
import threading
import time
from typing import Any, NamedTuple

FRESH_S = 60.0  # a result that nobody was waiting for is used for this long


class Address(NamedTuple):
    """An address to connect to; `place` is the argument of socket.connect()."""

    family: int
    kind: int
    protocol: int
    place: Any


class _Result(NamedTuple):
    at: float  # monotonic seconds
    addresses: list[Address]
    failure: OSError | None


class NameLookup:
    """The addresses of one host and port. For one thread."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._results: queue.SimpleQueue[_Result] = queue.SimpleQueue()
        self._running = False

    def addresses(self, wait: float) -> list[Address] | None:
        """The addresses, preferred ones first; None if they are not known after `wait` seconds. OSError if none."""
        if (literal := self._literal()) is not None:
            return literal
        if not self._running:
            self._start()
        try:
            result = self._results.get(timeout=max(wait, 0.0))
        except queue.Empty:
            return None
        self._running = False
        if time.monotonic() - result.at > FRESH_S:
            return None
        if result.failure is not None:
            raise result.failure
        return result.addresses

    def _literal(self) -> list[Address] | None:
        """The address, if the host is written as one: that needs no name server and no thread."""
        try:
            return self._resolve(socket.AI_NUMERICHOST)
        except OSError:
            return None

    def _start(self) -> None:
        self._running = True
        # A daemon thread: the end of the process does not wait for it.
        threading.Thread(target=self._look_up, name="hub name look-up", daemon=True).start()

    def _look_up(self) -> None:
        addresses, failure = list[Address](), None
        try:
            addresses = self._resolve(0)
        except OSError as error:
            failure = error
        self._results.put(_Result(time.monotonic(), addresses, failure))

    def _resolve(self, flags: int) -> list[Address]:
        try:
            found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM, flags=flags)
        except UnicodeError as error:  # raised by the codec for host names
            raise OSError(f"{self._host} is not a host name: {error}") from error
        return [Address(family, kind, protocol, place) for family, kind, protocol, _, place in found]
