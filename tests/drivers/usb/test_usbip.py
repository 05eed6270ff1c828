"""USB/IP: our client with our server, and with servers that do not answer."""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from drivers import open_sensor
from drivers.errors import Cancelled, DeviceBusy, LinkLost, Stalled, TransferTimeout
from drivers.transport import parse_usb_url
from drivers.usb.connect import open_link
from drivers.usb.link import UsbLink
from simulators.polling import wait_until
from simulators.sensors.uru4000.device import HEIGHT, WIDTH, Uru4000Model, Uru4000Settings
from simulators.transports.usb.usbip import UsbIpServer
from tests.rigs.usb_echo import BELL, CONFIGURATION, IN, OUT, VENDOR_IN, VENDOR_OUT, Echo

CANCEL_WITHIN_S = 0.3


@pytest.fixture(name="echo")
def _echo() -> Echo:
    return Echo(delay=0.0)


@pytest.fixture(name="server")
def _server(echo: Echo) -> Iterator[UsbIpServer]:
    with UsbIpServer(echo) as server:
        yield server


@pytest.fixture(name="link")
def _link(server: UsbIpServer) -> Iterator[UsbLink]:
    link = open_link(parse_usb_url(server.url))
    yield link
    link.close()


def test_the_link_says_what_it_holds(link: UsbLink) -> None:
    about = link.identity
    assert (about.vendor, about.product, about.serial, about.port) == (0x1209, 0x0001, "E1", "1-1")
    assert (about.bcd_device, about.speed) == (0x0100, "full")
    assert link.configuration == CONFIGURATION


def test_every_kind_of_transfer_goes_through(link: UsbLink, echo: Echo) -> None:
    inbox = link.listen(BELL, 64)
    pending = link.begin_read(IN, 1 << 20, 5.0)
    link.control_out(VENDOR_OUT, 4, 7, 0, b"\x81\x82")
    assert link.control_in(VENDOR_IN, 4, 7, 0, 64) == b"\x81\x82"
    echo.ring(b"ding")
    assert inbox.next(5.0) == b"ding"
    whole = bytes(range(256)) * 1024
    link.write(OUT, whole, 5.0)
    assert pending.result(5.0) == whole
    assert inbox.next(0.0) is None


def test_a_refusal_and_a_halt_are_stalls(link: UsbLink, echo: Echo) -> None:
    with pytest.raises(Stalled):
        link.control_in(VENDOR_IN, 5, 0, 0, 1)
    echo.faults.inject("stall")
    for _ in range(2):
        with pytest.raises(Stalled):
            link.read(IN, 64, 5.0)
    link.clear_halt(IN)
    link.write(OUT, b"on", 5.0)
    assert link.read(IN, 64, 5.0) == b"on"


def test_a_transfer_taken_back_leaves_its_data_to_the_next(link: UsbLink, echo: Echo) -> None:
    for number in range(20):
        with pytest.raises(TransferTimeout):
            link.read(IN, 64, 0.0)
        link.write(OUT, bytes([number]), 5.0)
        assert link.read(IN, 64, 5.0) == bytes([number])
    assert echo.wire is not None
    assert echo.wire.pending(IN) == 0


@pytest.mark.parametrize("size", [1, 64, 1 << 16])
def test_nothing_is_lost_or_doubled_when_reads_are_taken_back_while_data_come(
    link: UsbLink, echo: Echo, size: int
) -> None:
    sent, got = 200, list[bytes]()
    feeder = threading.Thread(
        target=lambda: [echo.wire.send(IN, number.to_bytes(2) * size, 0.001 * number) for number in range(sent)]  # type: ignore[union-attr]
    )
    feeder.start()
    deadline = time.monotonic() + 10
    while len(got) < sent and time.monotonic() < deadline:
        try:
            got.append(link.read(IN, 2 * size, 0.0005))
        except TransferTimeout:
            continue
    feeder.join()
    assert [int.from_bytes(data[:2]) for data in got] == list(range(sent))


def test_cancel_wakes_a_read_at_once(link: UsbLink) -> None:
    timer = threading.Timer(0.05, link.cancel)
    timer.start()
    started = time.monotonic()
    with pytest.raises(Cancelled):
        link.read(IN, 64, 5.0)
    assert time.monotonic() - started < 0.25
    timer.join()


def test_the_device_is_one_importers_alone_and_free_again_after_close(server: UsbIpServer, link: UsbLink) -> None:
    url = parse_usb_url(server.url)
    with pytest.raises(DeviceBusy, match="another program"):
        open_link(url)
    link.close()
    assert server.freed.wait(5.0)
    open_link(url).close()


