"""Connects to a USB/IP server and imports one device. usbip.py does the transfers afterwards."""

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
DEVICE = struct.Struct(">256s32sIIIHHHBBBBBB")  # device record of the server
SPEEDS = {1: "low", 2: "full", 3: "high", 5: "super", 6: "super"}
BUSY = 2  # ST_DEV_BUSY: imported by another client
HANDSHAKE_TIMEOUT_S = 2.0  # for connecting and importing; reading the descriptors may take as long again


@dataclass(frozen=True, slots=True)
class ExportedDevice:
    """The device record that the server sends for the imported device."""

    device_id: int
    speed: str
    vendor: int
    product: int
    bcd_device: int

    @classmethod
    def from_bytes(cls, data: bytes) -> "ExportedDevice":
        """Parses the record."""
        _, _, bus, number, speed, vendor, product, bcd, *_ = DEVICE.unpack(data)
        return cls(bus << 16 | number, SPEEDS.get(speed, ""), vendor, product, bcd)


def start_connecting(url: UsbIpUrl) -> socket.socket:
    """Returns a socket that has begun to connect to the server."""
    connection = socket.socket(socket.AF_INET6 if ":" in url.host else socket.AF_INET)
    connection.setblocking(False)
    with suppress(OSError):  # await_connection() reports a refusal
        connection.connect_ex((url.host, url.port))
    return connection


def await_connection(connection: socket.socket, url: UsbIpUrl) -> None:
    """Waits until the connection is made. shutdown() of the socket in another thread ends this and the import."""
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
    """Requests the device. LinkLost, DeviceBusy or OSError if it was not imported."""
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
    """Receives `count` bytes. ConnectionError if the connection ends before."""
    data = bytearray()
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise ConnectionError("the server closed the connection")
        data += part
    return bytes(data)
