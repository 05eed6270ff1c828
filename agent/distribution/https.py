"""Reads a list repository over HTTPS. The server is not trusted: what it sends is limited in length and in time."""

import http.client
import io
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import cast
from urllib.parse import SplitResult, quote, urlsplit

from tuf.api.exceptions import DownloadError, DownloadHTTPError, SlowRetrievalError

from agent.distribution.fetcher import CHUNK, Fetcher, never, too_long
from agent.distribution.refusal import CertificateRefused, SourceUnreachable
from agent.hub.connection import TcpConnection, is_certificate_error

SILENT_S = 20.0  # without one byte: the connection is lost
PATIENCE_S = 60.0  # so far a transfer may be behind LEAST_RATE
LEAST_RATE = 1024  # bytes a second, over the whole of a transfer
SLICE_S = 0.25  # how soon a stop is noticed
TRIES = 4  # connections for one file
OVERHEAD = 256 * 1024  # bytes of headers and chunk lines of one answer, beside an eighth of the file
_OK, _PARTIAL, _MULTIPLE, _BAD_REQUEST, _TOO_MANY, _SERVER_ERROR = 200, 206, 300, 400, 429, 500
_RANGE = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15}|\*)")


class _CutOff(Exception):
    """The connection ended within a file: the rest is asked for."""


@dataclass
class _Body:
    """What has arrived of a file."""

    name: str  # for messages
    most: int  # bytes
    data: bytearray
    validator: str = ""  # what identifies this state of the file: a strong ETag, or its date

    def add(self, chunk: bytes) -> None:
        self.data += chunk
        if len(self.data) > self.most:
            raise too_long(self.most)


