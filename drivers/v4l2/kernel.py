"""The system calls that reach a video device. Tests use a fake kernel: the real one may have no video device."""

import fcntl
import mmap
import os
import select
import threading
import time
from pathlib import Path
from typing import Protocol

VIDEO_DEVICES = Path("/sys/class/video4linux")
DEVICE_DESCRIPTOR_BYTES = 18


class Memory(Protocol):
    """A mapped buffer."""

    def __getitem__(self, part: slice) -> bytes:
        """A copy of a part of its bytes."""

    def close(self) -> None:
        """Unmaps it."""


class Kernel(Protocol):
    """One open video device at a time. Any thread may call wake(). Failures are OSError."""

    def now(self) -> float:
        """Seconds of the monotonic clock, which also stamps the buffers."""

    def open(self, path: str) -> int:
        """Opens the device; returns a non-blocking file descriptor."""

    def ioctl(self, fd: int, code: int, data: bytearray) -> None:
        """Performs a request; `data` is changed in place."""

    def map(self, fd: int, length: int, offset: int) -> Memory:
        """Maps a buffer of the device."""

    def usb_interface(self, path: str) -> tuple[bytes, int]:
        """The configuration descriptor of a USB camera, and the number of its control interface; empty if not known."""

    def wait(self, fd: int, seconds: float) -> bool:
        """Waits for a frame. False after `seconds` or a wake().

        True if a frame is ready, or if the device failed: the next request then reports how.
        """

    def wake(self) -> None:
        """Ends the running wait; if none is running, the next one."""

    def close(self, fd: int) -> None:
        """Closes a file descriptor. Never raises."""


class LinuxKernel:
    """The kernel of this machine."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # wake() against close()
        self._wake = -1

    def now(self) -> float:
        """Seconds of CLOCK_MONOTONIC."""
        return time.monotonic()

    def open(self, path: str) -> int:
        """Opens the device file."""
        fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        with self._lock:
            self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        return fd

    def ioctl(self, fd: int, code: int, data: bytearray) -> None:
        """Performs a request."""
        fcntl.ioctl(fd, code, data, True)

    def usb_interface(self, path: str) -> tuple[bytes, int]:
        """As sysfs has them."""
        try:
            interface = (VIDEO_DEVICES / Path(path).resolve().name / "device").resolve()
            number = int((interface / "bInterfaceNumber").read_text(encoding="ascii"), 16)
            return (interface.parent / "descriptors").read_bytes()[DEVICE_DESCRIPTOR_BYTES:], number
        except (OSError, ValueError):
            return b"", 0

    def map(self, fd: int, length: int, offset: int) -> Memory:
        """Maps a buffer."""
        return mmap.mmap(fd, length, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=offset)

    def wait(self, fd: int, seconds: float) -> bool:
        """Waits for a frame."""
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        ready = [each for each, _ in poll.poll(max(seconds, 0.0) * 1000)]
        if self._wake in ready:
            os.eventfd_read(self._wake)
            return False
        return fd in ready

    def wake(self) -> None:
        """Ends a wait."""
        with self._lock:
            if self._wake >= 0:
                os.eventfd_write(self._wake, 1)

    def close(self, fd: int) -> None:
        """Closes the device file."""
        os.close(fd)
        with self._lock:
            wake, self._wake = self._wake, -1
            if wake >= 0:
                os.close(wake)


_: type[Kernel] = LinuxKernel