def test_a_wrong_bus_id_and_an_empty_port_are_lost_links(server: UsbIpServer) -> None:
    with pytest.raises(LinkLost, match="not plugged in"):
        open_link(parse_usb_url(server.url.replace("/1-1", "/1-2")))
    server.unplug()
    with pytest.raises(LinkLost, match="not plugged in"):
        open_link(parse_usb_url(server.url))
    with socket.create_server(("127.0.0.1", 0)) as empty:
        port = empty.getsockname()[1]
    with pytest.raises(LinkLost, match="nothing is exported there"):
        open_link(parse_usb_url(f"usbip://127.0.0.1:{port}/1-1"))


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x01", b"\x01\x11\x00\x03\x00\x00\x00\x00rubbish"]
)
def test_what_is_no_usbip_server_is_a_lost_link(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(64)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(LinkLost):
            open_link(parse_usb_url(f"usbip://127.0.0.1:{listener.getsockname()[1]}/1-1"))
        thread.join()


def test_unplugging_is_a_lost_link_for_all_that_is_in_flight(server: UsbIpServer, link: UsbLink) -> None:
    inbox = link.listen(BELL, 64)
    timer = threading.Timer(0.05, server.unplug)
    timer.start()
    with pytest.raises(LinkLost):
        link.read(IN, 64, 5.0)
    with pytest.raises(LinkLost):
        inbox.next(5.0)
    timer.join()
    server.replug()
    again = open_link(parse_usb_url(server.url))
    again.write(OUT, b"back", 5.0)
    assert again.read(IN, 64, 5.0) == b"back"
    again.close()


@pytest.mark.parametrize("after", [1, 4095, 4096, 8191])
def test_the_cable_is_pulled_at_a_byte(server: UsbIpServer, link: UsbLink, after: int) -> None:
    server.unplug_after(after)
    for _ in range(2):
        link.write(OUT, bytes(4096), 5.0)
    for _ in range(after // 4096):
        assert len(link.read(IN, 4096, 5.0)) == 4096
    with pytest.raises(LinkLost):
        link.read(IN, 4096, 5.0)


def test_no_thread_is_left_behind() -> None:
    before = threading.active_count()
    with UsbIpServer(Echo()) as server:
        link = open_link(parse_usb_url(server.url))
        link.listen(BELL, 64)
        link.close()
    assert threading.active_count() == before


# A server that takes the call and says nothing


@contextmanager
def silent_server(answer: bytes = b"") -> Iterator[str]:
    """The URL of a server that sends `answer` to the import, and then nothing for ever."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        held = list[socket.socket]()

        def serve() -> None:
            connection, _ = listener.accept()
            held.append(connection)
            connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"usbip://127.0.0.1:{listener.getsockname()[1]}/1-1"
        thread.join()
        for connection in held:
            connection.close()


IMPORTED = struct.pack(">HHI", 0x0111, 0x0003, 0) + struct.pack(
    ">256s32sIIIHHHBBBBBB", b"/sys", b"1-1", 1, 2, 2, 0x05BA, 0x000A, 0x0103, 0, 0, 0, 1, 1, 1
)


def cancelled_after(call: Callable[[], object], cancel: Callable[[], None]) -> float:
    """How many seconds a call goes on that is cancelled in its middle."""
    at = list[float]()

    def act() -> None:
        at.append(time.monotonic())
        cancel()

    timer = threading.Timer(0.1, act)
    timer.start()
    with pytest.raises(Cancelled):
        call()
    ended = time.monotonic()
    timer.join()
    return ended - at[0]


@pytest.mark.parametrize("answer", [b"", IMPORTED[:100], IMPORTED], ids=["nothing", "half", "no descriptor"])
@pytest.mark.parametrize("driver", ["uru4000", "nb1010"])
def test_cancel_ends_an_open_whose_server_says_nothing(driver: str, answer: bytes) -> None:
    with silent_server(answer) as url:
        sensor = open_sensor(driver, url, {})
        assert cancelled_after(sensor.open, sensor.cancel) < CANCEL_WITHIN_S
        sensor.close()


def test_cancel_ends_an_open_whose_server_does_not_take_the_call() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        place = listener.getsockname()
        waiting = [socket.socket() for _ in range(4)]  # more than wait in the line: the next one is not answered
        for connection in waiting:
            connection.setblocking(False)
            connection.connect_ex(place)
        sensor = open_sensor("uru4000", f"usbip://127.0.0.1:{place[1]}/1-1", {})
        assert cancelled_after(sensor.open, sensor.cancel) < CANCEL_WITHIN_S
        for connection in waiting:
            connection.close()


@pytest.mark.parametrize("finger", [False, True], ids=["waiting", "in an image"])
def test_cancel_ends_a_capture_whose_server_is_frozen(finger: bool) -> None:  # noqa: FBT001 - a case
    model = Uru4000Model(Uru4000Settings(image_s=1.5))
    with UsbIpServer(model) as server:
        sensor = open_sensor("uru4000", server.url, {})
        sensor.open()
        if finger:
            model.press(bytes(WIDTH * HEIGHT))

        def freeze_and_cancel() -> None:
            assert wait_until(lambda: model.mode == (0x20 if finger else 0x10), 5.0)
            model.inject("silent")
            sensor.cancel()

        assert cancelled_after(lambda: sensor.capture(5.0), freeze_and_cancel) < CANCEL_WITHIN_S
        model.clear_faults()
        sensor.close()


def test_an_open_before_which_it_was_cancelled_does_not_wait_at_all() -> None:
    with silent_server() as url:
        sensor = open_sensor("nb1010", url, {})
        sensor.cancel()
        started = time.monotonic()
        with pytest.raises(Cancelled):
            sensor.open()
        assert time.monotonic() - started < CANCEL_WITHIN_S


def test_a_server_that_says_nothing_is_a_lost_link() -> None:
    with silent_server(IMPORTED[:20]) as url, pytest.raises(LinkLost):
        open_link(parse_usb_url(url))
