"""One client of the control socket, as the server sees it."""

import json
import queue
import socket
import struct
import threading
import time
from contextlib import suppress

from agent.control.cancellation import Caller
from agent.control.protocol import Json, encode_line
from agent.errors import ControlError

REQUEST_BYTES = 64 * 1024
REQUEST_S = 5.0  # a client that connects and does not finish its request is not waited for longer
SEND_S = 5.0  # nor one that does not read
FAREWELL_S = 0.3  # at the end clients still hear what was said last
BACKLOG = 256  # announcements a slow listener may be behind before it is dropped
NOT_A_REQUEST = f"a request is one line of JSON of at most {REQUEST_BYTES // 1024} KiB, sent within {REQUEST_S:.0f} s"


class Connection(Caller):
    """One connection. The server reads it; its own thread writes, so that an announcer never waits for a socket."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__()
        # Sending gives up after a while; receiving is done only when there is something.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(SEND_S), 0))
        self._socket = connection
        self.fileno = connection.fileno()
        self.since = time.monotonic()
        self.asked = self.listening = False
        self._received = b""
        self._lines: queue.Queue[bytes | None] = queue.Queue(BACKLOG)
        self._writer = threading.Thread(target=self._write, name="control writer", daemon=True)

    def receive(self) -> bool:
        """Take what has arrived; True once the request is whole, or cannot become so."""
        try:
            data = self._socket.recv(REQUEST_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True
        self._received += data
        return not data or b"\n" in data or len(self._received) >= REQUEST_BYTES

    def request(self) -> tuple[str, Json]:
        """What the client asks. ControlError when it is nothing."""
        try:
            request = json.loads(self._received)
        except (ValueError, RecursionError) as error:
            raise ControlError(NOT_A_REQUEST) from error
        arguments = request.get("with", {}) if isinstance(request, dict) else None
        if not isinstance(arguments, dict):
            raise ControlError('a request looks like {"do": "status", "with": {}}')
        return str(request.get("do", "")), arguments

    def offer(self, line: bytes) -> None:
        """Queue a line; too many waiting end this client."""
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self._hang_up()

    def finish(self) -> None:
        """End after what is queued."""
        with suppress(queue.Full):
            self._lines.put_nowait(None)

    def start_writing(self) -> None:
        """Start the thread that writes."""
        self._writer.start()

    def await_end(self, timeout: float) -> None:
        """Wait until everything queued is sent."""
        if self._writer.ident is not None:
            self._writer.join(timeout)

    def refuse(self, why: str) -> None:
        """Say why, to somebody who may have hung up already, and hang up."""
        with suppress(OSError):
            self._socket.send(encode_line({"ok": False, "error": why}), socket.MSG_DONTWAIT)
        self._hang_up()
        self._socket.close()

    def leave(self) -> None:
        """The client has gone, or is let go: withdraw what it asked for, and close."""
        self._hang_up()
        self.go()
        self.finish()
        self.await_end(FAREWELL_S)
        self._socket.close()

    def _write(self) -> None:
        with suppress(OSError):
            while (line := self._lines.get()) is not None:
                self._socket.sendall(line)
        self._hang_up()  # the server then reads the end and forgets this client

    def _hang_up(self) -> None:
        self.listening = False
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
