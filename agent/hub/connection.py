"""A TCP or TLS connection that another thread can abort at any time, even while it is being established.

Looking up the name, connecting to every address and the TLS handshake have one deadline together. The addresses are
tried side by side, each a moment after the one before it (RFC 8305), so a good one is reached behind many silent ones.
"""

import contextlib
import errno
import itertools
import os
import select
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

from agent.config import is_this_computer
from agent.hub.lookup import Address, NameLookup

OPEN_S = 10.0  # limit for look-up, connecting and handshake together
GAP_S = 0.25  # between the beginnings of two attempts (RFC 8305, section 5)
SLICE_S = 0.1  # how soon abort() is noticed
TIMEOUT_S = 5.0  # of the open socket, for a caller that does not make it non-blocking
MAX_ADDRESSES = 32  # more are not tried: a name server may answer with thousands


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
    """One attempt to connect, and the resulting connection.

    `on_wait` is called several times a second while the connection is being established. `turn` says which address
    comes first: the caller counts it up after a failure, since a server may accept and then not answer. `only_here`
    allows loopback addresses only.
    """

    def __init__(
        self,
        host: str,
        port: int,
        tls: ssl.SSLContext | None,
        *,
        lookup: NameLookup | None = None,
        turn: int = 0,
        only_here: bool = False,
        on_wait: Callable[[], None] = lambda: None,
    ) -> None:
        self._host, self._tls = host, tls
        self._lookup = lookup or NameLookup(host, port)
        self._turn, self._only_here = turn, only_here
        self._on_wait = on_wait
        self._lock = threading.Lock()
        self._aborted = False
        self._socket: socket.socket | None = None

    def open(self) -> socket.socket:
        """Connect to the first address that answers. OSError (ssl.SSLError is one) if none does or abort() was called.

        TimeoutError if that takes longer than OPEN_S.
        """
        deadline = time.monotonic() + OPEN_S
        attempts = _Attempts(in_turn(self._addresses(deadline), self._turn), self._use)
        failure: OSError | None = None  # of an address that accepted: it says more than a silent one
        try:
            for connected in attempts.connected(lambda: self._pause(deadline, "no address answers")):
                # A server that accepts and then says nothing leaves time for the others.
                now = time.monotonic()
                until = now + (deadline - now) / (2 if attempts.others else 1)
                try:
                    return self._secured(connected, until)
                except OSError as error:
                    failure = error
                    self.close()
                    connected.close()
                    self._check_aborted()
        except TimeoutError as error:
            raise failure or attempts.failure or error from None
        finally:
            attempts.close()
        self._check_aborted()
        raise failure or attempts.failure or OSError(f"{self._host} has no address")

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

    def _addresses(self, deadline: float) -> list[Address]:
        while (found := self._lookup.addresses(SLICE_S)) is None:
            self._pause(deadline, f"the name servers do not answer for {self._host}")
        here = [address for address in found if not self._only_here or is_loopback(address)]
        if found and not here:
            raise OSError(f"{self._host} is not this computer, and clear text must not leave it: set hub.tls")
        return here

    def _secured(self, connected: socket.socket, deadline: float) -> socket.socket:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # send small packets immediately
        opened = self._handshake(connected, self._tls, deadline) if self._tls else connected
        opened.settimeout(TIMEOUT_S)
        self._use(opened)
        return opened

    def _handshake(self, connected: socket.socket, tls: ssl.SSLContext, deadline: float) -> ssl.SSLSocket:
        tls.sslsocket_class = _AlertRecordingSocket
        wrapped = tls.wrap_socket(connected, server_hostname=self._host, do_handshake_on_connect=False)
        self._use(wrapped)
        poll = select.poll()
        while True:
            try:
                wrapped.do_handshake()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as wants:
                reads = isinstance(wants, ssl.SSLWantReadError)
                poll.register(wrapped, select.POLLIN if reads else select.POLLOUT)
            else:
                return wrapped
            self._pause(deadline, "the server does not finish the TLS handshake")
            poll.poll(SLICE_S * 1000)

    def _pause(self, deadline: float, why: str) -> None:
        """Called between two short waits. TimeoutError after the deadline."""
        self._check_aborted()
        self._on_wait()
        if time.monotonic() > deadline:
            raise TimeoutError(f"{why} within {OPEN_S:.0f} s")

    def _use(self, opened: socket.socket) -> None:
        """Let abort() and close() know of a socket."""
        with self._lock:
            self._socket = opened
        self._check_aborted()

    def _check_aborted(self) -> None:
        if self._aborted:
            raise OSError("the connection was aborted")


