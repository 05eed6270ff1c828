"""The first words with a USB/IP server: calling it, and importing one device of it. usbip.py goes on."""

import os
import select
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass

from drivers.errors import DeviceBusy, LinkLost
from drivers.usb.url import UsbIpUrl

VERSION = 0x0111
REQ_IMPORT, REP_IMPORT = 0x8003, 0x0003
DEVICE = struct.Struct(">256s32sIIIHHHBBBBBB")  # what the server says of a device
SPEEDS = {1: "low", 2: "full", 3: "high", 5: "super", 6: "super"}
BUSY = 2  # ST_DEV_BUSY: imported by another
HANDSHAKE_TIMEOUT_S = 2.0  # connecting and importing; descriptors come after it with as much again


@dataclass(frozen=True, slots=True)
class ExportedDevice:
    """What the server says of the device that was imported."""

    device_id: int
    speed: str
    vendor: int
    product: int
    bcd_device: int

    @classmethod
    def from_bytes(cls, data: bytes) -> "ExportedDevice":
        """Read the record of the wire."""
        _, _, bus, number, speed, vendor, product, bcd, *_ = DEVICE.unpack(data)
        return cls(bus << 16 | number, SPEEDS.get(speed, ""), vendor, product, bcd)


def start_connecting(url: UsbIpUrl) -> socket.socket:
    """A socket that is calling the server."""
    connection = socket.socket(socket.AF_INET6 if ":" in url.host else socket.AF_INET)
    connection.setblocking(False)
    with suppress(OSError):  # a refusal shows when its end is waited for
        connection.connect_ex((url.host, url.port))
    return connection


def await_connection(connection: socket.socket, url: UsbIpUrl) -> None:
    """Until the call is taken. shutdown() in another thread ends this and what follows."""
    select.select([], [connection], [], HANDSHAKE_TIMEOUT_S)
    code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    try:
        connection.getpeername()
    except OSError as error:
        why = os.strerror(code) if code else "no answer"
        raise LinkLost(f"{url}: nothing is exported there ({why})") from error
    connection.settimeout(HANDSHAKE_TIMEOUT_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def import_device(connection: socket.socket, url: UsbIpUrl) -> ExportedDevice:
    """Ask for the device. LinkLost (DeviceBusy is one), OSError: it is not ours."""
    connection.sendall(struct.pack(">HHI32s", VERSION, REQ_IMPORT, 0, url.busid.encode()))
    _, code, status = struct.unpack(">HHI", receive_exactly(connection, 8))
    if code != REP_IMPORT:
        raise LinkLost(f"{url}: no USB/IP server answers there")
    if status == BUSY:
        raise DeviceBusy(f"{url}: another program has imported the device")
    if status:
        raise LinkLost(f"{url}: not plugged in there (status {status})")
    return ExportedDevice.from_bytes(receive_exactly(connection, DEVICE.size))


def receive_exactly(connection: socket.socket, count: int) -> bytes:
    """`count` bytes; ConnectionError when there are no more."""
    data = bytearray()
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise ConnectionError("hung up")
        data += part
    return bytes(data)
