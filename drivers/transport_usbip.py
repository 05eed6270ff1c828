"""USB devices that a USB/IP server exports, over TCP: no kernel module and no root needed.

The protocol is that of the Linux kernel (Documentation/usb/usbip_protocol.rst, version 1.1.1): a device is imported by
its bus id, then each transfer is a numbered message each way, any number of them in flight; a lost connection is an
unplugged device.
"""

import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass

from drivers.errors import DeviceTaken, LinkLost
from drivers.usb_link import UsbIdentity, UsbLink
from drivers.usb_transfers import IN, Link, Outcome, Signals, Transfer
from drivers.usb_url import UsbIpUrl

VERSION = 0x0111
REQ_IMPORT, REP_IMPORT = 0x8003, 0x0003
CMD_SUBMIT, CMD_UNLINK, RET_SUBMIT, RET_UNLINK = 1, 2, 3, 4
DEVICE = struct.Struct(">256s32sIIIHHHBBBBBB")  # what the server says of a device
HEADER = struct.Struct(">5I5i8s")  # command, sequence, device, direction, endpoint; five words by command; set-up
SPEEDS = {1: "low", 2: "full", 3: "high", 5: "super", 6: "super"}
BUSY = 2  # ST_DEV_BUSY: imported by another
HANDSHAKE_S = 2.0  # connecting and importing; descriptors come after it with as much again
HANG_UP_S = 0.3  # longest that close() waits for the server to free the device
LARGEST = 64 << 20  # bytes of an answer: more is no answer but noise

EPIPE, ENOENT, ECONNRESET, ENODEV, ESHUTDOWN = -32, -2, -104, -19, -108  # as Linux numbers them, on any machine
OUTCOMES = {
    0: Outcome.DONE,
    -121: Outcome.DONE,  # EREMOTEIO: a short transfer where the kernel was asked to tell
    EPIPE: Outcome.STALLED,
    ENODEV: Outcome.GONE,
    ESHUTDOWN: Outcome.GONE,
    ENOENT: Outcome.TAKEN_BACK,
    ECONNRESET: Outcome.TAKEN_BACK,
}

GET_DESCRIPTOR = 6
DESCRIBE_DEVICE, DESCRIBE_CONFIGURATION, DESCRIBE_STRING = 1, 2, 3
LONGEST_CONFIGURATION = 0xFFFF
LONGEST_STRING = 255


@dataclass(frozen=True, slots=True)
class Exported:
    """What the server says of the device that was imported."""

    device_id: int
    speed: str
    vendor: int
    product: int
    bcd_device: int

    @classmethod
    def from_bytes(cls, data: bytes) -> "Exported":
        """Read the record of the wire."""
        _, _, bus, number, speed, vendor, product, bcd, *_ = DEVICE.unpack(data)
        return cls(bus << 16 | number, SPEEDS.get(speed, ""), vendor, product, bcd)


def open_usbip(url: UsbIpUrl, interface: int) -> UsbLink:
    """Import the device; every interface of it is then ours. LinkLost (DeviceTaken is one) says why not."""
    del interface
    connection, exported = _claim(url)
    wire = UsbIpWire(connection, exported, url)
    try:
        wire.describe()
    except BaseException:
        wire.close()
        raise
    return Link(wire)


def _claim(url: UsbIpUrl) -> tuple[socket.socket, Exported]:
    connection = _connect(url)
    try:
        return connection, _import(connection, url)
    except OSError as error:
        connection.close()
        raise LinkLost(f"{url}: {error}") from error
    except BaseException:
        connection.close()
        raise


def _connect(url: UsbIpUrl) -> socket.socket:
    try:
        connection = socket.create_connection((url.host, url.port), HANDSHAKE_S)
    except OSError as error:
        raise LinkLost(f"{url}: nothing is exported there ({error.strerror or error})") from error
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return connection


def _import(connection: socket.socket, url: UsbIpUrl) -> Exported:
    connection.sendall(struct.pack(">HHI32s", VERSION, REQ_IMPORT, 0, url.busid.encode()))
    _, code, status = struct.unpack(">HHI", _exactly(connection, 8))
    if code != REP_IMPORT:
        raise LinkLost(f"{url}: no USB/IP server answers there")
    if status == BUSY:
        raise DeviceTaken(f"{url}: another program has imported the device")
    if status:
        raise LinkLost(f"{url}: not plugged in there (status {status})")
    return Exported.from_bytes(_exactly(connection, DEVICE.size))


def _exactly(connection: socket.socket, count: int) -> bytes:
    """`count` bytes; ConnectionError when there are no more."""
    data = bytearray()
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise ConnectionError("hung up")
        data += part
    return bytes(data)


