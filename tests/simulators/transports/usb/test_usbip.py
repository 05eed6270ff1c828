"""The USB/IP server of a simulated device, by the bytes on its connection, and with another client (PyPI usbip)."""

import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from simulators.transports.usb.usbip import (
    BUSY,
    CMD_SUBMIT,
    CMD_UNLINK,
    DEVICE,
    FULL_SPEED,
    HEADER,
    LONGEST_OUT,
    NO_DEVICE,
    OK,
    REP_DEVLIST,
    REP_IMPORT,
    REQ_DEVLIST,
    REQ_IMPORT,
    RET_SUBMIT,
    RET_UNLINK,
    UNLINKED,
    VERSION,
    UsbIpServer,
)
from tests.rigs.usb_echo import CONFIGURATION, IN, OUT, VENDOR_IN, VENDOR_OUT, Echo

WITHIN_S = 10.0
READ_CONFIGURATION = struct.pack("<BBHHH", 0x80, 6, 0x0200, 0, 4096)
REFUSED_REQUEST = struct.pack("<BBHHH", VENDOR_IN, 9, 0, 0, 1)


class Client:
    """The other end of a connection to the server."""

    def __init__(self, server: UsbIpServer) -> None:
        self._socket = socket.create_connection((server.host, server.tcp_port), timeout=WITHIN_S)
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def receive(self, count: int) -> bytes:
        """Exactly `count` bytes, or fewer if the server hangs up."""
        data = b""
        while len(data) < count and (part := self._socket.recv(count - len(data))):
            data += part
        return data

    def hung_up(self) -> bool:
        """True if the server closes the connection without another byte."""
        try:
            return self._socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def import_device(self, busid: str = "1-1") -> tuple[int, bytes]:
        """The status of the import, and the record of the device."""
        self.send(struct.pack(">HHI32s", VERSION, REQ_IMPORT, 0, busid.encode()))
        version, code, status = struct.unpack(">HHI", self.receive(8))
        assert (version, code) == (VERSION, REP_IMPORT)
        return status, self.receive(DEVICE.size) if status == OK else b""

    def submit(self, endpoint: int, length: int, data: bytes = b"", setup: bytes = bytes(8)) -> int:
        """Submit a transfer. Returns its sequence number."""
        return self.command(CMD_SUBMIT, endpoint, length, data, setup)

    def unlink(self, sequence: int) -> int:
        self._sequence += 1
        self.send(HEADER.pack(CMD_UNLINK, self._sequence, 1, 0, 0, sequence, 0, 0, 0, 0, bytes(8)))
        return self._sequence

    def command(self, command: int, endpoint: int, length: int, data: bytes = b"", setup: bytes = bytes(8)) -> int:
        self._sequence += 1
        inward, number = endpoint >> 7, endpoint & 0x0F
        self.send(HEADER.pack(command, self._sequence, 1, inward, number, 0, length, 0, 0, 0, setup) + data)
        return self._sequence

    def answer(self, *, inward: bool = False) -> tuple[int, int, int, int, bytes]:
        """The next message: command, sequence number, status, count and data."""
        command, sequence, _, _, _, status, count, *_ = HEADER.unpack(self.receive(HEADER.size))
        return command, sequence, status, count, self.receive(count) if inward else b""


@pytest.fixture(name="echo")
def _echo() -> Echo:
    return Echo(delay=0.0)


@pytest.fixture(name="server")
def _server(echo: Echo) -> Iterator[UsbIpServer]:
    with UsbIpServer(echo) as server:
        yield server


@pytest.fixture(name="client")
def _client(server: UsbIpServer) -> Iterator[Client]:
    client = Client(server)
    yield client
    client.close()


@pytest.fixture(name="importer")
def _importer(client: Client) -> Client:
    assert client.import_device()[0] == OK
    return client


# Before the device is imported


def test_the_list_names_the_device_only_while_it_is_plugged_in(server: UsbIpServer) -> None:
    for plugged in (True, False):
        client = Client(server)
        client.send(struct.pack(">HHI", VERSION, REQ_DEVLIST, 0))
        assert client.receive(12) == struct.pack(">HHII", VERSION, REP_DEVLIST, 0, plugged)
        if plugged:
            path, busid, *_, vendor, product, bcd_device, _, _, _, _, _, interfaces = DEVICE.unpack(
                client.receive(DEVICE.size)
            )
            assert path.rstrip(b"\0").endswith(b"/1-1")
            assert (busid.rstrip(b"\0"), vendor, product, bcd_device) == (b"1-1", 0x1209, 0x0001, 0x0100)
            assert client.receive(4 * interfaces) == b"\xff\xff\xff\0"
        assert client.hung_up()
        client.close()
        server.unplug()


def test_one_client_at_a_time_imports_the_device(server: UsbIpServer, importer: Client) -> None:
    second = Client(server)
    assert second.import_device() == (BUSY, b"")
    second.close()
    importer.close()
    assert server.freed.wait(WITHIN_S)
    third = Client(server)
    assert third.import_device()[0] == OK
    third.close()


def test_another_bus_id_and_an_empty_port_have_no_device(server: UsbIpServer, client: Client) -> None:
    assert client.import_device("1-2") == (NO_DEVICE, b"")
    server.unplug()
    other = Client(server)
    assert other.import_device() == (NO_DEVICE, b"")
    other.close()


def test_the_device_has_a_new_address_after_it_was_plugged_in_again(server: UsbIpServer) -> None:
    numbers = []
    for _ in range(2):
        client = Client(server)
        _, record = client.import_device()
        numbers.append(DEVICE.unpack(record)[3])
        server.unplug()
        assert client.hung_up()
        client.close()
        server.replug()
    assert numbers[0] != numbers[1]


