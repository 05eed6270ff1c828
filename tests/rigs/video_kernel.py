"""A fake kernel with one video device: open, ioctl, mmap and poll. Written from linux/videodev2.h alone."""

import ctypes
import errno
import os
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from drivers.v4l2.kernel import Kernel

Frame = Callable[[int], bytes]
Row = TypeVar("Row")
DATA_BYTES = 65_536

VIDIOC = {
    0x80685600: "querycap",
    0xC0405602: "enum_fmt",
    0xC0D05605: "s_fmt",
    0xC0145608: "reqbufs",
    0xC0585609: "querybuf",
    0xC058560F: "qbuf",
    0xC0585611: "dqbuf",
    0x40045612: "streamon",
    0x40045613: "streamoff",
    0xC0CC5615: "g_parm",
    0xC0CC5616: "s_parm",
    0xC02C564A: "enum_framesizes",
    0xC0107521: "ctrl_query",
}
SET_CUR, GET_LEN = 0x01, 0x85
MONOTONIC, AT_START, ERROR = 0x2000, 0x10000, 0x40


@dataclass
class VideoCamera:
    """One camera of the fake kernel, and what a test does with it. While it streams, frames begin at a fixed rate."""

    fourccs: tuple[bytes, ...] = (b"GREY",)
    sizes: tuple[tuple[int, int], ...] = ((64, 48),)
    fps: float = 100.0
    padding: int = 0  # bytes behind each row
    flags: int = MONOTONIC | AT_START
    card: str = "Fake eye camera"
    capabilities: int = 0x04000001
    frame: Frame = lambda _number: bytes(64 * 48)
    stepwise: bool = False
    plugged: bool = True
    silent: bool = False
    owner: object | None = None
    damaged: set[int] = field(default_factory=set)
    news: threading.Condition = field(default_factory=threading.Condition)
    unplug_in: int | None = None  # bytes
    fails: dict[str, int] = field(default_factory=dict)  # error number of a request, by its name in VIDIOC or "open"
    controls: dict[tuple[int, int], bytearray] = field(default_factory=dict)  # of extension units: unit and selector
    control_errors: dict[int, int] = field(default_factory=dict)  # error number by query
    usb: tuple[bytes, int] = (b"", 0)  # configuration descriptor and number of the control interface
    begun: int = 0

    def change(self, **facts: object) -> None:
        """Sets any of the fields and wakes all waiting threads."""
        with self.news:
            for name, value in facts.items():
                setattr(self, name, value)
            self.news.notify_all()


