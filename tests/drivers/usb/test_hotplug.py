"""Hot-plug: udev's events hasten a scan, and without them looking is enough."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.usb.hotplug import UsbWatcher, watch_usb
from drivers.usb.link import UsbIdentity
from drivers.usb.sysfs import PluggedInDevice

SOON = 5.0
NEVER = 3600.0


def device(port: str, address: int) -> PluggedInDevice:
    return PluggedInDevice(UsbIdentity(0x05BA, 0x000A, "", port), 1, address)


class Udev:
    """What pyudev.Monitor offers, over a pipe."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)

    def fileno(self) -> int:
        return self._read

    def poll(self, timeout: float) -> bytes | None:
        assert timeout == 0
        try:
            return os.read(self._read, 1)
        except BlockingIOError:
            return None

    def tell(self) -> None:
        os.write(self._write, b"!")

    def close(self) -> None:
        os.close(self._read)
        os.close(self._write)


class Desk:
    def __init__(self) -> None:
        self.there = [device("1-1", 2)]
        self.looks = threading.Semaphore(0)
        self.changes = threading.Semaphore(0)

    def scan(self) -> list[PluggedInDevice]:
        self.looks.release()
        return list(self.there)


@pytest.fixture(name="desk")
def _desk() -> Desk:
    return Desk()


@pytest.fixture(name="udev")
def _udev() -> Iterator[Udev]:
    udev = Udev()
    yield udev
    udev.close()


def test_an_event_of_udev_hastens_the_look(desk: Desk, udev: Udev) -> None:
    with UsbWatcher(desk.changes.release, poll_s=NEVER, scan=desk.scan, monitor=udev):
        desk.there = []
        udev.tell()
        assert desk.changes.acquire(timeout=SOON)


def test_without_udev_looking_is_enough(desk: Desk) -> None:
    with UsbWatcher(desk.changes.release, poll_s=0.01, scan=desk.scan):
        desk.there = [device("1-1", 3)]  # the same socket, another address: it was out and in again
        assert desk.changes.acquire(timeout=SOON)


def test_events_that_change_nothing_are_no_change(desk: Desk, udev: Udev) -> None:
    with UsbWatcher(desk.changes.release, poll_s=NEVER, scan=desk.scan, monitor=udev):
        assert desk.looks.acquire(timeout=SOON)  # the first, before anything happens
        for _ in range(3):
            udev.tell()
            assert desk.looks.acquire(timeout=SOON)
        assert not desk.changes.acquire(blocking=False)


def test_close_ends_the_thread_and_may_come_twice(desk: Desk) -> None:
    before = threading.active_count()
    watch = UsbWatcher(desk.changes.release, poll_s=NEVER, scan=desk.scan)
    watch.close()
    watch.close()
    assert threading.active_count() == before


@pytest.mark.parametrize("runs", [True, False])
def test_a_watch_starts_with_and_without_udev(runs: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001 - a case
    monkeypatch.setattr("drivers.usb.hotplug.UDEV_RUNS", tmp_path if runs else tmp_path / "none")
    before = threading.active_count()
    with watch_usb(lambda: None, poll_s=NEVER):
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


def test_a_monitor_of_udev_that_fails_is_left_and_changes_are_still_found(caplog: pytest.LogCaptureFixture) -> None:
    desk, udev = Desk(), FailingUdev()
    with UsbWatcher(desk.changes.release, poll_s=0.01, scan=desk.scan, monitor=udev):
        udev.tell()
        desk.there.append(device("1-2", 3))
        assert desk.changes.acquire(timeout=SOON)
        desk.there.pop()
        assert desk.changes.acquire(timeout=SOON)
    assert "udev reports no more events" in caplog.text
    udev.close()


class FailingUdev(Udev):
    """Its connection to udev breaks at the first event."""

    def poll(self, timeout: float) -> bytes | None:
        super().poll(timeout)
        raise OSError(105, "No buffer space available")


def test_a_list_that_cannot_be_read_for_a_moment_ends_nothing() -> None:
    desk = Desk()
    failures = [OSError(2, "No such file or directory")] * 3

    def scan() -> list[PluggedInDevice]:
        if len(desk.there) > 1 and failures:
            raise failures.pop()
        return desk.scan()

    with UsbWatcher(desk.changes.release, poll_s=0.01, scan=scan):
        desk.there.append(device("1-2", 3))
        assert desk.changes.acquire(timeout=SOON)
    assert not failures
