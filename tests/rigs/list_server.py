"""A server of files that speaks HTTP from a script: each connection has the next answer, then the files are served."""

import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

Answer = Callable[[socket.socket, str], None]  # gets the connection and the request
HEAD = b"HTTP/1.1 200 OK\r\n"


class ListServer:
    """Serves on a free port of this computer. `requests` are those that came, as text."""

    def __init__(
        self,
        files: Mapping[str, bytes] | None = None,
        answers: Sequence[Answer] = (),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.files = files or {}
        self.answers = list(answers)
        self.requests: list[str] = []
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.address = f"https://localhost:{self.port}" if tls else f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
        assert not self._thread.is_alive()

    def _serve(self) -> None:
        while True:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return
            with accepted, contextlib.suppress(OSError):
                accepted.settimeout(5)
                connected = self._tls.wrap_socket(accepted, server_side=True) if self._tls else accepted
                with connected:
                    request = _request(connected)
                    self.requests.append(request)
                    (self.answers.pop(0) if self.answers else self.serve_file)(connected, request)

    def serve_file(self, connected: socket.socket, request: str) -> None:
        """The usual answer."""
        data = self.files.get(request.split()[1].lstrip("/"))
        if data is None:
            connected.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        found = re.search(r"Range: bytes=(\d+)-", request)
        first = int(found[1]) if found else 0
        head = HEAD if found is None else b"HTTP/1.1 206 Partial Content\r\n"
        span = b"Content-Range: bytes %d-%d/%d\r\n" % (first, len(data) - 1, len(data)) if found else b""
        connected.sendall(
            head + span + b'ETag: "one"\r\nContent-Length: %d\r\n\r\n' % (len(data) - first) + data[first:]
        )

    def cut_after(self, count: int) -> Answer:
        """The file, of which only so many bytes of the body come."""

        def answer(connected: socket.socket, request: str) -> None:
            left, right = socket.socketpair()
            with left, right:
                threading.Thread(target=self._into, args=(left, request), daemon=True).start()
                whole = right.makefile("rb").read()
            head, _, body = whole.partition(b"\r\n\r\n")
            connected.sendall(head + b"\r\n\r\n" + body[:count])

        return answer

    def _into(self, connected: socket.socket, request: str) -> None:
        self.serve_file(connected, request)
        connected.shutdown(socket.SHUT_WR)


def sends(data: bytes) -> Answer:
    """These bytes, then the connection ends."""
    return lambda connected, _: connected.sendall(data)


def status(code: int, *headers: str) -> Answer:
    """An answer without a body."""
    lines = [f"HTTP/1.1 {code} So", "Content-Length: 0", *headers]
    return sends(("\r\n".join(lines) + "\r\n\r\n").encode())


def repeats(begin: bytes, again: bytes) -> Answer:
    """Some bytes, then others again and again until the client goes away."""

    def answer(connected: socket.socket, _: str) -> None:
        connected.sendall(begin)
        while True:
            connected.sendall(again)

    return answer


def silent_after(begin: bytes) -> Answer:
    """Some bytes, then nothing until the client goes away."""

    def answer(connected: socket.socket, _: str) -> None:
        connected.sendall(begin)
        connected.recv(1)

    return answer


def _request(connected: socket.socket) -> str:
    found = b""
    while b"\r\n\r\n" not in found:
        chunk = connected.recv(4096)
        if not chunk:
            raise ConnectionError
        found += chunk
    return found.decode("ascii")