class _Attempts:
    """Connections to several addresses, begun one after the other without waiting for the outcome of the first."""

    def __init__(self, addresses: list[Address], begun: Callable[[socket.socket], None]) -> None:
        self._waiting = deque(addresses)
        self._begun = begun
        self._gap = min(GAP_S, OPEN_S / 2 / max(len(addresses), 1))
        self._next_at = 0.0
        self._connecting: dict[int, socket.socket] = {}
        self._poll = select.poll()
        self.failure: OSError | None = None

    @property
    def others(self) -> bool:
        """Whether an address is left beside those that have connected."""
        return bool(self._waiting or self._connecting)

    def connected(self, pause: Callable[[], None]) -> Iterator[socket.socket]:
        """The sockets that are connected, in the order in which that happens; the caller closes them."""
        while self.others:
            pause()
            now = time.monotonic()
            if self._waiting and (now >= self._next_at or not self._connecting):
                self._next_at = now + self._gap
                self._begin(self._waiting.popleft())
            wait = min(SLICE_S, self._next_at - now) if self._waiting else SLICE_S
            for number, _ in self._poll.poll(max(wait, 0.0) * 1000) if self._connecting else ():
                if (opened := self._finished(number)) is not None:
                    yield opened

    def close(self) -> None:
        """Close the sockets that are still connecting."""
        for opened in self._connecting.values():
            opened.close()
        self._connecting.clear()

    def _begin(self, address: Address) -> None:
        try:
            opened = socket.socket(address.family, address.kind, address.protocol)
        except OSError as error:  # no IPv6 on this kiosk
            self.failure = error
            return
        opened.setblocking(False)
        number = opened.fileno()
        self._connecting[number] = opened
        self._begun(opened)
        status = opened.connect_ex(address.place)
        if status in (0, errno.EINPROGRESS):
            self._poll.register(opened, select.POLLOUT)
        else:
            self._failed(number, status)

    def _finished(self, number: int) -> socket.socket | None:
        """The socket with this file descriptor if it is connected, None if the attempt has failed."""
        self._poll.unregister(number)
        status = self._connecting[number].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if status:
            self._failed(number, status)
            return None
        return self._connecting.pop(number)

    def _failed(self, number: int, status: int) -> None:
        self.failure = OSError(status, os.strerror(status))
        self._connecting.pop(number).close()
        self._next_at = 0.0


def in_turn(addresses: list[Address], turn: int) -> list[Address]:
    """At most MAX_ADDRESSES addresses, the families alternating (RFC 8305, section 4), from the given turn on."""
    families: dict[int, list[Address]] = {}
    for address in addresses:
        families.setdefault(address.family, []).append(address)
    mixed = [each for row in itertools.zip_longest(*families.values()) for each in row if each is not None]
    first = turn % len(mixed) if mixed else 0
    return (mixed[first:] + mixed[:first])[:MAX_ADDRESSES]


def is_loopback(address: Address) -> bool:
    """Whether an address is one of this computer that no packet leaves for."""
    return address.family in (socket.AF_INET, socket.AF_INET6) and is_this_computer(address.place[0])


def is_certificate_error(error: BaseException | None) -> bool:
    """Whether a TLS error is about certificates, so that retrying soon cannot help."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return True
    return isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or "")
