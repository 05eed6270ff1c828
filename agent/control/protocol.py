"""The control socket: newline-delimited JSON over a Unix socket, whose peers are checked by the kernel.

    client:  {"do": "enrol", "with": {"samples": 3}}
    server:  {"announce": {"kind": "told", "key": "present", "text": "Please place ...", "position": "right_index"}}  *
    server:  {"ok": true, "result": {...}}      or   {"ok": false, "error": "what is wrong and what to do"}

Announcements come while `identify` and `enrol` run, and without end after the answer to `watch`. A client that hangs up
while its request runs withdraws it: whoever comes next is not enrolled for somebody who has gone.
"""

import json
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from agent.errors import ControlError

Json = dict[str, Any]


class ControlClient:
    """The command line's end. ControlError says that no daemon listens, or what it refused."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def ask(self, name: str, arguments: Json | None = None, heard: Callable[[Json], None] | None = None) -> Json:
        """One request; `heard` gets the announcements that come before the answer."""
        with self._lines(name, arguments) as lines:
            for line in lines:
                if "announce" not in line:
                    return _result(line)
                if heard:
                    heard(line["announce"])
        return _result(ENDED)

    @contextmanager
    def watch(self) -> Iterator[Iterator[Json]]:
        """Every announcement from now on, until the daemon ends."""
        with self._lines("watch", None) as lines:
            _result(next(lines, ENDED))
            yield (line["announce"] for line in lines if "announce" in line)

    @contextmanager
    def _lines(self, name: str, arguments: Json | None) -> Iterator[Iterator[Json]]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as end:
            try:
                end.connect(str(self._path))
                with suppress(BrokenPipeError):  # who is refused at once reads below why
                    end.sendall(encode_line({"do": name, "with": arguments or {}}))
            except (FileNotFoundError, ConnectionRefusedError) as error:
                raise NoDaemon(f"{self._path}: no daemon listens here; start it: kiosk-agent run") from error
            except OSError as error:
                raise ControlError(f"{self._path}: {error.strerror or error}; may this user control it?") from error
            with end.makefile("rb") as file:
                yield _parsed(file)


class NoDaemon(ControlError):
    """Nobody listens on the control socket."""


ENDED: Json = {"ok": False, "error": "the daemon ended before it answered: see its log"}


def _result(line: Json) -> Json:
    if not line.get("ok"):
        raise ControlError(line.get("error", "the daemon answered nonsense: is it of another version?"))
    return dict(line["result"])


def _parsed(file: Iterable[bytes]) -> Iterator[Json]:
    """Lines until the end; one that was cut off, or a connection that broke, is an end."""
    with suppress(OSError, ValueError):
        for line in file:
            yield json.loads(line)


def encode_line(message: Json) -> bytes:
    """One message as it goes over the socket."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"
