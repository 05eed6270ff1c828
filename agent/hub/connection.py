"""A TCP or TLS connection that another thread can abort at any time, even while it is being established."""

import contextlib
import socket
import ssl
import threading
from typing import Any

TIMEOUT_S = 5.0  # limit for connecting to each address, and for the TLS handshake


class _AlertRecordingSocket(ssl.SSLSocket):
    """Records the alert of a broker that refuses our certificate: with TLS 1.3 it comes only after the handshake."""

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


class TcpConnection:
    """One attempt to connect, and the resulting connection."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self._host, self._port, self._tls = host, port, tls
        self._lock = threading.Lock()
        self._aborted = False
        self._socket: socket.socket | None = None

    def open(self) -> socket.socket:
        """Try each address of the host. OSError (ssl.SSLError is one) if none answers or abort() was called."""
        failure: OSError = OSError(f"{self._host} has no address")
        for family, kind, protocol, _, address in self._addresses():
            opened = socket.socket(family, kind, protocol)
            try:
                return self._connect(opened, address)
            except OSError as error:
                failure = error
                self.close()
                opened.close()
        raise failure

    def abort(self) -> None:
        """End the connection or the attempt, from any thread. The thread that opened the socket closes it."""
        with self._lock:
            self._aborted = True
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    # Not SSLSocket.shutdown: after it the other thread would continue in clear text.
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the socket. Only for the thread that reads and writes it."""
        with self._lock:
            if self._socket is not None:
                self._socket.close()

    @property
    def alert(self) -> ssl.SSLError | None:
        """The alert with which the TLS peer ended the connection; None if there was none."""
        return self._socket.alert if isinstance(self._socket, _AlertRecordingSocket) else None

    def _addresses(self) -> list[Any]:
        try:
            return socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except UnicodeError as error:  # raised by the codec for host names
            raise OSError(f"{self._host} is not a host name: {error}") from error

    def _connect(self, opened: socket.socket, address: Any) -> socket.socket:  # noqa: ANN401 - depends on the family
        self._use(opened)
        opened.settimeout(TIMEOUT_S)
        opened.connect(address)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # send small packets immediately
        return self._secure(opened, self._tls) if self._tls else opened

    def _secure(self, opened: socket.socket, tls: ssl.SSLContext) -> ssl.SSLSocket:
        tls.sslsocket_class = _AlertRecordingSocket
        wrapped = tls.wrap_socket(opened, server_hostname=self._host, do_handshake_on_connect=False)
        self._use(wrapped)
        wrapped.do_handshake()
        return wrapped

    def _use(self, opened: socket.socket) -> None:
        with self._lock:
            self._socket = opened
            if self._aborted:
                raise OSError("the connection was aborted")


def is_certificate_error(error: BaseException | None) -> bool:
    """Whether a TLS error is about certificates, so that retrying soon cannot help."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return True
    return isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or "")
