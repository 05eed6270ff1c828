"""A TCP or TLS connection that another thread can cut short at any moment, even while it is being made."""

import contextlib
import socket
import ssl
import threading
from typing import Any

TIMEOUT_S = 5.0  # for each address to connect, and for the handshake


class _AlertKeeper(ssl.SSLSocket):
    """With TLS 1.3 a broker refuses our certificate only after the handshake: remember the alert that says so."""

    alert: ssl.SSLError | None = None

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """As SSLSocket.recv."""
        try:
            return super().recv(buflen, flags)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            self.alert = error
            raise


class Dial:
    """One attempt to connect and the connection that it gives."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self._host, self._port, self._tls = host, port, tls
        self._lock = threading.Lock()
        self._cut = False
        self._socket: socket.socket | None = None

    def open(self) -> socket.socket:
        """Try each address of the host. OSError (ssl.SSLError is one) when none answers or cut() was called."""
        problem: OSError = OSError(f"{self._host} has no address")
        for family, kind, protocol, _, address in self._addresses():
            opened = socket.socket(family, kind, protocol)
            try:
                return self._connect(opened, address)
            except OSError as error:
                problem = error
                self.close()
                opened.close()
        raise problem

    def cut(self) -> None:
        """End the connection, or the attempt, from any thread. The socket itself is closed by its owner."""
        with self._lock:
            self._cut = True
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    # Not SSLSocket.shutdown, which would let the other thread go on in clear text.
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the socket; only for the thread that reads and writes it."""
        with self._lock:
            if self._socket is not None:
                self._socket.close()

    @property
    def alert(self) -> ssl.SSLError | None:
        """What a TLS peer said when it ended the connection."""
        return self._socket.alert if isinstance(self._socket, _AlertKeeper) else None

    def _addresses(self) -> list[Any]:
        try:
            return socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except UnicodeError as error:  # of the codec for host names
            raise OSError(f"{self._host} is no host name: {error}") from error

    def _connect(self, opened: socket.socket, address: Any) -> socket.socket:  # noqa: ANN401 - depends on the family
        self._hold(opened)
        opened.settimeout(TIMEOUT_S)
        opened.connect(address)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # an acknowledged event should not wait for more
        return self._secure(opened, self._tls) if self._tls else opened

    def _secure(self, opened: socket.socket, tls: ssl.SSLContext) -> ssl.SSLSocket:
        tls.sslsocket_class = _AlertKeeper
        wrapped = tls.wrap_socket(opened, server_hostname=self._host, do_handshake_on_connect=False)
        self._hold(wrapped)
        wrapped.do_handshake()
        return wrapped

    def _hold(self, opened: socket.socket) -> None:
        with self._lock:
            self._socket = opened
            if self._cut:
                raise OSError("the attempt was cut short")


def refuses(error: BaseException | None) -> bool:
    """Whether a TLS error is about certificates, so that trying again soon is of no use."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return True
    return isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or "")
