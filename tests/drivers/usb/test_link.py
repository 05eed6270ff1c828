"""The link, the port and the faults of the wire, on a device that echoes; no thread and no second passes."""

import threading

import pytest

from drivers.errors import Cancelled, LinkLost, Stalled, TransferTimeout
from tests.rigs.usb_echo import BELL, IN, OUT, VENDOR_IN, VENDOR_OUT, Echo
from tests.rigs.virtual_usb import VirtualUsb


@pytest.fixture(name="echo")
def _echo() -> Echo:
    return Echo()


@pytest.fixture(name="usb")
def _usb(echo: Echo) -> VirtualUsb:
    return VirtualUsb(echo)


def test_what_is_written_comes_back_when_its_time_has_come(usb: VirtualUsb) -> None:
    link = usb.open_link()
    link.write(OUT, b"hello", 1.0)
    assert link.read(IN, 64, 1.0) == b"hello"
    assert usb.time.now() == pytest.approx(0.5)


def test_the_rest_of_a_long_transfer_is_the_next_ones(usb: VirtualUsb) -> None:
    link = usb.open_link()
    link.write(OUT, b"0123456789", 1.0)
    assert [link.read(IN, 4, 1.0) for _ in range(3)] == [b"0123", b"4567", b"89"]


def test_a_register_is_written_and_read(usb: VirtualUsb) -> None:
    link = usb.open_link()
    link.control_out(VENDOR_OUT, 4, 7, 0, b"\x81")
    assert link.control_in(VENDOR_IN, 4, 7, 0, 1) == b"\x81"


def test_a_request_that_the_device_does_not_know_is_stalled(usb: VirtualUsb) -> None:
    with pytest.raises(Stalled, match="control request 0x05 was refused"):
        usb.open_link().control_in(VENDOR_IN, 5, 0, 0, 1)


def test_nothing_to_read_is_a_timeout_after_its_time(usb: VirtualUsb) -> None:
    with pytest.raises(TransferTimeout, match=r"reading endpoint 0x83 did not end within 0.3 s"):
        usb.open_link().read(IN, 64, 0.3)
    assert usb.time.now() == pytest.approx(0.3)


def test_a_transfer_that_was_taken_back_leaves_its_data_to_the_next(usb: VirtualUsb) -> None:
    link = usb.open_link()
    link.write(OUT, b"late", 1.0)
    with pytest.raises(TransferTimeout):
        link.read(IN, 64, 0.1)
    assert link.read(IN, 64, 1.0) == b"late"


def test_a_begun_read_is_in_flight_at_once(usb: VirtualUsb, echo: Echo) -> None:
    link = usb.open_link()
    pending = link.begin_read(IN, 64, 2.0)
    assert echo.wire is not None
    assert echo.wire.pending(IN) == 1
    link.write(OUT, b"x", 1.0)
    assert pending.result(2.0) == b"x"


def test_an_abandoned_read_is_no_longer_in_flight(usb: VirtualUsb, echo: Echo) -> None:
    pending = usb.open_link().begin_read(IN, 64, 2.0)
    pending.abandon()
    assert echo.wire is not None
    assert echo.wire.pending(IN) == 0


def test_an_inbox_keeps_every_message_in_order(usb: VirtualUsb, echo: Echo) -> None:
    link = usb.open_link()
    inbox = link.listen(BELL, 64)
    for number in range(5):
        echo.ring(bytes([number]))
    assert [inbox.next(0.1) for _ in range(6)] == [b"\0", b"\1", b"\2", b"\3", b"\4", None]
    inbox.close()
    assert echo.wire is not None
    assert echo.wire.pending(BELL) == 0


def test_cancel_ends_a_wait_at_once_and_is_then_spent(usb: VirtualUsb) -> None:
    link = usb.open_link()
    usb.time.later(0.2, link.cancel)
    with pytest.raises(Cancelled):
        link.read(IN, 64, 5.0)
    assert usb.time.now() == pytest.approx(0.2)
    link.write(OUT, b"on", 1.0)
    assert link.read(IN, 64, 1.0) == b"on"


def test_cancel_is_remembered_for_the_next_call(usb: VirtualUsb) -> None:
    link = usb.open_link()
    link.cancel()
    with pytest.raises(Cancelled):
        link.pause(1.0)
    link.pause(1.0)
    assert usb.time.now() == pytest.approx(1.0)


def test_unplugging_ends_what_is_in_flight_and_all_that_follows(usb: VirtualUsb) -> None:
    link = usb.open_link()
    inbox = link.listen(BELL, 64)
    usb.time.later(0.2, usb.unplug)
    with pytest.raises(LinkLost):
        link.read(IN, 64, 5.0)
    with pytest.raises(LinkLost):
        inbox.next(0.1)
    with pytest.raises(LinkLost):
        usb.open_link()
    usb.replug()
    with pytest.raises(LinkLost):
        link.write(OUT, b"x", 1.0)
    usb.open_link().write(OUT, b"x", 1.0)


