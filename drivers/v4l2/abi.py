"""The part of the Linux V4L2 interface that a camera needs: ioctl requests and their structures, on 64-bit machines.

From linux/videodev2.h. Only encodes and parses; never accesses a device.
"""

import ctypes
import struct
from dataclasses import dataclass

from drivers.printable import printable

CAPTURE, MMAP = 1, 1  # V4L2_BUF_TYPE_VIDEO_CAPTURE, V4L2_MEMORY_MMAP
CAN_CAPTURE, CAN_STREAM, HAS_DEVICE_CAPS = 0x1, 0x0400_0000, 0x8000_0000
FIELD_NONE = 1
DISCRETE = 1  # a frame size that is one of a list
FLAG_ERROR, CLOCK_MASK, CLOCK_MONOTONIC = 0x40, 0xE000, 0x2000
SOURCE_MASK, STAMPED_AT_START = 0x7_0000, 0x1_0000
_WRITE, _READ = 1, 2


@dataclass(frozen=True, slots=True)
class Request:
    """One ioctl: its number in its group, the direction of the data, and the size of its structure."""

    name: str
    number: int
    direction: int
    size: int
    group: str = "V"

    @property
    def code(self) -> int:
        """As the kernel encodes it."""
        return self.direction << 30 | self.size << 16 | ord(self.group) << 8 | self.number


QUERYCAP = Request("VIDIOC_QUERYCAP", 0, _READ, 104)
ENUM_FMT = Request("VIDIOC_ENUM_FMT", 2, _READ | _WRITE, 64)
S_FMT = Request("VIDIOC_S_FMT", 5, _READ | _WRITE, 208)
REQBUFS = Request("VIDIOC_REQBUFS", 8, _READ | _WRITE, 20)
QUERYBUF = Request("VIDIOC_QUERYBUF", 9, _READ | _WRITE, 88)
QBUF = Request("VIDIOC_QBUF", 15, _READ | _WRITE, 88)
DQBUF = Request("VIDIOC_DQBUF", 17, _READ | _WRITE, 88)
STREAMON = Request("VIDIOC_STREAMON", 18, _WRITE, 4)
STREAMOFF = Request("VIDIOC_STREAMOFF", 19, _WRITE, 4)
G_PARM = Request("VIDIOC_G_PARM", 21, _READ | _WRITE, 204)
S_PARM = Request("VIDIOC_S_PARM", 22, _READ | _WRITE, 204)
CONTROL_QUERY = Request("UVCIOC_CTRL_QUERY", 33, _READ | _WRITE, 16, "u")  # linux/uvcvideo.h
ENUM_FRAMESIZES = Request("VIDIOC_ENUM_FRAMESIZES", 74, _READ | _WRITE, 44)


def structure(request: Request, layout: str, *values: int | bytes) -> bytearray:
    """The structure of a request; fields that are not given are zero."""
    return bytearray(struct.pack(layout, *values).ljust(request.size, b"\0"))


@dataclass(frozen=True, slots=True)
class Capability:
    """The identity of the device, and whether it can stream images (`usable`)."""

    driver: str
    card: str
    bus: str
    usable: bool

    @classmethod
    def from_bytes(cls, data: bytes) -> "Capability":
        """Parses a v4l2_capability."""
        driver, card, bus, _version, whole, device = struct.unpack_from("=16s32s32sIII", data)
        caps = device if whole & HAS_DEVICE_CAPS else whole
        wanted = CAN_CAPTURE | CAN_STREAM
        return cls(_text(driver), _text(card), _text(bus), caps & wanted == wanted)


@dataclass(frozen=True, slots=True)
class FrameLayout:
    """The layout of a frame in memory (v4l2_pix_format)."""

    width: int
    height: int
    fourcc: bytes
    row_bytes: int
    frame_bytes: int

    def to_bytes(self) -> bytearray:
        """The request (v4l2_format); the kernel fills in the sizes."""
        return structure(S_FMT, "=I4xII4sI", CAPTURE, self.width, self.height, self.fourcc, FIELD_NONE)

    @classmethod
    def from_bytes(cls, data: bytes) -> "FrameLayout":
        """Parses the answer of the kernel (v4l2_format)."""
        width, height, fourcc, _field, row_bytes, frame_bytes = struct.unpack_from("=8xII4sIII", data)
        return cls(width, height, fourcc, row_bytes, frame_bytes)


@dataclass(frozen=True, slots=True)
class Buffer:
    """One of the kernel's buffers. `time`: seconds of the monotonic clock, None if the driver uses another clock."""

    index: int
    used: int
    damaged: bool
    time: float | None
    stamped_at_start: bool
    offset: int
    length: int

    @classmethod
    def from_bytes(cls, data: bytes) -> "Buffer":
        """Parses a v4l2_buffer."""
        index, _, used, flags = struct.unpack_from("=IIII", data)
        seconds, micros = struct.unpack_from("=qq", data, 24)
        offset, length = struct.unpack_from("=I4xI", data, 64)
        time = seconds + micros / 1e6 if flags & CLOCK_MASK == CLOCK_MONOTONIC else None
        at_start = flags & SOURCE_MASK == STAMPED_AT_START
        return cls(index, used, bool(flags & FLAG_ERROR), time, at_start, offset, length)


def buffer_structure(request: Request, index: int = 0) -> bytearray:
    """A v4l2_buffer that names the buffer `index`."""
    data = structure(request, "=II", index, CAPTURE)
    struct.pack_into("=I", data, 60, MMAP)
    return data


def control_query(unit: int, selector: int, query: int, memory: "ctypes.Array[ctypes.c_char]") -> bytearray:
    """A uvc_xu_control_query: a request to a control of an extension unit. It points to `memory`; keep that alive."""
    return structure(CONTROL_QUERY, "=BBBxH2xQ", unit, selector, query, len(memory), ctypes.addressof(memory))


def _text(raw: bytes) -> str:
    return printable(raw.split(b"\0")[0].decode("utf-8", "replace"))
