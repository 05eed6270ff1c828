"""The control protocol and its client: newline-delimited JSON over a Unix socket; the kernel identifies the peer.

    client:  {"do": "enrol", "with": {"samples": 3}}
    server:  {"announce": {"kind": "told", "key": "present", "text": "Please place ...", "position": "right_index"}}  *
    server:  {"ok": true, "result": {...}}      or   {"ok": false, "error": "what is wrong and what to do"}

Announcements arrive while `identify` and `enrol` run, and after the answer to `watch` until the connection ends. If a
client disconnects while its request runs, the request is cancelled: otherwise the next person could be enrolled in
place of the one who left.
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
    """Sends requests to the daemon. ControlError if no daemon listens, or if it refuses the request."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def ask(
        self, name: str, arguments: Json | None = None, on_announcement: Callable[[Json], None] | None = None
    ) -> Json:
        """Send one request and return its result. `on_announcement` gets what is announced before the answer."""
        with self._lines(name, arguments) as lines:
            for line in lines:
                if "announce" not in line:
                    return _result(line)
                if on_announcement:
                    on_announcement(line["announce"])
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
                with suppress(BrokenPipeError):  # refused before it was sent: the reason is read below
                    end.sendall(encode_line({"do": name, "with": arguments or {}}))
            except (FileNotFoundError, ConnectionRefusedError) as error:
                raise NoDaemon(f"{self._path}: no daemon listens here; start it: kiosk-agent run") from error
            except OSError as error:
                raise ControlError(f"{self._path}: {error.strerror or error}; may this user control it?") from error
            with end.makefile("rb") as file:
                yield _parsed(file)


class NoDaemon(ControlError):
    """No daemon listens on the control socket."""


ENDED: Json = {"ok": False, "error": "the daemon ended before it answered: see its log"}


def _result(line: Json) -> Json:
    if not line.get("ok"):
        raise ControlError(line.get("error", "the daemon sent an invalid answer: is it another version?"))
    return dict(line["result"])


def _parsed(file: Iterable[bytes]) -> Iterator[Json]:
    """The lines until the end. An incomplete line or a broken connection counts as the end."""
    with suppress(OSError, ValueError):
        for line in file:
            yield json.loads(line)


def encode_line(message: Json) -> bytes:
    """Encode one message for the socket."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"
