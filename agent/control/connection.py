"""One client of the control socket, as the server sees it."""

import json
import queue
import socket
import struct
import threading
import time
from contextlib import suppress

from agent.control.cancellation import CancellationToken
from agent.control.protocol import Json, encode_line
from agent.errors import ControlError

REQUEST_BYTES = 64 * 1024
REQUEST_S = 5.0  # a client that has not finished its request by then is dropped
SEND_S = 5.0  # a client that does not read for this long is dropped
FLUSH_S = 0.3  # before a connection is closed, queued lines are still sent for this long
BACKLOG = 256  # announcements that may wait for a slow client before it is dropped
NOT_A_REQUEST = f"a request is one line of JSON of at most {REQUEST_BYTES // 1024} KiB, sent within {REQUEST_S:.0f} s"


class ClientConnection:
    """One connection. The server reads from it; its own thread writes, so that announcing never waits for a socket."""

    def __init__(self, connection: socket.socket, uid: int = 0) -> None:
        # Sending has a timeout; receiving never waits.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(SEND_S), 0))
        self._socket = connection
        self.uid = uid  # of the account at the other end
        self.fileno = connection.fileno()
        self.connected_at = time.monotonic()
        self.request_received = self.listening = False
        self.cancellation = CancellationToken()
        self._received = b""
        self._lines: queue.Queue[bytes | None] = queue.Queue(BACKLOG)
        self._writer = threading.Thread(target=self._write, name="control writer", daemon=True)

    def receive(self) -> bool:
        """Read what has arrived. True once the request is complete, or can no longer become complete."""
        try:
            data = self._socket.recv(REQUEST_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True
        self._received += data
        return not data or b"\n" in data or len(self._received) >= REQUEST_BYTES

    def request(self) -> tuple[str, Json]:
        """The name and the arguments of the request. ControlError if it is not a request."""
        try:
            request = json.loads(self._received)
        except (ValueError, RecursionError) as error:
            raise ControlError(NOT_A_REQUEST) from error
        arguments = request.get("with", {}) if isinstance(request, dict) else None
        if not isinstance(arguments, dict):
            raise ControlError('a request looks like {"do": "status", "with": {}}')
        return str(request.get("do", "")), arguments

    def send(self, line: bytes) -> None:
        """Queue a line for the writer. A client with a full queue is disconnected."""
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self._shut_down()

    def finish(self) -> None:
        """Disconnect after the queued lines."""
        with suppress(queue.Full):
            self._lines.put_nowait(None)

    def start_writing(self) -> None:
        """Start the thread that writes."""
        self._writer.start()

    def wait_until_sent(self, timeout: float) -> None:
        """Wait until every queued line is sent."""
        if self._writer.ident is not None:
            self._writer.join(timeout)

    def refuse(self, reason: str) -> None:
        """Send an error without waiting, and close. The client may have disconnected already."""
        with suppress(OSError):
            self._socket.send(encode_line({"ok": False, "error": reason}), socket.MSG_DONTWAIT)
        self._shut_down()
        self._socket.close()

    def close(self) -> None:
        """Cancel the client's request and close the connection."""
        self._shut_down()
        self.cancellation.cancel()
        self.finish()
        self.wait_until_sent(FLUSH_S)
        self._socket.close()

    def _write(self) -> None:
        with suppress(OSError):
            while (line := self._lines.get()) is not None:
                self._socket.sendall(line)
        self._shut_down()  # the server then reads the end of the connection and removes this client

    def _shut_down(self) -> None:
        self.listening = False
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
