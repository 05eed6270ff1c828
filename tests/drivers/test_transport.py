"""The URLs of byte streams, what open_transport() opens, and the Attachment that remembers a cancel."""

import os
import socket
import tty
from collections.abc import Iterator

import pytest

from drivers.errors import Cancelled
from drivers.transport import (
    Attachment,
    SerialUrl,
    SocketUrl,
    open_transport,
    parse_url,
    parse_usb_url,
    parse_video_url,
)


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


# URLs


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("serial:/dev/ttyUSB0?baud=115200", SerialUrl("/dev/ttyUSB0", 115_200)),
        ("serial:/dev/ttyUSB0", SerialUrl("/dev/ttyUSB0", 57_600)),
        ("serial:/dev/kiosk/port/pci-0000:00:14.0-usb-0:2:1.0?baud=9600",
         SerialUrl("/dev/kiosk/port/pci-0000:00:14.0-usb-0:2:1.0", 9600)),
        ("socket://192.0.2.7:4001", SocketUrl("192.0.2.7", 4001)),
        ("socket://[2001:db8::7]:4001", SocketUrl("2001:db8::7", 4001)),
        ("socket://localhost:4001", SocketUrl("127.0.0.1", 4001)),
    ],
)  # fmt: skip
def test_a_url_names_an_end(text: str, url: SerialUrl | SocketUrl) -> None:
    assert parse_url(text, 57_600) == url
    assert parse_url(str(url)) == url


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "there is no transport ''; there are: serial, socket"),
        ("/dev/ttyUSB0", "did you mean serial:/dev/ttyUSB0?"),
        ("usb:05ba:000a", "cannot be at 'usb', only at: serial, socket"),
        ("serial:ttyUSB0?baud=9600", "names a device file"),
        ("serial:/dev/ttyUSB0", "baud must be a number"),
        ("serial:/dev/ttyUSB0?baud=fast", "baud must be a number"),
        ("serial:/dev/ttyUSB0?baud=0", "baud must be a number"),
        ("serial:/dev/ttyUSB0?baud=-9600", "baud must be a number"),
        ("serial:/dev/ttyUSB0?baud=4000001", "up to 4000000"),
        ("serial:/dev/ttyUSB0?baud=99999999999", "up to 4000000"),
        ("serial:/dev/ttyUSB0?baud=" + "9" * 5000, "up to 4000000"),
        ("serial:/dev/ttyUSB0?baud=9600&parity=even", "unknown parameter 'parity'"),
        ("socket:127.0.0.1:4001", "socket://HOST:PORT"),
        ("socket://127.0.0.1", "socket://HOST:PORT"),
        ("socket://127.0.0.1:99999", "socket://HOST:PORT"),
        ("socket://127.0.0.1:4001/path", "socket://HOST:PORT"),
        ("socket://[::1", "socket://HOST:PORT"),
        ("socket://adapter-3.example:4001", "HOST is an address"),
        ("socket://a..b:4001", "HOST is an address"),
        ("socket://" + "x" * 70 + ":4001", "HOST is an address"),
    ],
)
def test_a_bad_url_is_refused_with_what_is_wrong(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match="URL") as caught:
        parse_url(text)
    assert complaint in str(caught.value)


# Cancel


# Gone


# Attachment


class Recorder:
    """A transport that remembers what was done to it."""

    def __init__(self) -> None:
        self.cancels = 0
        self.closed = False

    def read(self, timeout: float) -> bytes:  # noqa: ARG002 - the contract's signature
        return b""

    def write(self, data: bytes) -> None:
        raise AssertionError(data)

    def cancel(self) -> None:
        self.cancels += 1

    def close(self) -> None:
        self.closed = True


def spend(attachment: Attachment) -> None:
    """An open() or capture() that a cancel ends."""
    with pytest.raises(Cancelled), attachment.attempt():
        raise Cancelled


def test_a_cancel_without_a_transport_reaches_the_next_one() -> None:
    attachment, first, second = Attachment(), Recorder(), Recorder()
    attachment.cancel()
    attachment.attach(first)
    assert first.cancels == 1
    spend(attachment)
    attachment.attach(second)
    assert (first.closed, second.cancels) == (True, 0)


def test_an_unspent_cancel_outlives_closing() -> None:
    attachment, first, second = Attachment(), Recorder(), Recorder()
    attachment.attach(first)
    attachment.cancel()
    attachment.detach()
    attachment.attach(second)
    assert (first.cancels, first.closed, second.cancels) == (1, True, 1)


# Opening


def test_a_serial_url_opens_the_terminal_that_it_names() -> None:
    far, near = os.openpty()
    tty.setraw(near)
    transport = open_transport(f"serial:{os.ttyname(near)}?baud=57600")
    transport.write(b"ping")
    assert os.read(far, 4) == b"ping"
    transport.close()
    os.close(near)
    os.close(far)


def test_a_socket_url_connects_to_the_server_that_it_names(server: socket.socket) -> None:
    transport = open_transport(SocketUrl("127.0.0.1", server.getsockname()[1]))
    peer, _ = server.accept()
    with peer:
        peer.sendall(b"pong")
        assert transport.read(5) == b"pong"
    transport.close()


def test_a_video_url_names_a_device_file_and_is_no_byte_stream() -> None:
    assert str(parse_video_url("v4l2:/dev/video0")) == "v4l2:/dev/video0"
    with pytest.raises(ValueError, match="names a device file"):
        parse_video_url("v4l2:video0")
    with pytest.raises(ValueError, match="cannot be at 'v4l2', only at: serial, socket"):
        parse_url("v4l2:/dev/video0")
    with pytest.raises(ValueError, match="cannot be at 'serial', only at: v4l2"):
        parse_video_url("serial:/dev/ttyUSB0")


def test_a_cancel_ends_a_running_attempt_and_only_one() -> None:
    attachment, transport = Attachment(), Recorder()
    attachment.attach(transport)
    attachment.cancel()
    spend(attachment)
    assert transport.cancels == 2  # again, in case the clean-up after the last attempt used the first one up
    with attachment.attempt():
        assert transport.cancels == 2


def test_a_usb_url_is_parsed_and_is_no_byte_stream() -> None:
    assert str(parse_usb_url("usb:05ba:000a")) == "usb:05ba:000a"
    with pytest.raises(ValueError, match="cannot be at 'v4l2', only at: usb, usbip"):
        parse_usb_url("v4l2:/dev/video0")
