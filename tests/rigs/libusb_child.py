"""The checks of test_local.py with the real libusb. Runs under umockdev and prints one result per function."""

import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from drivers.errors import Cancelled, DeviceBusy, LinkLost, Stalled, TransferTimeout
from drivers.transport import parse_usb_url
from drivers.usb.connect import open_link
from drivers.usb.hotplug import watch_usb
from drivers.usb.link import UsbLink
from drivers.usb.local import find_usb
from simulators.transports.remote import SensorRemote
from tests.rigs.usb_echo import BELL, CONFIGURATION, IN, OUT, VENDOR_IN, VENDOR_OUT

LEFT, RIGHT = "usb:1209:0001?port=1-1", "usb:1209:0001?serial=RIGHT"
CANCEL_WITHIN_S = 0.3
NODE = Path("/dev/bus/usb/001")


@contextmanager
def opened(url: str) -> Iterator[UsbLink]:
    link = open_link(parse_usb_url(url))
    try:
        yield link
    finally:
        link.close()


def devices_are_found_by_port_and_serial_number(_: SensorRemote) -> None:
    assert [(d.port, d.serial, d.speed) for d in find_usb()] == [("1-1", "LEFT", "full"), ("1-2", "RIGHT", "full")]
    for url, serial in ((LEFT, "LEFT"), (RIGHT, "RIGHT")):
        with opened(url) as link:
            assert link.identity.serial == serial
            assert link.configuration == CONFIGURATION
    with pytest.raises(LinkLost, match="2 such devices"):
        open_link(parse_usb_url("usb:1209:0001"))


def every_kind_of_transfer_goes_through(remote: SensorRemote) -> None:
    with opened(LEFT) as link:
        inbox = link.listen(BELL, 64)
        pending = link.begin_read(IN, 64, 5.0)
        link.control_out(VENDOR_OUT, 4, 7, 0, b"\x81\x82")
        assert link.control_in(VENDOR_IN, 4, 7, 0, 64) == b"\x81\x82"
        remote.ask("ring", text="ding")
        assert inbox.next(5.0) == b"ding"
        link.write(OUT, b"hello", 5.0)
        assert pending.result(5.0) == b"hello"


def a_megabyte_is_one_transfer(_: SensorRemote) -> None:
    whole = bytes(range(251)) * 4177
    with opened(LEFT) as link:
        link.write(OUT, whole, 5.0)
        assert link.read(IN, len(whole), 5.0) == whole


def a_refusal_and_a_halt_are_stalls(remote: SensorRemote) -> None:
    with opened(LEFT) as link:
        with pytest.raises(Stalled):
            link.control_in(VENDOR_IN, 5, 0, 0, 1)
        remote.fault("stall", at="data", packet=0)
        for _ in range(2):
            with pytest.raises(Stalled):
                link.read(IN, 64, 5.0)
        link.clear_halt(IN)
        link.write(OUT, b"on", 5.0)
        assert link.read(IN, 64, 5.0) == b"on"


def a_timeout_takes_its_time_and_loses_nothing(_: SensorRemote) -> None:
    with opened(LEFT) as link:
        began = time.monotonic()
        with pytest.raises(TransferTimeout):
            link.read(IN, 64, 0.2)
        assert 0.2 <= time.monotonic() - began < 0.5
        for number in range(20):
            with pytest.raises(TransferTimeout):
                link.read(IN, 64, 0.0)
            link.write(OUT, bytes([number]), 5.0)
            assert link.read(IN, 64, 5.0) == bytes([number])


def _cancelled(link: UsbLink, action: Callable[[], object]) -> None:
    cancelled_at = list[float]()

    def cancel() -> None:
        cancelled_at.append(time.monotonic())
        link.cancel()

    timer = threading.Timer(0.05, cancel)
    timer.start()
    with pytest.raises(Cancelled):
        action()
    assert time.monotonic() - cancelled_at[0] < CANCEL_WITHIN_S
    timer.join()


def cancel_ends_a_read_within_its_limit(_: SensorRemote) -> None:
    with opened(LEFT) as link:
        inbox = link.listen(BELL, 64)
        for action in (lambda: link.read(IN, 64, 9.0), lambda: inbox.next(9.0), lambda: link.pause(9.0)):
            _cancelled(link, action)
        link.write(OUT, b"on", 5.0)
        assert link.read(IN, 64, 5.0) == b"on"