class UsbIpWire(Signals):
    """The transfers of one imported device. A thread of its own reads the answers."""

    def __init__(self, connection: socket.socket, exported: Exported, url: UsbIpUrl) -> None:
        super().__init__()
        self.identity = UsbIdentity(
            exported.vendor, exported.product, "", url.busid, exported.bcd_device, exported.speed
        )
        self.configuration = b""
        self._url = url
        self._connection = connection
        self._device_id = exported.device_id
        self._lock = threading.Lock()  # of what follows, and of sending
        self._sequence = 0
        self._flying: dict[int, Transfer] = {}
        self._unlinking: dict[int, int] = {}  # sequence of the order -> that of the transfer
        self._alive = True
        connection.settimeout(None)
        self._thread = threading.Thread(target=self._receive, name=f"usbip {url.busid}", daemon=True)
        self._thread.start()

    def describe(self) -> None:
        """Read the descriptors: the configuration raw, and the serial number where there is one. LinkLost."""
        about = self._descriptor(DESCRIBE_DEVICE, 0, 18)
        self.configuration = self._descriptor(DESCRIBE_CONFIGURATION, 0, LONGEST_CONFIGURATION)
        if len(about) == 18 and about[16]:
            text = self._descriptor(DESCRIBE_STRING, about[16], LONGEST_STRING, language=0x0409)
            known = self.identity
            serial = text[2:].decode("utf-16-le", "replace")
            self.identity = UsbIdentity(known.vendor, known.product, serial, known.port, known.bcd_device, known.speed)

    def _descriptor(self, kind: int, index: int, size: int, language: int = 0) -> bytes:
        setup = struct.pack("<BBHHH", IN, GET_DESCRIPTOR, kind << 8 | index, language, size)
        transfer = Transfer(0, size, setup=setup)
        self.submit(transfer)
        self.wait(lambda: transfer.ended, HANDSHAKE_S)
        if transfer.outcome is not Outcome.DONE and kind != DESCRIBE_STRING:
            raise LinkLost(f"{self._url}: does not describe itself; unplug it and plug it in again")
        return transfer.data

    def submit(self, transfer: Transfer) -> None:
        """Put a transfer in flight."""
        with self._lock:
            if not self._alive:
                raise LinkLost(f"{self._url}: unplugged, or its server has stopped")
            self._sequence += 1
            self._flying[self._sequence] = transfer
            head = self._header(CMD_SUBMIT, self._sequence, transfer)
            self._send(head + (b"" if transfer.inward else transfer.payload))

    def _header(self, command: int, sequence: int, transfer: Transfer) -> bytes:
        return HEADER.pack(
            command,
            sequence,
            self._device_id,
            int(transfer.inward),
            transfer.endpoint & 0x0F,
            0,
            transfer.size,
            0,
            0,
            0,
            transfer.setup,
        )

    def _send(self, data: bytes) -> None:
        """Send under the lock. A failure shows in the receiving thread, which ends every transfer."""
        with suppress(OSError):
            self._connection.sendall(data)

    def take_back(self, transfer: Transfer) -> None:
        """Ask for the end of a transfer."""
        with self._lock:
            numbers = [number for number, flying in self._flying.items() if flying is transfer]
            if numbers and self._alive:
                self._sequence += 1
                self._unlinking[self._sequence] = numbers[0]
                order = (CMD_UNLINK, self._sequence, self._device_id, 0, 0, numbers[0], 0, 0, 0, 0, b"")
                self._send(HEADER.pack(*order))

    def clear_halt(self, endpoint: int) -> None:
        """Let an endpoint that stalled go on."""
        transfer = Transfer(0, 0, setup=struct.pack("<BBHHH", 0x02, 1, 0, endpoint, 0))
        self.submit(transfer)
        self.wait(lambda: transfer.ended, 1.0)

    def present(self) -> bool:
        """Whether the server still holds the line."""
        return self._alive

    def close(self) -> None:
        """Hang up; the server then takes back what is in flight, frees the device and hangs up too."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)
        if threading.current_thread() is not self._thread:
            self._thread.join(HANG_UP_S)  # or the next open() would find the device taken, by us
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        if threading.current_thread() is not self._thread:
            self._thread.join()
        self._connection.close()

    # The receiving thread

    def _receive(self) -> None:
        with suppress(OSError, struct.error):
            while self._take(HEADER.unpack(_exactly(self._connection, HEADER.size))):
                pass
        with self._lock:
            self._alive = False
            lost = list(self._flying.values())
            self._flying.clear()
        for transfer in lost:
            self.finish(transfer, Outcome.GONE)
        self.nudge()

    def _take(self, header: tuple[int, ...]) -> bool:
        """One message of the server. False: it is none."""
        command, sequence, _, _, _, status, count, *_ = header
        if command == RET_UNLINK:
            self._unlinked(sequence)
            return True
        return command == RET_SUBMIT and self._completed(sequence, status, count)

    def _completed(self, sequence: int, status: int, count: int) -> bool:
        with self._lock:
            transfer = self._flying.pop(sequence, None)
        if transfer is None or not 0 <= count <= min(transfer.size, LARGEST):
            return False
        data = _exactly(self._connection, count) if transfer.inward else b""
        self.finish(transfer, OUTCOMES.get(status, Outcome.FAILED), data)
        return True

    def _unlinked(self, sequence: int) -> None:
        with self._lock:
            transfer = self._flying.pop(self._unlinking.pop(sequence, 0), None)
        if transfer is not None:
            self.finish(transfer, Outcome.TAKEN_BACK)
