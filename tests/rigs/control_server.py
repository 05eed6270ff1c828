"""A control server with handlers of a test, and a client that sends any bytes."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from agent.control.cancellation import CancellationToken
from agent.control.server import ControlServer, Serve
from agent.errors import ControlError


def echo(name: str, arguments: dict[str, Any], _: CancellationToken) -> dict[str, Any]:
    """Answer with the request itself; `fail` is refused."""
    if name == "fail":
        raise ControlError("cannot do that: do this instead")
    return {"name": name, **arguments}


@contextmanager
def running_server(path: Path, serve: Serve = echo) -> Iterator[ControlServer]:
    """A control server that must end in time, without a crash and without its socket."""
    crashes: list[BaseException] = []
    server = ControlServer(path, None, serve, lambda _, error: crashes.append(error))
    server.start()
    try:
        yield server
    finally:
        assert server.stop()
        assert not crashes
        assert not path.exists()


def send_raw(path: Path, data: bytes) -> dict[str, Any]:
    """Send bytes, end the writing side, and return the answer."""
    with socket.socket(socket.AF_UNIX) as end:
        end.settimeout(10)
        end.connect(str(path))
        with suppress(BrokenPipeError):  # refused before it was sent
            end.sendall(data)
            end.shutdown(socket.SHUT_WR)
        with end.makefile("rb") as lines:
            answer = json.loads(lines.readline())
    assert isinstance(answer, dict)
    return answer