def test_a_closed_link_is_lost_and_may_be_closed_again(usb: VirtualUsb) -> None:
    link = usb.open_link()
    link.listen(BELL, 64)
    link.close()
    link.close()
    assert usb.claims == 0
    with pytest.raises(LinkLost, match="closed"):
        link.read(IN, 64, 1.0)


# Faults of the wire


def test_a_stalled_endpoint_goes_on_after_clear_halt(usb: VirtualUsb, echo: Echo) -> None:
    link = usb.open_link()
    link.write(OUT, b"x", 1.0)
    echo.faults.inject("stall")
    for _ in range(2):
        with pytest.raises(Stalled):
            link.read(IN, 64, 1.0)
    link.clear_halt(IN)
    assert link.read(IN, 64, 1.0) == b"x"


def test_an_inbox_goes_on_after_a_stall(usb: VirtualUsb, echo: Echo) -> None:
    link = usb.open_link()
    inbox = link.listen(BELL, 64)
    assert echo.wire is not None
    echo.wire.stall(BELL)
    with pytest.raises(Stalled):
        inbox.next(0.1)
    link.clear_halt(BELL)
    echo.ring(b"!")
    assert inbox.next(0.1) == b"!"


def test_a_silent_device_answers_no_request_and_takes_no_transfer(usb: VirtualUsb, echo: Echo) -> None:
    link = usb.open_link()
    echo.faults.inject("silent")
    with pytest.raises(TransferTimeout):
        link.control_in(VENDOR_IN, 4, 7, 0, 1)
    with pytest.raises(TransferTimeout):
        link.write(OUT, b"x", 1.0)
    assert not echo.heard


@pytest.mark.parametrize(
    ("fault", "lengths"),
    [
        ("lost", []),
        ("duplicate", [4096, 4096]),
        ("short", [3968]),
        ("long", [4224]),
        ("wrong_device", [4096]),
        ("flip", [4096]),
        ("drop", [4095]),
        ("double", [4097]),
        ("garbage", [4112]),
    ],
)
def test_a_fault_strikes_the_next_large_transfer(usb: VirtualUsb, echo: Echo, fault: str, lengths: list[int]) -> None:
    link = usb.open_link()
    echo.faults.inject(fault, times=1)
    assert echo.wire is not None
    whole = bytes(range(256)) * 16
    echo.wire.send(IN, whole)
    got = [link.read(IN, 8192, 1.0) for _ in lengths]
    assert [len(data) for data in got] == lengths
    assert not echo.faults.pending()
    assert all((data == whole) is (fault == "duplicate") for data in got)
    with pytest.raises(TransferTimeout):
        link.read(IN, 8192, 1.0)


def test_a_fault_may_name_the_transfer_that_it_strikes(usb: VirtualUsb, echo: Echo) -> None:
    link = usb.open_link()
    echo.faults.inject("lost", packet=2)
    assert echo.wire is not None
    for number in range(4):
        echo.wire.send(IN, bytes([number]))
    assert [link.read(IN, 64, 0.1) for _ in range(3)] == [b"\0", b"\1", b"\3"]


def test_late_and_slow_take_their_time_and_keep_the_order(usb: VirtualUsb, echo: Echo) -> None:
    link = usb.open_link()
    echo.faults.inject("late", at="data", packet=0, seconds=2.0)
    assert echo.wire is not None
    for number in range(2):
        echo.wire.send(IN, bytes([number]))
    assert [link.read(IN, 64, 3.0) for _ in range(2)] == [b"\0", b"\1"]
    assert usb.time.now() == pytest.approx(2.0)


@pytest.mark.parametrize("after", [1, 63, 64, 65, 127])
def test_the_cable_is_pulled_at_the_byte_that_was_asked_for(usb: VirtualUsb, echo: Echo, after: int) -> None:
    link = usb.open_link()
    echo.faults.inject("unplug", after=after)
    assert echo.wire is not None
    link.write(OUT, b"0" * 64, 1.0)
    link.write(OUT, b"1" * 64, 1.0)
    for _ in range(after // 64):
        assert len(link.read(IN, 64, 1.0)) == 64
    with pytest.raises(LinkLost):
        link.read(IN, 64, 1.0)


def test_no_thread_was_needed(usb: VirtualUsb) -> None:
    before = threading.active_count()
    usb.open_link().listen(BELL, 64)
    assert threading.active_count() == before