@pytest.mark.parametrize("request_", [struct.pack(">HHI", VERSION, 0x1234, 0), b"GET / HTTP/1.1\r\n\r\n"])
def test_what_is_no_request_of_usbip_is_hung_up(client: Client, request_: bytes) -> None:
    client.send(request_)
    assert client.hung_up()


# Transfers


def test_every_kind_of_transfer_is_answered(importer: Client, echo: Echo) -> None:
    sequence = importer.submit(0x80, 4096, setup=READ_CONFIGURATION)
    assert importer.answer(inward=True) == (RET_SUBMIT, sequence, 0, len(CONFIGURATION), CONFIGURATION)
    sequence = importer.submit(0, 2, b"\x07\x08", struct.pack("<BBHHH", VENDOR_OUT, 4, 0, 0, 2))
    assert importer.answer() == (RET_SUBMIT, sequence, 0, 2, b"")
    assert echo.register == b"\x07\x08"
    sequence = importer.submit(OUT, 5, b"hello")
    assert importer.answer() == (RET_SUBMIT, sequence, 0, 5, b"")
    sequence = importer.submit(IN, 64)
    assert importer.answer(inward=True) == (RET_SUBMIT, sequence, 0, 5, b"hello")


def test_a_refused_request_is_a_broken_pipe(importer: Client) -> None:
    sequence = importer.submit(0x80, 1, setup=REFUSED_REQUEST)
    assert importer.answer() == (RET_SUBMIT, sequence, -32, 0, b"")


def test_an_unlinked_read_ends_without_an_answer_of_its_own(importer: Client) -> None:
    read = importer.submit(IN, 64)
    unlink = importer.unlink(read)
    assert importer.answer() == (RET_UNLINK, unlink, UNLINKED, 0, b"")
    too_late = importer.unlink(read)
    assert importer.answer() == (RET_UNLINK, too_late, 0, 0, b"")


def test_pulling_the_cable_ends_the_transfers_and_then_the_connection(server: UsbIpServer, importer: Client) -> None:
    read = importer.submit(IN, 64)
    written = importer.submit(0x80, 1, setup=REFUSED_REQUEST)  # its answer: the read before it has been submitted
    assert importer.answer()[:2] == (RET_SUBMIT, written)
    server.unplug()
    assert importer.answer() == (RET_SUBMIT, read, -108, 0, b"")
    assert importer.hung_up()
    assert server.unplugged.is_set()


def test_the_cable_is_pulled_after_a_number_of_bytes(server: UsbIpServer, importer: Client) -> None:
    server.unplug_after(5)
    importer.submit(OUT, 5, b"hello")
    importer.answer()
    importer.submit(IN, 64)
    assert importer.answer(inward=True)[4] == b"hello"
    assert importer.hung_up()


def test_the_fault_of_the_cable_needs_no_transfer(importer: Client, echo: Echo) -> None:
    echo.faults.inject("unplug")
    assert importer.hung_up()


def test_a_client_that_goes_away_leaves_no_transfer_behind(server: UsbIpServer, importer: Client, echo: Echo) -> None:
    importer.submit(IN, 64)
    importer.send(bytes(HEADER.size // 2))
    importer.close()
    assert server.freed.wait(WITHIN_S)
    assert echo.wire is not None
    assert echo.wire.pending(IN) == 0


@pytest.mark.parametrize(
    ("command", "endpoint", "length"), [(9, OUT, 0), (CMD_SUBMIT, OUT, LONGEST_OUT + 1), (CMD_SUBMIT, IN, -1)]
)
def test_an_invalid_message_ends_the_connection(importer: Client, command: int, endpoint: int, length: int) -> None:
    importer.command(command, endpoint, length)
    assert importer.hung_up()


# Its threads


def test_closing_ends_every_thread_and_connection() -> None:
    before = threading.active_count()
    with UsbIpServer(Echo(), bytes_per_s=FULL_SPEED) as server:
        idle, importer = Client(server), Client(server)
        assert importer.import_device()[0] == OK
    assert idle.hung_up()
    assert importer.hung_up()
    idle.close()
    importer.close()
    assert threading.active_count() == before


def test_a_server_that_was_never_started_can_be_closed() -> None:
    before = threading.active_count()
    server = UsbIpServer(Echo(), busid="2-1")
    assert server.url == f"usbip://127.0.0.1:{server.tcp_port}/2-1"
    server.close()
    assert threading.active_count() == before


# Another client (PyPI usbip)


def test_another_client_uses_our_server(server: UsbIpServer, echo: Echo) -> None:
    usbip = pytest.importorskip("usbip")
    host = usbip.host
    connection = host.Connection(socket.create_connection((server.host, server.tcp_port)))
    try:
        info = connection.import_device("1-1")
        assert (info["vid"] if "vid" in info else info["idVendor"]) == 0x1209
        assert bytes(connection.control(0x80, 6, 0x0200, 0, 4096)) == CONFIGURATION
        connection.control(VENDOR_OUT, 4, 7, 0, b"\x81")
        assert bytes(connection.control(VENDOR_IN, 4, 7, 0, 1)) == b"\x81"
        connection.transfer_out(OUT, b"hello")
        assert bytes(connection.transfer_in(IN & 0x0F, 64)) == b"hello"
    finally:
        connection.close()


def test_the_list_of_devices_is_what_another_client_reads(server: UsbIpServer) -> None:
    protocol = pytest.importorskip("usbip.protocol")
    with socket.create_connection((server.host, server.tcp_port)) as connection:
        (device,) = protocol.client_devlist(connection)
    assert device["busid"] in (b"1-1", "1-1")
    assert device["interfaces"] == [(0xFF, 0xFF, 0xFF)]
    assert struct.calcsize(">256s32sIIIHHHBBBBBB") == 312
