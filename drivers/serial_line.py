"""Transports over a serial port and over a TCP socket: a file descriptor, and a wait that cancel() ends immediately.

pyserial claims and configures the tty. This module does the reading, because pyserial configures the port again each
time the timeout changes, forgets a cancel when no read is running, and cannot cancel a read of a socket.
"""

import errno
import fcntl
import os
import select
import socket
import struct
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

import serial

from drivers.errors import (
    GRANT_ACCESS_COMMAND,
    POLICY_ADVICE,
    Cancelled,
    DeviceBusy,
    LinkLost,
    PermissionDenied,
    PolicyDenied,
)

MAX_READ_BYTES = 65_536
# The message when the first write times out: the kernel is then still trying to connect.
NOT_CONNECTED = "no connection within 2 s; check host, port and cable"
WRITE_TIMEOUT_S = 2.0  # a command has a few bytes; a port that accepts none of them for this long is gone

# ioctl() numbers and the structure termios2 of Linux on all common architectures. tcgetattr() does not know every rate.
_TCGETS2, _TCSETS2 = 0x802C542A, 0x402C542B
_TERMIOS2 = struct.Struct("4IB19B2I")
_CONTROL_FLAGS = 2  # place of c_cflag in it

_FORBIDDEN = f"no permission for the port; to grant it to this account, run: {GRANT_ACCESS_COMMAND}"
_LOST: dict[int, type[LinkLost]] = {
    errno.EACCES: PermissionDenied,
    errno.EPERM: PolicyDenied,
    errno.EAGAIN: DeviceBusy,
    errno.EBUSY: DeviceBusy,
}
_ADVICE = {
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: POLICY_ADVICE,
    errno.EAGAIN: "another program holds the port",
    errno.EBUSY: "another program holds the port",
    errno.ENOENT: "no such port; is the device plugged in?",
    errno.EISDIR: "a folder, not a serial port",
    errno.ENOTTY: "a file, not a serial port",
}


class _Device(Protocol):
    def fileno(self) -> int: ...

    def close(self) -> None: ...


class StreamTransport:
    """A Transport over a non-blocking file descriptor, of a tty or a socket."""

    def __init__(self, name: str, device: _Device, write_failure: str = "does not accept data") -> None:
        self._name = name
        self._device = device
        self._write_failure = write_failure  # the message when a write times out
        self._fd = device.fileno()
        self._lock = threading.Lock()  # cancel() may run at the same time as close()
        self._closed = False
        self._wake = os.eventfd(
            0, os.EFD_NONBLOCK | os.EFD_CLOEXEC
        )  # readable after cancel(), until it has ended a wait
        self._reading = self._watch(select.POLLIN)
        self._writing = self._watch(select.POLLOUT)

    def read(self, timeout: float) -> bytes:
        """Returns what has arrived, after at most `timeout` seconds. Empty if nothing has arrived."""
        if not self._wait(self._reading, timeout):
            return b""
        try:
            data = os.read(self._fd, MAX_READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise LinkLost(f"{self._name}: {error.strerror}") from error
        if not data:
            raise LinkLost(f"{self._name}: the other side closed the connection")
        return data

    def write(self, data: bytes) -> None:
        """Sends everything. LinkLost if the port accepts no byte for WRITE_TIMEOUT_S."""
        left = memoryview(data)
        while left:
            if not self._wait(self._writing, WRITE_TIMEOUT_S):
                raise LinkLost(f"{self._name}: {self._write_failure}")
            try:
                left = left[os.write(self._fd, left) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise LinkLost(f"{self._name}: {error.strerror}") from error

    def cancel(self) -> None:
        """Ends the running or the next wait with Cancelled."""
        with self._lock:
            if not self._closed:
                os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """Releases the port. Never raises; may be called twice."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            os.close(self._wake)
        with suppress(OSError, termios.error):
            self._device.close()

    def _watch(self, event: int) -> select.poll:
        poll = select.poll()
        poll.register(self._fd, event)
        poll.register(self._wake, select.POLLIN)
        return poll

    def _wait(self, poll: select.poll, timeout: float) -> bool:
        """Whether the port is ready within `timeout` seconds. If it is broken, the next system call reports why."""
        if self._closed:
            raise LinkLost(f"{self._name}: closed")
        ready = [fd for fd, _ in poll.poll(max(timeout, 0.0) * 1000)]
        if self._wake in ready:
            os.eventfd_read(self._wake)
            raise Cancelled(self._name)
        return bool(ready)


class SerialTransport(StreamTransport):
    """A Transport over a tty. Its rate can be changed while it is open."""

    def __init__(self, path: str, port: serial.Serial) -> None:
        super().__init__(path, port)
        self._port = port

    def set_baud(self, baud: int) -> None:
        """Changes the rate and drops what has arrived at the old one. LinkLost if that is not possible."""
        if self._closed:
            raise LinkLost(f"{self._name}: closed")
        with _as_lost_link(self._name):
            self._port.baudrate = baud
            self._port.reset_input_buffer()


def open_serial(path: str, baud: int) -> SerialTransport:
    """Claims a tty: 8N1, no flow control; modem lines are not needed.

    LinkLost if that is not possible: DeviceBusy if another program holds it, PermissionDenied if this account may not.
    """
    with _as_lost_link(path):
        port = serial.Serial(path, baud, timeout=0, exclusive=True)
    _keep_dtr(port.fileno())
    return SerialTransport(path, port)


@contextmanager
def _as_lost_link(name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, termios.error, ValueError, OverflowError) as error:
        lost = _LOST.get(_number(error), LinkLost)
        raise lost(f"{name}: {_explain(error)}") from error


def _keep_dtr(port: int) -> None:
    """Clears HUPCL, so that the kernel leaves DTR on when the port is closed.

    Some adapter boards restart their module when DTR rises, and the module is then deaf for seconds. Now this happens
    at the first opening only. A port that cannot do it is used as it is.
    """
    with suppress(OSError):
        fields = list(_TERMIOS2.unpack(fcntl.ioctl(port, _TCGETS2, bytes(_TERMIOS2.size))))
        fields[_CONTROL_FLAGS] &= ~termios.HUPCL
        fcntl.ioctl(port, _TCSETS2, _TERMIOS2.pack(*fields))


def open_socket(address: str, port: int) -> StreamTransport:
    """Begins to connect to an IP address. The first read or write waits for the connection.

    LinkLost if the address is not valid or there is no route to it.
    """
    name = f"{address}:{port}"
    try:
        found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        family, kind, protocol, _, where = found[0]
        connection = socket.socket(family, kind, protocol)
    except (OSError, ValueError) as error:
        raise LinkLost(f"{name}: {_explain(error)}") from error
    connection.setblocking(False)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    status = connection.connect_ex(where)
    if status not in (0, errno.EINPROGRESS):
        connection.close()
        raise LinkLost(f"{name}: {os.strerror(status)}")
    return StreamTransport(name, connection, NOT_CONNECTED)


def _explain(error: BaseException) -> str:
    return _ADVICE.get(_number(error), str(error))


def _number(error: BaseException | None) -> int:
    """The errno of an error, or of the one that caused it: pyserial wraps the errors of termios in its own."""
    while error is not None:
        if error.args and isinstance(error.args[0], int):
            return error.args[0]
        error = error.__context__
    return 0
