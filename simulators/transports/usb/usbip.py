"""Exports a simulated USB device over USB/IP on a TCP port, for our driver and any other USB/IP client.

The PyPI package `usbip` also has a server. Tests need what it does not have: one importer at a time, a cable that is
pulled in the middle of a transfer, correct answers to an unlink, and threads that end.
"""

import socket
import struct
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

from simulators.transports.ticker import Ticker
from simulators.transports.usb.device import Setup, UsbModel
from simulators.transports.usb.port import End, HostTransfer, UsbPort
from simulators.transports.usb.standard import INTERFACE, descriptors

VERSION = 0x0111
REQ_DEVLIST, REP_DEVLIST, REQ_IMPORT, REP_IMPORT = 0x8005, 0x0005, 0x8003, 0x0003
CMD_SUBMIT, CMD_UNLINK, RET_SUBMIT, RET_UNLINK = 1, 2, 3, 4
OK, BUSY, NO_DEVICE = 0, 2, 4
DEVICE = struct.Struct(">256s32sIIIHHHBBBBBB")
HEADER = struct.Struct(">5I5i8s")
SPEEDS = {"low": 1, "full": 2, "high": 3, "super": 5}
STATUS = {End.DONE: 0, End.STALLED: -32, End.GONE: -108}  # EPIPE, ESHUTDOWN
UNLINKED = -104  # ECONNRESET
FULL_SPEED = 1_000_000.0  # bytes per second of bulk data at full speed, approximately
LONGEST_OUT = 1 << 20  # bytes of one transfer to the device


def _nothing() -> None:
    """Used while no watcher is registered."""


class UsbIpServer:
    """Exports `model` while the context lasts. `bytes_per_s` is the transfer rate; None: no limit."""

    def __init__(
        self,
        model: UsbModel,
        port: int = 0,
        *,
        host: str = "127.0.0.1",
        busid: str = "1-1",
        bytes_per_s: float | None = None,
    ) -> None:
        self.model = model
        self.busid = busid
        self._ticker = Ticker()
        self._listener = socket.create_server((host, port))
        self.host, self.tcp_port = self._listener.getsockname()[:2]
        self.port = UsbPort(model, time.monotonic, self._ticker.later, bytes_per_s=bytes_per_s, on_unplug=self._hang_up)
        self.unplugged = threading.Event()  # set while the cable is out
        self.freed = threading.Event()  # set while no client has imported the device
        self._lock = threading.Lock()
        self._importer: socket.socket | None = None
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._unwatch = _nothing
        self._accepting = threading.Thread(target=self._accept, name=f"usbip server {self.tcp_port}", daemon=True)

    @property
    def url(self) -> str:
        """The URL that a driver opens."""
        return f"usbip://{self.host}:{self.tcp_port}/{self.busid}"

    def __enter__(self) -> Self:
        self.port.plug()
        self._unwatch = self.model.faults.watch(self.port.notice_faults)
        self._accepting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Pull the cable and end every thread."""
        self._unwatch()
        self._unwatch = _nothing
        self._ticker.close()
        self.port.unplug()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        if self._accepting.ident is not None:
            self._accepting.join()
        for connection, thread in tuple(self._connections.items()):
            _shut(connection)
            thread.join()

    def unplug(self) -> None:
        """Pull the cable."""
        self.port.unplug()

    def unplug_after(self, count: int) -> None:
        """Pull the cable automatically after `count` more bytes were sent to the host."""
        self.port.unplug_after(count)

    def replug(self) -> None:
        """Put the cable back: the device powers on with its initial state."""
        self.unplugged.clear()
        self.port.plug()

    def _hang_up(self) -> None:
        """End the connection when the device is gone, as the kernel's server does."""
        self.unplugged.set()
        with self._lock:
            importer, self._importer = self._importer, None
            self.freed.set()
        if importer is not None:
            _shut(importer)

    # One thread accepts connections; each connection has its own thread

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                thread = threading.Thread(target=self._serve, args=(connection,), name="usbip server", daemon=True)
                self._connections[connection] = thread
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                with suppress(OSError, struct.error):
                    if self._handshake(connection):
                        _Session(connection, self.port).run()
                self._free(
                    connection
                )  # before the connection is closed: the importer may reopen the device immediately
        finally:
            self._connections.pop(connection, None)

    def _free(self, connection: socket.socket) -> None:
        with self._lock:
            if self._importer is connection:
                self._importer = None
                self.freed.set()

    def _handshake(self, connection: socket.socket) -> bool:
        """Answer the first request. True if it imported the device."""
        _, code, _ = struct.unpack(">HHI", _exactly(connection, 8))
        if code == REQ_DEVLIST:
            connection.sendall(self._device_list())
        if code != REQ_IMPORT:
            return False
        status = self._import(connection, _exactly(connection, 32).rstrip(b"\0").decode("ascii", "replace"))
        record = self._record() if status == OK else b""
        connection.sendall(struct.pack(">HHI", VERSION, REP_IMPORT, status) + record)
        return status == OK

    def _import(self, connection: socket.socket, busid: str) -> int:
        if busid != self.busid or not self.port.plugged:
            return NO_DEVICE
        with self._lock:
            if self._importer is not None:
                return BUSY
            self._importer = connection
            self.freed.clear()
            return OK

    def _device_list(self) -> bytes:
        if not self.port.plugged:
            return struct.pack(">HHII", VERSION, REP_DEVLIST, 0, 0)
        kinds = [d[5:8] for d in _interfaces(self.model.description.configuration)]
        interfaces = b"".join(kind + b"\0" for kind in kinds)
        return struct.pack(">HHII", VERSION, REP_DEVLIST, 0, 1) + self._record() + interfaces

    def _record(self) -> bytes:
        about = self.model.description
        bus, number = 1, 1 + self.port.plugs % 126  # a new address after each plugging in
        return DEVICE.pack(
            f"/sys/devices/virtual/usb1/{self.busid}".encode(),
            self.busid.encode(),
            bus,
            number,
            SPEEDS[about.speed],
            about.vendor,
            about.product,
            about.bcd_device,
            *about.device_class,
            1,
            1,
            len(_interfaces(about.configuration)),
        )


