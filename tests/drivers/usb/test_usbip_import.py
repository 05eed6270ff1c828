"""Connecting to a USB/IP server and importing a device, against a server that sends prepared bytes."""

import socket
import struct
from collections.abc import Iterator

import pytest

from drivers.errors import DeviceBusy, LinkLost
from drivers.usb.url import UsbIpUrl
from drivers.usb.usbip_import import (
    DEVICE,
    ExportedDevice,
    await_connection,
    import_device,
    receive_exactly,
    start_connecting,
)

URL = UsbIpUrl("192.0.2.7", 3240, "1-1")
RECORD = DEVICE.pack(b"/sys/devices/usb1/1-1", b"1-1", 1, 5, 2, 0x05BA, 0x000A, 0x0103, 0, 0, 0, 1, 1, 1)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The client's end and the server's end of a connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        peer, _ = server.accept()
    client.settimeout(2.0)
    with client, peer:
        yield client, peer


def reply(code: int, status: int, record: bytes = b"") -> bytes:
    return struct.pack(">HHI", 0x0111, code, status) + record


def test_the_device_is_requested_by_its_bus_id_and_described(pair: tuple[socket.socket, socket.socket]) -> None:
    client, server = pair
    server.sendall(reply(0x0003, 0, RECORD))
    assert import_device(client, URL) == ExportedDevice(1 << 16 | 5, "full", 0x05BA, 0x000A, 0x0103)
    assert server.recv(40) == struct.pack(">HHI32s", 0x0111, 0x8003, 0, b"1-1")


@pytest.mark.parametrize(
    ("answer", "error", "complaint"),
    [
        (reply(0x0003, 2), DeviceBusy, "another program has imported the device"),
        (reply(0x0003, 4), LinkLost, r"not plugged in there \(status 4\)"),
        (reply(0x1234, 0), LinkLost, "no USB/IP server answers there"),
    ],
)
def test_a_device_that_is_not_given_says_why(
    pair: tuple[socket.socket, socket.socket], answer: bytes, error: type[LinkLost], complaint: str
) -> None:
    client, server = pair
    server.sendall(answer)
    with pytest.raises(error, match=complaint) as caught:
        import_device(client, URL)
    assert type(caught.value) is error


def test_bytes_are_put_together_and_a_closed_connection_is_an_error(pair: tuple[socket.socket, socket.socket]) -> None:
    client, server = pair
    server.sendall(b"ab")
    server.sendall(b"cd")
    assert receive_exactly(client, 4) == b"abcd"
    server.sendall(b"e")
    server.shutdown(socket.SHUT_WR)
    with pytest.raises(ConnectionError, match="closed the connection"):
        receive_exactly(client, 2)


def test_a_connection_is_awaited() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = UsbIpUrl("127.0.0.1", server.getsockname()[1], "1-1")
        with start_connecting(url) as connection:
            await_connection(connection, url)
            assert connection.getpeername() == server.getsockname()
            server.accept()[0].close()


def test_a_refused_connection_says_why() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = UsbIpUrl("127.0.0.1", server.getsockname()[1], "1-1")
    with (
        start_connecting(url) as connection,
        pytest.raises(LinkLost, match=r"nothing is exported there \(Connection refused\)"),
    ):
        await_connection(connection, url)