class HttpsFetcher(Fetcher):
    """One connection for each file, and for the rest of one that was interrupted. Follows no redirect, uses no proxy.

    `tls`: see open_source. `monotonic` gives seconds.
    """

    def __init__(
        self,
        address: str,
        tls: ssl.SSLContext | None = None,
        stopped: Callable[[], bool] = never,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(address, stopped)
        self._tls = tls or ssl.create_default_context()
        self._monotonic = monotonic
        self._turn = 0  # which address of the server comes first

    def read(self, url: str, most: int) -> bytes:
        """As Fetcher.read."""
        body, why = _Body(url.removeprefix(f"{self.address}/"), most, bytearray()), ""
        for _ in range(TRIES):
            try:
                with self._answer(url, body) as answer:
                    self._receive(answer, body)
                return bytes(body.data)
            except _CutOff as cut:
                why = str(cut)
        raise SourceUnreachable(f"the connection breaks off again and again: {why}")

    @contextmanager
    def _answer(self, url: str, body: _Body) -> Iterator[http.client.HTTPResponse]:
        """Connect, and ask for what is missing of a file."""
        parts, host, port = _server(url)
        secure = parts.scheme == "https"
        tls = self._tls if secure else None
        number = port or (443 if secure else 80)
        connection = TcpConnection(host, number, tls, turn=self._turn, only_here=not secure, on_wait=self.check_stopped)
        try:
            paced = _PacedSocket(self._open(connection), body.most, self)
            paced.send(_request(host, port, parts.path, body))
            answer = http.client.HTTPResponse(cast("socket.socket", paced), method="GET")
            with answer:
                answer.begin()
                yield answer
        except (http.client.IncompleteRead, http.client.RemoteDisconnected) as error:
            raise _CutOff(str(error)) from error
        except http.client.HTTPException as error:
            raise DownloadError(f"the answer of the server is not HTTP: {type(error).__name__}") from error
        except OSError as error:
            if is_certificate_error(error):  # with TLS 1.3 the server refuses ours only now
                raise CertificateRefused(str(error)) from error
            self._turn += 1
            raise _CutOff(str(error)) from error
        finally:
            connection.close()

    def _open(self, connection: TcpConnection) -> socket.socket:
        try:
            return connection.open()
        except OSError as error:
            self._turn += 1
            if is_certificate_error(error):
                raise CertificateRefused(str(error)) from error
            raise SourceUnreachable(str(error)) from error

    def _receive(self, answer: http.client.HTTPResponse, body: _Body) -> None:
        _check_status(answer, body.name)
        _check_range(answer, body)
        body.validator = _validator(answer)
        expected = None if answer.length is None else len(body.data) + answer.length
        if expected is not None and expected > body.most:
            raise too_long(body.most)
        while chunk := answer.read1(CHUNK):
            body.add(chunk)
        if expected is not None and len(body.data) < expected:
            raise _CutOff(f"{len(body.data)} of {expected} bytes arrived")

    @property
    def now(self) -> float:
        """Seconds of the monotonic clock."""
        return self._monotonic()


class _PacedSocket(io.RawIOBase):
    """The receiving side of a connection, with the limits of one answer: bytes in all, silence, and least rate."""

    def __init__(self, connected: socket.socket, most: int, fetcher: HttpsFetcher) -> None:
        super().__init__()
        self._socket, self._fetcher = connected, fetcher
        self._most = most + most // 8 + OVERHEAD
        self._received = 0
        self._begun = self._heard = fetcher.now
        connected.settimeout(SLICE_S)

    def send(self, request: bytes) -> None:
        """Send the request: less than any socket buffer.

        A server that refuses our certificate has closed the connection already; what it said can still be read.
        """
        with suppress(OSError):
            self._socket.sendall(request)

    def makefile(self, mode: str) -> io.BufferedReader:
        """What http.client reads from."""
        assert mode == "rb"
        return io.BufferedReader(self, CHUNK)

    def readable(self) -> bool:
        """As io.RawIOBase."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # WriteableBuffer is a stub's
        """As io.RawIOBase. SlowRetrievalError or DownloadLengthMismatchError at a limit."""
        while True:
            self._fetcher.check_stopped()
            try:
                count = self._socket.recv_into(buffer)
            except TimeoutError:
                count = None
            now = self._fetcher.now
            if count:
                self._received += count
                self._heard = now
            self._check(now)
            if count is not None:
                return count

    def _check(self, now: float) -> None:
        if self._received > self._most:
            raise too_long(self._most)
        if now - self._heard > SILENT_S:
            raise SlowRetrievalError(f"nothing for {SILENT_S:.0f} seconds")
        if now - self._begun > PATIENCE_S + self._received / LEAST_RATE:
            raise SlowRetrievalError(f"{self._received} bytes in {now - self._begun:.0f} seconds")


def _server(url: str) -> tuple[SplitResult, str, int | None]:
    """A URL in parts, its host as name servers know it, and its port if it has one."""
    try:
        parts = urlsplit(url)
        return parts, (parts.hostname or "").encode("idna").decode("ascii"), parts.port
    except ValueError as error:
        raise DownloadError(f"the source is not an address: {error}") from error


def _request(host: str, port: int | None, path: str, body: _Body) -> bytes:
    place = (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
    lines = [f"GET {quote(path, safe='/%')} HTTP/1.1", f"Host: {place}", "User-Agent: kiosk-agent"]
    lines += ["Accept: */*", "Accept-Encoding: identity", "Connection: close"]
    if body.data and body.validator:
        lines += [f"Range: bytes={len(body.data)}-", f"If-Range: {body.validator}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


def _check_status(answer: http.client.HTTPResponse, name: str) -> None:
    status = answer.status
    if status in (_OK, _PARTIAL):
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise DownloadError("the server compresses the file, which is not asked for")
        return
    if status >= _SERVER_ERROR or status == _TOO_MANY:
        raise SourceUnreachable(f"{name}: the server answers with status {status}")
    if _MULTIPLE <= status < _BAD_REQUEST:
        raise DownloadError(f"the server sends to another address (status {status}): set that as the source")
    raise DownloadHTTPError(f"{name}: the server answers with status {status}", status)


def _check_range(answer: http.client.HTTPResponse, body: _Body) -> None:
    """See that the answer continues what is there, or begin again with the whole file."""
    if answer.status == _OK:
        body.data.clear()
        return
    found = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    if found is None or int(found[1]) != len(body.data):
        raise DownloadError("the server sends another piece of the file than asked for")


def _validator(answer: http.client.HTTPResponse) -> str:
    """What If-Range takes (RFC 9110, 13.1.5); empty if there is none, or if it is not plain text."""
    tag = answer.headers.get("ETag", "")
    found = tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified", "")
    return found if found.isascii() and found.isprintable() else ""
