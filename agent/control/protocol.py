"""The control protocol and its client: newline-delimited JSON over a Unix socket; the kernel identifies the peer.

    client:  {"do": "enrol", "with": {"samples": 3}}
    server:  {"announce": {"kind": "told", "key": "present", "text": "Please place ...", "position": "right_index"}}  *
    server:  {"ok": true, "result": {...}}      or   {"ok": false, "error": "what is wrong and what to do"}

Announcements arrive while `identify` and `enrol` run, and after the answer to `watch` until the connection ends. If a
client disconnects while its request runs, the request is cancelled: otherwise the next person could be enrolled in
place of the one who left.
"""

import json
import select
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from agent.errors import ControlError
from drivers.printable import printable_values

Json = dict[str, Any]

CONNECT_S = 5.0  # a daemon that is not stuck accepts at once
ANSWER_S = 30.0  # for PROMPT requests; the others wait for the lane, which may be serving a traveller
PROMPT = frozenset({"status", "keys", "watch"})
ANSWER_BYTES = 64 * 1024 * 1024  # the longest answer: a watchlist of 100 000 references takes about 25 MB


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
                    with understood():
                        on_announcement(_announcement(line))
        return _result(ENDED)

    @contextmanager
    def watch(self) -> Iterator[Iterator[Json]]:
        """Every announcement from now on, until the daemon ends."""
        with self._lines("watch", None) as lines:
            _result(next(lines, ENDED))
            yield (_announcement(line) for line in lines if "announce" in line)

    @contextmanager
    def _lines(self, name: str, arguments: Json | None) -> Iterator[Iterator[Json]]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as end:
            # A limit for connecting and sending. Linux applies it to connect() too, and says EAGAIN then.
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(CONNECT_S), 0))
            try:
                end.connect(str(self._path))
                with suppress(BrokenPipeError):  # refused before it was sent: the reason is read below
                    end.sendall(encode_line({"do": name, "with": arguments or {}}))
            except (FileNotFoundError, ConnectionRefusedError) as error:
                raise NoDaemon(f"{self._path}: no daemon listens here; {HOW_TO_START}") from error
            except BlockingIOError as error:
                raise ControlError(f"{self._path}: {STUCK}") from error
            except OSError as error:
                raise ControlError(f"{self._path}: {error.strerror or error}; may this user control it?") from error
            with end.makefile("rb") as file:
                if name in PROMPT:
                    _wait_for_answer(end, self._path)
                yield _parsed(file)


class NoDaemon(ControlError):
    """No daemon listens on the control socket."""


HOW_TO_START = "it may be starting (see systemctl status kiosk-agent); if it is not, start it: kiosk-agent run"
NOT_UNDERSTOOD = "the daemon sent an invalid answer: is it another version? Restart it after an installation"
STUCK = "the daemon does not answer: see its log, or restart it"
ENDED: Json = {"ok": False, "error": "the daemon ended before it answered: see its log"}


def _result(line: Json) -> Json:
    result, error = line.get("result"), line.get("error")
    if line.get("ok") is True and isinstance(result, dict):
        return result
    if line.get("ok") is not False or not isinstance(error, str):
        raise ControlError(NOT_UNDERSTOOD)
    raise ControlError(error)


def _announcement(line: Json) -> Json:
    announcement = line["announce"]
    if not isinstance(announcement, dict):
        raise ControlError(NOT_UNDERSTOOD)
    return announcement


@contextmanager
def understood() -> Iterator[None]:
    """For showing an answer: what a daemon of this version would not send is a ControlError."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ControlError(NOT_UNDERSTOOD) from error


def _wait_for_answer(end: socket.socket, path: Path) -> None:
    """Wait until the answer begins. ControlError if it does not within ANSWER_S."""
    poll = select.poll()
    poll.register(end, select.POLLIN)
    if not poll.poll(ANSWER_S * 1000):
        raise ControlError(f"{path}: {STUCK}")


def _parsed(file: BinaryIO) -> Iterator[Json]:
    """The lines until the end. A line that is incomplete or not JSON, or a broken connection, counts as the end."""
    with suppress(OSError, ValueError, RecursionError):
        while line := file.readline(ANSWER_BYTES + 1):
            if len(line) > ANSWER_BYTES:
                raise ControlError(f"the daemon sent an answer of more than {ANSWER_BYTES} bytes")
            decoded = json.loads(line)
            if not isinstance(decoded, dict):
                raise ControlError(NOT_UNDERSTOOD)
            yield printable_values(decoded)


def encode_line(message: Json) -> bytes:
    """Encode one message for the socket."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"
