"""Transports over real pseudo-terminals and sockets."""

import os
import pty
import socket
import termios
import threading
import time
import tty
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from drivers import serial_line as transport_serial
from drivers.errors import Cancelled, DeviceBusy, LinkLost
from drivers.transport import AdjustableRate, Transport, open_transport
from simulators.polling import wait_until
from simulators.transports.serial.pseudo_terminal import host_baud

CANCEL_WITHIN_S = 0.3


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@dataclass
class Line:
    """A terminal: `far` is the device's end, `url` names ours."""

    far: int
    near: int
    url: str
    open: bool = True

    def unplug(self) -> None:
        if self.open:
            self.open = False
            os.close(self.near)
            os.close(self.far)

    def receive(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            data += os.read(self.far, count - len(data))
        return data


@pytest.fixture
def line() -> Iterator[Line]:
    far, near = pty.openpty()
    tty.setraw(far)
    tty.setraw(near)
    line = Line(far, near, f"serial:{os.ttyname(near)}?baud=57600")
    yield line
    line.unplug()


@pytest.fixture
def transport(line: Line) -> Iterator[Transport]:
    transport = open_transport(line.url)
    yield transport
    transport.close()


def seconds_until_cancelled(transport: Transport) -> float:
    """Cancel a long read from another thread; return how long it took to end."""
    cancelled_at = list[float]()

    def cancel() -> None:
        cancelled_at.append(time.monotonic())
        transport.cancel()

    timer = threading.Timer(0.05, cancel)
    timer.start()
    with pytest.raises(Cancelled):
        transport.read(30)
    ended = time.monotonic()
    timer.join()
    return ended - cancelled_at[0]


def test_bytes_go_both_ways_untouched(line: Line, transport: Transport) -> None:
    every = bytes(range(256))
    transport.write(every)
    assert line.receive(256) == every
    os.write(line.far, every)
    received = b""
    while len(received) < 256:
        received += transport.read(5)
    assert received == every


def test_a_read_returns_what_is_there_and_nothing_when_there_is_nothing(line: Line, transport: Transport) -> None:
    os.write(line.far, b"abc")
    assert transport.read(5) == b"abc"
    assert transport.read(0) == b""
    started = time.monotonic()
    assert transport.read(0.05) == b""
    assert time.monotonic() - started >= 0.05


def test_cancel_from_another_thread_ends_a_long_read(transport: Transport) -> None:
    assert seconds_until_cancelled(transport) < CANCEL_WITHIN_S


def test_cancel_is_remembered_and_ends_one_read_only(line: Line, transport: Transport) -> None:
    transport.cancel()
    transport.cancel()
    with pytest.raises(Cancelled):
        transport.read(30)
    os.write(line.far, b"x")
    assert transport.read(5) == b"x"


def test_cancel_comes_before_bytes_that_wait(line: Line, transport: Transport) -> None:
    os.write(line.far, b"x")
    transport.cancel()
    with pytest.raises(Cancelled):
        transport.read(5)
    assert transport.read(5) == b"x"


def test_a_cancelled_write_has_sent_nothing(line: Line, transport: Transport) -> None:
    transport.cancel()
    with pytest.raises(Cancelled):
        transport.write(b"never")
    transport.write(b"after")
    assert line.receive(5) == b"after"


def test_cancel_after_close_is_harmless(transport: Transport) -> None:
    transport.close()
    transport.close()
    transport.cancel()


def test_a_port_that_is_not_there_is_a_lost_link(tmp_path: Path) -> None:
    with pytest.raises(LinkLost, match="plugged in"):
        open_transport(f"serial:{tmp_path}/ttyUSB0?baud=9600")


def test_what_is_no_terminal_is_a_lost_link(tmp_path: Path) -> None:
    (tmp_path / "port").write_bytes(b"")
    with pytest.raises(LinkLost, match="a file, not a serial port"):
        open_transport(f"serial:{tmp_path}/port?baud=9600")
    with pytest.raises(LinkLost, match="a folder, not a serial port"):
        open_transport(f"serial:{tmp_path}?baud=9600")


def test_a_rate_that_the_system_cannot_take_is_a_lost_link(line: Line) -> None:
    with pytest.raises(LinkLost):
        transport_serial.open_serial(os.ttyname(line.near), 99_999_999_999)


def test_a_port_is_ours_alone(line: Line, transport: Transport) -> None:
    with pytest.raises(DeviceBusy, match="another program"):
        open_transport(line.url)
    transport.close()
    open_transport(line.url).close()


def test_unplugging_during_a_read_is_a_lost_link(line: Line, transport: Transport) -> None:
    timer = threading.Timer(0.05, line.unplug)
    timer.start()
    with pytest.raises(LinkLost):
        transport.read(30)
    timer.join()


def test_everything_after_unplugging_is_a_lost_link(line: Line, transport: Transport) -> None:
    line.unplug()
    with pytest.raises(LinkLost):
        transport.write(b"x")
    with pytest.raises(LinkLost):
        transport.read(30)


def test_everything_after_closing_is_a_lost_link(transport: Transport) -> None:
    transport.close()
    with pytest.raises(LinkLost, match="closed"):
        transport.read(1)
    with pytest.raises(LinkLost, match="closed"):
        transport.write(b"x")


def test_a_port_that_takes_no_bytes_is_a_lost_link(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_serial, "WRITE_TIMEOUT_S", 0.05)
    with pytest.raises(LinkLost, match="does not accept data"):
        transport.write(bytes(1 << 20))


def test_cancel_ends_a_write_that_is_stuck(transport: Transport) -> None:
    timer = threading.Timer(0.05, transport.cancel)
    timer.start()
    with pytest.raises(Cancelled):
        transport.write(bytes(1 << 20))
    timer.join()


def test_a_socket_passes_bytes_both_ways_and_can_be_cancelled(server: socket.socket) -> None:
    transport = open_transport(f"socket://127.0.0.1:{server.getsockname()[1]}")
    transport.write(b"ping")
    peer, _ = server.accept()
    with peer:
        assert peer.recv(4) == b"ping"
        peer.sendall(b"pong")
        assert transport.read(5) == b"pong"
        assert seconds_until_cancelled(transport) < CANCEL_WITHIN_S
    with pytest.raises(LinkLost, match="closed the connection"):
        transport.read(5)
    transport.close()


def test_a_refused_connection_is_a_lost_link(server: socket.socket) -> None:
    port = server.getsockname()[1]
    server.close()
    with pytest.raises(LinkLost):  # noqa: PT012 - loopback may refuse at once or in the first write
        transport = open_transport(f"socket://127.0.0.1:{port}")
        try:
            transport.write(b"x")
        finally:
            transport.close()


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 70])
def test_a_name_is_never_looked_up(host: str) -> None:
    with pytest.raises(LinkLost):
        transport_serial.open_socket(host, 4001)