def cancel_ends_a_request_that_nobody_answers(remote: SensorRemote) -> None:
    with opened(LEFT) as link:
        remote.fault("silent")
        _cancelled(link, lambda: link.control_in(VENDOR_IN, 4, 7, 0, 1))
        _cancelled(link, lambda: link.write(OUT, b"x", 9.0))
        remote.clear()
        assert link.control_in(VENDOR_IN, 4, 7, 0, 1)


def a_claimed_device_is_in_use(_: SensorRemote) -> None:
    with opened(LEFT):
        with pytest.raises(DeviceBusy, match="another program holds the device"):
            open_link(parse_usb_url(LEFT))
        open_link(parse_usb_url(RIGHT)).close()
    open_link(parse_usb_url(LEFT)).close()


def messages_in_quick_succession_all_arrive_in_order(remote: SensorRemote) -> None:
    with opened(LEFT) as link:
        inbox = link.listen(BELL, 64)
        sent = [f"message {number}" for number in range(50)]
        for text in sent:
            remote.ask("ring", text=text)
        assert [inbox.next(5.0) for _ in sent] == [text.encode() for text in sent]


def unplugging_is_a_lost_link_and_the_device_is_found_again_at_another_address(remote: SensorRemote) -> None:
    nodes = {node.name for node in NODE.iterdir()}
    with opened(RIGHT) as link:
        inbox = link.listen(BELL, 64)
        timer = threading.Timer(0.1, lambda: remote.ask("unplug", port="1-2"))
        timer.start()
        with pytest.raises(LinkLost):
            link.read(IN, 64, 5.0)
        timer.join()
        with pytest.raises(LinkLost):
            inbox.next(1.0)
        with pytest.raises(LinkLost):
            link.write(OUT, b"x", 1.0)
        with pytest.raises(LinkLost, match="not plugged in"):
            open_link(parse_usb_url(RIGHT))
    remote.ask("replug", port="1-2")
    assert len({node.name for node in NODE.iterdir()} - nodes) == 1
    with opened(RIGHT) as link:
        link.write(OUT, b"back", 5.0)
        assert link.read(IN, 64, 5.0) == b"back"


def unplugging_amid_a_transfer_is_a_lost_link(remote: SensorRemote) -> None:
    with opened(LEFT) as link:
        link.write(OUT, bytes(4096), 5.0)
        remote.ask("unplug", after=100)
        with pytest.raises(LinkLost):
            link.read(IN, 4096, 5.0)
    remote.ask("replug")


def close_ends_every_thread_at_once(_: SensorRemote) -> None:
    before = threading.active_count()
    with opened(LEFT) as left, opened(RIGHT) as right:
        left.listen(BELL, 64)
        right.listen(BELL, 64)
        right.begin_read(IN, 1 << 16, 60.0)
        began = time.monotonic()
        left.close()
        right.close()
        right.close()
        assert time.monotonic() - began < CANCEL_WITHIN_S
    assert threading.active_count() == before


def plugging_and_unplugging_are_noticed(remote: SensorRemote) -> None:
    seen, noticed = list[list[str]](), threading.Semaphore(0)

    def changed() -> None:
        seen.append([device.port for device in find_usb()])
        noticed.release()

    with watch_usb(changed, poll_s=0.02):
        remote.ask("unplug", port="1-2")
        assert noticed.acquire(timeout=5.0)
        remote.ask("replug", port="1-2")
        assert noticed.acquire(timeout=5.0)
    assert seen[0] == ["1-1"]
    assert seen[-1] == ["1-1", "1-2"]


CHECKS = (
    devices_are_found_by_port_and_serial_number,
    every_kind_of_transfer_goes_through,
    a_megabyte_is_one_transfer,
    a_refusal_and_a_halt_are_stalls,
    a_timeout_takes_its_time_and_loses_nothing,
    cancel_ends_a_read_within_its_limit,
    cancel_ends_a_request_that_nobody_answers,
    a_claimed_device_is_in_use,
    messages_in_quick_succession_all_arrive_in_order,
    unplugging_is_a_lost_link_and_the_device_is_found_again_at_another_address,
    unplugging_amid_a_transfer_is_a_lost_link,
    close_ends_every_thread_at_once,
    plugging_and_unplugging_are_noticed,
)


def outcome(check: Callable[[SensorRemote], None], remote: SensorRemote) -> str:
    try:
        check(remote)
    except Exception as error:  # noqa: BLE001 - every error is a result
        traceback.print_exc()
        return f"{type(error).__name__}: {error}".replace("\n", " ")
    return "ok"


if __name__ == "__main__":
    for check in CHECKS:
        print(check.__name__, outcome(check, SensorRemote(control=Path(sys.argv[1]))), sep="\t", flush=True)  # noqa: T201 - read by the test