class FakeKernel:
    """The kernel that the driver v4l2 uses instead of Linux."""

    def __init__(self, camera: VideoCamera) -> None:
        self.camera = camera
        self.open_files: list[int] = []
        self.mapped = 0
        self._woken = False
        self._buffers: list[bytearray] = []
        self._queued = deque[int]()
        self._size = (64, 48)
        self._streaming_since: float | None = None
        self._number = 0  # frames that were begun since the stream began

    def now(self) -> float:
        return time.monotonic()

    def open(self, path: str) -> int:
        if not self.camera.plugged or path != "/dev/video0":
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        self._queued.clear()
        self.open_files.append(1000 + len(self.open_files))
        return self.open_files[-1]

    def _check(self, fd: int) -> None:
        if fd not in self.open_files:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    def close(self, fd: int) -> None:
        self.open_files.remove(fd)
        self._streaming_since = None
        if self.camera.owner is self:
            self.camera.owner = None

    def map(self, fd: int, length: int, offset: int) -> "FakeMemory":
        self._check(fd)
        self.mapped += 1
        return FakeMemory(self, self._buffers[offset // DATA_BYTES], length)

    def wake(self) -> None:
        with self.camera.news:
            self._woken = True
            self.camera.news.notify_all()

    def wait(self, fd: int, seconds: float) -> bool:
        self._check(fd)
        deadline = self.now() + seconds
        with self.camera.news:
            while not self._woken:
                left = deadline - self.now()
                due = self._due()
                if not self.camera.plugged or due <= self.now():
                    return True
                if left <= 0:
                    return False
                self.camera.news.wait(min(left, due - self.now()))
            self._woken = False
            return False

    def _due(self) -> float:
        """When the frame for the oldest buffer is complete."""
        if self._streaming_since is None or not self._queued or self.camera.silent:
            return float("inf")
        return self._began() + 1 / self.camera.fps

    def stream_began(self) -> float:
        """When frame 0 began."""
        assert self._streaming_since is not None
        return self._streaming_since

    def _began(self) -> float:
        assert self._streaming_since is not None
        return self._streaming_since + self._number / self.camera.fps

    def ioctl(self, fd: int, code: int, data: bytearray) -> None:
        self._check(fd)
        if not self.camera.plugged:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        if code not in VIDIOC:
            raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))
        if number := self.camera.fails.get(VIDIOC[code]):
            raise OSError(number, os.strerror(number))
        with self.camera.news:
            getattr(self, f"_{VIDIOC[code]}")(data)

    def _ctrl_query(self, request: bytearray) -> None:
        """As the kernel's UVC driver: the control must exist, and the size be its own."""
        unit, selector, query, size, address = struct.unpack("=BBBxH2xQ", request)
        memory = (ctypes.c_char * size).from_address(address)
        control = self.camera.controls.get((unit, selector))
        number = errno.ENOENT if control is None else self.camera.control_errors.get(query, 0)
        if control is not None and not number and size != (2 if query == GET_LEN else len(control)):
            number = errno.ENOBUFS
        if control is None or number:
            raise OSError(number, os.strerror(number))
        if query == SET_CUR:
            control[:] = memory.raw
        else:
            memory.raw = len(control).to_bytes(2, "little") if query == GET_LEN else bytes(control)

    def usb_interface(self, path: str) -> tuple[bytes, int]:
        return self.camera.usb if path == "/dev/video0" else (b"", 0)

    def _querycap(self, data: bytearray) -> None:
        name = self.camera.card.encode()
        struct.pack_into("=16s32s32sIII", data, 0, b"uvcvideo", name, b"usb-1", 0, 0x84A00001, self.camera.capabilities)

    def _enum_fmt(self, data: bytearray) -> None:
        (index,) = struct.unpack_from("=I", data)
        data[44:48] = self._row(self.camera.fourccs, index)

    def _enum_framesizes(self, data: bytearray) -> None:
        (index,) = struct.unpack_from("=I", data)
        if self.camera.stepwise:
            self._row((0,), index)
            struct.pack_into("=IIIIIII", data, 8, 3, 16, 1280, 2, 16, 1024, 2)
        else:
            struct.pack_into("=III", data, 8, 1, *self._row(self.camera.sizes, index))

    def _row(self, rows: tuple[Row, ...], index: int) -> Row:
        if index >= len(rows):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return rows[index]

    def _s_fmt(self, data: bytearray) -> None:
        self._claim()
        width, height = struct.unpack_from("=II", data, 8)
        self._size = width, height
        row = width * {b"GREY": 1, b"MJPG": 0, b"NV12": 1}.get(bytes(data[16:20]), 2) + self.camera.padding
        struct.pack_into("=II", data, 24, row, row * height)

    def _claim(self) -> None:
        if self.camera.owner not in (None, self):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        self.camera.owner = self

    def _reqbufs(self, data: bytearray) -> None:
        self._claim()
        (count,) = struct.unpack_from("=I", data)
        self._buffers = [bytearray(DATA_BYTES) for _ in range(count)]

    def _querybuf(self, data: bytearray) -> None:
        (index,) = struct.unpack_from("=I", data)
        struct.pack_into("=I4xI", data, 64, index * DATA_BYTES, DATA_BYTES)

    def _qbuf(self, data: bytearray) -> None:
        self._queued.append(struct.unpack_from("=I", data)[0])

    def _streamon(self, _data: bytearray) -> None:
        self._streaming_since, self._number = self.now(), 0

    def _streamoff(self, _data: bytearray) -> None:
        self._streaming_since = None
        self._queued.clear()

    def _g_parm(self, data: bytearray) -> None:
        struct.pack_into("=II", data, 12, 1000, round(1000 * self.camera.fps))

    _s_parm = _g_parm

    def _dqbuf(self, data: bytearray) -> None:
        camera = self.camera
        if self._due() > self.now():
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        index, began = self._queued.popleft(), self._began()
        pixels = camera.frame(self._number)
        self._pull(len(pixels))
        self._buffers[index][: len(pixels)] = pixels
        flags = camera.flags | (ERROR if self._number in camera.damaged else 0)
        struct.pack_into("=IIII", data, 0, index, 1, len(pixels), flags)
        stamp = began if camera.flags & AT_START else began + 1 / camera.fps
        struct.pack_into("=qq", data, 24, int(stamp), int(stamp % 1 * 1e6))
        self._go_on()

    def _pull(self, count: int) -> None:
        """Unplugs the camera in the middle of a frame, if a test asked for it."""
        camera = self.camera
        if camera.unplug_in is None:
            return
        camera.unplug_in -= count
        if camera.unplug_in < 0:
            camera.plugged, camera.unplug_in = False, None
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    def _go_on(self) -> None:
        """Advances to the next frame. After a pause without buffers some are lost: the sensor does not wait."""
        self._number += 1
        if not self._queued:
            late = self.now() - self._began()
            self._number += max(0, int(late * self.camera.fps))
        self.camera.begun += 1
        self.camera.news.notify_all()


class FakeMemory:
    """A mapped buffer."""

    def __init__(self, kernel: FakeKernel, data: bytearray, length: int) -> None:
        self._kernel = kernel
        self._data = memoryview(data)[:length]

    def __getitem__(self, part: slice) -> bytes:
        return bytes(self._data[part])

    def close(self) -> None:
        self._kernel.mapped -= 1


_: type[Kernel] = FakeKernel
