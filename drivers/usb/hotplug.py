"""Reports when a USB device is plugged in or unplugged: from udev if it runs, otherwise by polling sysfs."""

import logging
import os
import select
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from drivers.usb.sysfs import PluggedInDevice, plugged_in

log = logging.getLogger(__name__)

MAX_EVENTS = 1000  # read before one scan
UDEV_RUNS = Path("/run/udev/control")
POLL_S = 1.0


class UsbWatcher:
    """Calls `changed` in its own thread after each change, until close(). Also polls every `poll_s` seconds.

    An event of udev only makes the next scan earlier. A change is found by comparing scans, so no event can be lost or
    reported twice.
    """

    def __init__(
        self,
        changed: Callable[[], None],
        *,
        poll_s: float = POLL_S,
        scan: Callable[[], list[PluggedInDevice]] = lambda: list(plugged_in()),
        monitor: Any = None,  # noqa: ANN401 - pyudev has no types
    ) -> None:
        self._changed = changed
        self._poll_s = poll_s
        self._scan = scan
        self._monitor = monitor
        self._seen = scan()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="usb watch", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stops the thread. May be called twice."""
        if self._thread.is_alive():
            os.eventfd_write(self._wake, 1)
            self._thread.join()
            os.close(self._wake)

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        if self._monitor is not None:
            poll.register(self._monitor, select.POLLIN)
        while self._wake not in [fd for fd, _ in poll.poll(1000 * self._poll_s)]:
            if not self._drain_events():
                poll.unregister(self._monitor)
                self._monitor = None
            self._compare()

    def _compare(self) -> None:
        try:
            now = self._scan()
        except OSError as error:  # sysfs changes while it is read; the next scan is soon
            log.debug("the USB devices cannot be listed: %s", error)
            return
        if now != self._seen:
            self._seen = now
            self._changed()

    def _drain_events(self) -> bool:
        """Reads the events so far; whether the monitor still works. Without it polling finds the changes."""
        try:
            for _ in range(MAX_EVENTS):
                if self._monitor is None or self._monitor.poll(timeout=0) is None:
                    break
        except (OSError, ValueError) as error:
            log.warning("udev reports no more events of USB devices; looking every %g s: %s", self._poll_s, error)
            return False
        return True


def watch_usb(changed: Callable[[], None], *, poll_s: float = POLL_S) -> UsbWatcher:
    """Calls `changed`, in another thread, when USB devices are plugged in or unplugged, until the result is closed."""
    return UsbWatcher(changed, poll_s=poll_s, monitor=_monitor() if UDEV_RUNS.exists() else None)


def _monitor() -> Any:  # noqa: ANN401 - pyudev has no types
    """The monitor of udev events; None if it is not available, and then polling finds the changes later."""
    with suppress(ImportError, OSError):
        import pyudev  # noqa: PLC0415 - needs libudev, which may not be installed

        monitor = pyudev.Monitor.from_netlink(pyudev.Context())
        monitor.filter_by("usb", "usb_device")
        monitor.start()
        return monitor
    return None
