"""USB devices that a USB/IP server exports over TCP. Needs no kernel module and no root account.

The protocol is that of the Linux kernel (Documentation/usb/usbip_protocol.rst, version 1.1.1). A device is imported by
its bus id. Then each transfer is a numbered message in each direction; any number may be in flight. If the connection
is lost, the device counts as unplugged.
"""

import socket
import struct
import threading
from contextlib import suppress
from dataclasses import replace

from drivers.errors import LinkLost, ProtocolError
from drivers.usb.configuration import WantedInterface
from drivers.usb.link import UsbIdentity, UsbLink
from drivers.usb.transfers import IN, Link, Outcome, ThreadedBackend, Transfer
from drivers.usb.url import UsbIpUrl
from drivers.usb.usbip_import import (
    HANDSHAKE_TIMEOUT_S,
    ExportedDevice,
    await_connection,
    import_device,
    receive_exactly,
    start_connecting,
)

CMD_SUBMIT, CMD_UNLINK, RET_SUBMIT, RET_UNLINK = 1, 2, 3, 4
HEADER = struct.Struct(
    ">5I5i8s"
)  # command, sequence, device, direction, endpoint; five words that depend on the command; setup
CLOSE_TIMEOUT_S = 0.15  # close() waits at most this long for the server to free the device
CLEAR_HALT_TIMEOUT_S = 0.2  # a cancel does not end this wait
MAX_TRANSFER_BYTES = 64 << 20  # a longer answer is invalid

EPIPE, ENOENT, ECONNRESET, ENODEV, ESHUTDOWN = (
    -32,
    -2,
    -104,
    -19,
    -108,
)  # the numbers of Linux, whatever the server runs on
OUTCOMES = {
    0: Outcome.DONE,
    -121: Outcome.DONE,  # EREMOTEIO: a short transfer, if the kernel was asked to report it
    EPIPE: Outcome.STALLED,
    ENODEV: Outcome.GONE,
    ESHUTDOWN: Outcome.GONE,
    ENOENT: Outcome.CANCELLED,
    ECONNRESET: Outcome.CANCELLED,
}

GET_DESCRIPTOR = 6
DEVICE_DESCRIPTOR, CONFIGURATION_DESCRIPTOR, STRING_DESCRIPTOR = 1, 2, 3
DEVICE_DESCRIPTOR_BYTES, SERIAL_AT = 18, 16
MAX_CONFIGURATION_BYTES = 0xFFFF
MAX_STRING_BYTES = 255


def open_usbip(url: UsbIpUrl, interface: WantedInterface) -> UsbLink:
    """Imports the device with all its interfaces. LinkLost or DeviceBusy if that is not possible."""
    link = begin_usbip(url, interface)
    try:
        link.ready()
    except BaseException:
        link.close()
        raise
    return link


def begin_usbip(url: UsbIpUrl, interface: WantedInterface) -> "UsbIpLink":
    """Begins to import the device. The first use of the link raises the error, if any; cancel() can end that wait."""
    del interface
    return UsbIpLink(UsbIpTransfers(url))


class UsbIpLink(Link):
    """A link that exists before its device is imported. Reading identity or configuration waits for the import."""

    def __init__(self, backend: "UsbIpTransfers") -> None:
        self._backend = backend
        self._described = False
        super().__init__(backend)

    def ready(self) -> None:
        """Waits until the device is imported and its descriptors are read. LinkLost, Cancelled."""
        if self._described:
            return
        backend, engine = self._backend, self._engine
        engine.wait(lambda: backend.imported or backend.lost is not None, HANDSHAKE_TIMEOUT_S)
        if not backend.imported:
            raise backend.lost or LinkLost(f"{backend.url}: the server accepts the connection but does not answer")
        backend.configuration = self._configuration()
        backend.identity = replace(backend.identity, serial=self._serial())
        engine.name = str(backend.identity)
        self._described = True

    @property
    def identity(self) -> UsbIdentity:
        """The identity of the device. LinkLost, Cancelled."""
        self.ready()
        return self._backend.identity

    @identity.setter
    def identity(self, _: UsbIdentity) -> None:
        """Ignored: always that of the backend."""

    @property
    def configuration(self) -> bytes:
        """The raw active configuration descriptor. LinkLost, Cancelled."""
        self.ready()
        return self._backend.configuration

    @configuration.setter
    def configuration(self, _: bytes) -> None:
        """Ignored: always that of the backend."""

    def _configuration(self) -> bytes:
        raw = self._descriptor(CONFIGURATION_DESCRIPTOR, 0, MAX_CONFIGURATION_BYTES)
        if raw is None:
            raise LinkLost(
                f"{self._backend.url}: the device sends no configuration descriptor; unplug it and plug it in again"
            )
        return raw

    def _serial(self) -> str:
        """The serial number; empty if the device has none."""
        device = self._descriptor(DEVICE_DESCRIPTOR, 0, DEVICE_DESCRIPTOR_BYTES) or b""
        if len(device) != DEVICE_DESCRIPTOR_BYTES or not device[SERIAL_AT]:
            return ""
        text = self._descriptor(STRING_DESCRIPTOR, device[SERIAL_AT], MAX_STRING_BYTES, language=0x0409) or b""
        return text[2:].decode("utf-16-le", "replace")

    def _descriptor(self, kind: int, number: int, size: int, language: int = 0) -> bytes | None:
        """Reads a descriptor; None if the device does not send it. LinkLost, Cancelled."""
        with suppress(ProtocolError):
            return self.control_in(IN, GET_DESCRIPTOR, kind << 8 | number, language, size, HANDSHAKE_TIMEOUT_S)
        return None