def _interfaces(configuration: bytes) -> list[bytes]:
    """The interface descriptors without alternate settings."""
    return [d for d in descriptors(configuration) if len(d) >= 9 and d[1] == INTERFACE and d[3] == 0]


class _Session:
    """The transfers of one importer."""

    def __init__(self, connection: socket.socket, port: UsbPort) -> None:
        self._connection = connection
        self._port = port
        self._lock = threading.Lock()  # for sending
        self._in_flight: dict[int, HostTransfer] = {}

    def run(self) -> None:
        """Serve requests until the importer closes the connection, which raises OSError."""
        try:
            while True:
                self._handle(HEADER.unpack(_exactly(self._connection, HEADER.size)))
        finally:
            for transfer in tuple(self._in_flight.values()):
                self._port.unlink(transfer)

    def _handle(self, header: tuple[int, int, int, int, int, int, int, int, int, int, bytes]) -> None:
        command, sequence, _, inward, endpoint, first, length, _, _, _, setup = header
        if command == CMD_UNLINK:
            self._unlink(sequence, first)
        elif command == CMD_SUBMIT and length >= 0 and (inward or length <= LONGEST_OUT):
            data = b"" if inward else _exactly(self._connection, length)
            self._submit(sequence, endpoint | (0x80 if inward else 0), length, data, setup)
        else:
            raise ConnectionError("not a USB/IP message")

    def _submit(self, sequence: int, address: int, length: int, data: bytes, setup: bytes) -> None:
        control = Setup.from_bytes(setup) if address & 0x0F == 0 else None
        transfer = HostTransfer(
            0 if control else address,
            length,
            lambda end, answer: self._completed(sequence, address, end, answer),
            data,
            control,
        )
        self._in_flight[sequence] = transfer
        self._port.submit(transfer)

    def _completed(self, sequence: int, address: int, end: End, data: bytes) -> None:
        """Called under the port's lock."""
        transfer = self._in_flight.pop(sequence, None)
        if transfer is None:
            return
        count = len(data) if address & 0x80 else len(transfer.data) if end is End.DONE else 0
        self._send(RET_SUBMIT, sequence, STATUS[end], count, data)

    def _unlink(self, sequence: int, unlinked: int) -> None:
        transfer = self._in_flight.get(unlinked)
        taken = transfer is not None and self._port.unlink(transfer)
        if taken:
            self._in_flight.pop(unlinked, None)
        self._send(RET_UNLINK, sequence, UNLINKED if taken else 0)

    def _send(self, command: int, sequence: int, status: int, count: int = 0, data: bytes = b"") -> None:
        with self._lock, suppress(OSError):
            self._connection.sendall(HEADER.pack(command, sequence, 0, 0, 0, status, count, 0, 0, 0, b"") + data)


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise ConnectionError("connection closed")
        data += part
    return bytes(data)


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