def test_an_adapter_that_does_not_accept_says_what_to_check(
    server: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its queue of connections is full, so the kernel drops what asks for another."""
    monkeypatch.setattr(transport_serial, "WRITE_TIMEOUT_S", 0.05)
    host, port = server.getsockname()
    server.listen(0)
    with socket.create_connection((host, port)):
        transport = open_transport(f"socket://{host}:{port}")
        with pytest.raises(LinkLost, match="no connection within 2 s; check host, port and cable"):
            transport.write(b"x")
        transport.close()


@pytest.mark.parametrize("baud", [57_600, 960_000])  # 960000 is not among the rates that termios names
def test_a_port_leaves_its_modem_lines_on_when_it_is_closed(line: Line, baud: int) -> None:
    """Otherwise they rise at each opening, and an adapter board may restart its module."""
    attributes = termios.tcgetattr(line.near)
    attributes[2] |= termios.HUPCL  # as the kernel sets it for a serial port
    termios.tcsetattr(line.near, termios.TCSANOW, attributes)
    transport_serial.open_serial(os.ttyname(line.near), baud).close()
    assert not termios.tcgetattr(line.near)[2] & termios.HUPCL
    assert host_baud(line.near) == baud


def test_a_port_that_cannot_keep_its_modem_lines_is_used_as_it_is(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_serial, "_TCGETS2", 0)
    open_transport(line.url).close()


@pytest.mark.parametrize("baud", [9600, 115_200, 960_000])
def test_the_rate_of_an_open_port_can_be_changed(line: Line, transport: Transport, baud: int) -> None:
    assert isinstance(transport, AdjustableRate)
    os.write(line.far, b"at the old rate")
    assert wait_until(lambda: transport.read(0.01) != b"", CANCEL_WITHIN_S)
    transport.set_baud(baud)
    assert host_baud(line.near) == baud
    os.write(line.far, b"new")
    assert transport.read(5) == b"new"


def test_a_rate_that_the_open_port_cannot_take_is_a_lost_link(line: Line, transport: Transport) -> None:
    assert isinstance(transport, AdjustableRate)
    with pytest.raises(LinkLost):
        transport.set_baud(99_999_999_999)
    transport.close()
    with pytest.raises(LinkLost, match="closed"):
        transport.set_baud(9600)