class UsbIpTransfers(ThreadedBackend):
    """A TransferBackend for one imported device. A separate thread reads the answers."""

    def __init__(self, url: UsbIpUrl) -> None:
        super().__init__()
        self.url = url
        self.identity = UsbIdentity(0, 0, port=url.busid)
        self.configuration = b""
        self.imported = False
        self.lost: LinkLost | None = None  # why the device was not imported
        self._device_id = 0
        self._lock = threading.Lock()  # protects the fields below, and sending
        self._sequence = 0
        self._in_flight: dict[int, Transfer] = {}
        self._unlinking: dict[int, int] = {}  # sequence number of CMD_UNLINK -> that of the transfer
        self._alive = False
        self._connection = start_connecting(url)
        self._thread = threading.Thread(target=self._run, name=f"usbip {url.busid}", daemon=True)
        self._thread.start()

    def submit(self, transfer: Transfer) -> None:
        """Submits a transfer."""
        with self._lock:
            if not self._alive:
                raise LinkLost(f"{self.url}: unplugged, or its server has stopped")
            self._sequence += 1
            self._in_flight[self._sequence] = transfer
            head = self._header(CMD_SUBMIT, self._sequence, transfer)
            self._send(head + (b"" if transfer.is_in else transfer.payload))

    def _header(self, command: int, sequence: int, transfer: Transfer) -> bytes:
        return HEADER.pack(
            command,
            sequence,
            self._device_id,
            int(transfer.is_in),
            transfer.endpoint & 0x0F,
            0,
            transfer.size,
            0,
            0,
            0,
            transfer.setup,
        )

    def _send(self, data: bytes) -> None:
        """Sends, with the lock held. If that fails, the receiving thread notices it and ends every transfer."""
        with suppress(OSError):
            self._connection.sendall(data)

    def cancel_transfer(self, transfer: Transfer) -> None:
        """Cancels a transfer; it ends later."""
        with self._lock:
            numbers = [number for number, flying in self._in_flight.items() if flying is transfer]
            if numbers and self._alive:
                self._sequence += 1
                self._unlinking[self._sequence] = numbers[0]
                command = (CMD_UNLINK, self._sequence, self._device_id, 0, 0, numbers[0], 0, 0, 0, 0, b"")
                self._send(HEADER.pack(*command))

    def claim(self, interface: int) -> None:
        """Does nothing: importing a device claims all its interfaces."""

    def clear_halt(self, endpoint: int) -> None:
        """Clears the halt of an endpoint that stalled."""
        transfer = Transfer(0, 0, setup=struct.pack("<BBHHH", 0x02, 1, 0, endpoint, 0))
        self.submit(transfer)
        self.wait(lambda: transfer.ended, CLEAR_HALT_TIMEOUT_S)

    def present(self) -> bool:
        """Whether the connection to the server is still open."""
        return self._alive

    def close(self) -> None:
        """Closes the connection. The server then cancels all transfers, frees the device and closes its side."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)
        if threading.current_thread() is not self._thread and self.imported and not self._unlinking:
            self._thread.join(CLOSE_TIMEOUT_S)  # otherwise the next open() could find the device still busy
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        if threading.current_thread() is not self._thread:
            self._thread.join()
        self._connection.close()

    # The receiving thread

    def _run(self) -> None:
        try:
            await_connection(self._connection, self.url)
            self._imported(import_device(self._connection, self.url))
        except LinkLost as lost:
            self.lost = lost
        except OSError as error:
            self.lost = LinkLost(f"{self.url}: {error}")
        else:
            self._receive()
        self.wake()

    def _imported(self, device: ExportedDevice) -> None:
        self._connection.settimeout(None)
        self._device_id = device.device_id
        self.identity = UsbIdentity(device.vendor, device.product, "", self.url.busid, device.bcd_device, device.speed)
        self._alive = self.imported = True
        self.wake()

    def _receive(self) -> None:
        with suppress(OSError, struct.error):
            while self._handle_message(HEADER.unpack(receive_exactly(self._connection, HEADER.size))):
                pass
        with self._lock:
            self._alive = False
            lost = list(self._in_flight.values())
            self._in_flight.clear()
        for transfer in lost:
            self.finish(transfer, Outcome.GONE)
        self.wake()

    def _handle_message(self, header: tuple[int, ...]) -> bool:
        """Handles one message of the server. False if it is not valid."""
        command, sequence, _, _, _, status, count, *_ = header
        if command == RET_UNLINK:
            self._unlinked(sequence)
            return True
        return command == RET_SUBMIT and self._completed(sequence, status, count)

    def _completed(self, sequence: int, status: int, count: int) -> bool:
        with self._lock:
            transfer = self._in_flight.pop(sequence, None)
        if transfer is None or not 0 <= count <= min(transfer.size, MAX_TRANSFER_BYTES):
            return False
        data = receive_exactly(self._connection, count) if transfer.is_in else b""
        self.finish(transfer, OUTCOMES.get(status, Outcome.FAILED), data)
        return True

    def _unlinked(self, sequence: int) -> None:
        with self._lock:
            transfer = self._in_flight.pop(self._unlinking.pop(sequence, 0), None)
        if transfer is not None:
            self.finish(transfer, Outcome.CANCELLED)
