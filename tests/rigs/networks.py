"""Networks that do not work: addresses that never answer, and name servers that are silent."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from simulators.hub.broker import free_port

Places = list[tuple[str, int]]


@contextmanager
def silent_addresses(count: int, port: int | None = None) -> Iterator[Places]:
    """Loopback addresses with one port, at which the kernel drops every SYN: the queue of the listener is full."""
    port = port or free_port()
    places = [(f"127.0.0.{2 + number}", port) for number in range(count)]
    with ExitStack() as stack:
        for place in places:
            listener = stack.enter_context(socket.socket())
            listener.bind(place)
            listener.listen(0)
            for _ in range(3):
                filler = stack.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(place)
        yield places


class Resolver:
    """In the place of getaddrinfo(): a name has the given addresses; without any, it is looked up until `release`."""

    def __init__(self, patch: pytest.MonkeyPatch, places: Places | None = None) -> None:
        self.places = places
        self.release = threading.Event()
        self.calls = 0
        self._real = socket.getaddrinfo
        patch.setattr("agent.hub.lookup.socket.getaddrinfo", self.resolve)

    def resolve(self, host: str, port: int, **options: Any) -> list[Any]:  # noqa: ANN401 - as getaddrinfo()
        if options.get("flags", 0) & socket.AI_NUMERICHOST:
            return list(self._real(host, port, **options))
        self.calls += 1
        if self.places is None:
            self.release.wait()
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place) for place in self.places]
