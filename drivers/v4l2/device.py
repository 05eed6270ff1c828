"""One open video device: its format, its buffers, the next frame. Raises the errors of drivers.errors."""

import ctypes
import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import numpy as np

from drivers.errors import Cancelled, ProtocolError, SensorError
from drivers.uvc.descriptors import streaming_interfaces
from drivers.uvc.emitter import SET_CUR, ControlPort, Emitter, Led
from drivers.uvc.formats import FORMAT_OF_FOURCC
from drivers.uvc.options import DEFAULT_SIZE, CameraOptions, Contents, preference
from drivers.v4l2.abi import (
    CAPTURE,
    CONTROL_QUERY,
    DISCRETE,
    DQBUF,
    ENUM_FMT,
    ENUM_FRAMESIZES,
    G_PARM,
    MMAP,
    QBUF,
    QUERYBUF,
    QUERYCAP,
    REQBUFS,
    S_FMT,
    S_PARM,
    STREAMOFF,
    STREAMON,
    Buffer,
    Capability,
    FrameLayout,
    Request,
    buffer_structure,
    control_query,
    structure,
)
from drivers.v4l2.failures import GONE, translated, translated_of_control
from drivers.v4l2.kernel import Kernel, Memory

log = logging.getLogger(__name__)

BUFFERS = 4
MAX_LISTED = 256  # formats or sizes; a longer list never ends
DEFAULT_INTERVAL_S = 1 / 30


@dataclass(frozen=True, slots=True, repr=False)
class VideoFrame:
    """One frame, rows without padding. `began_at`: seconds of the kernel's clock, None if it is not reported."""

    data: bytes
    began_at: float | None

    def __repr__(self) -> str:
        """Its size, never pixels."""
        return f"<VideoFrame {len(self.data)} bytes>"


class VideoDevice:
    """An open video device, held by a sensor in its Attachment. One thread uses it; any thread may call cancel()."""

    def __init__(self, kernel: Kernel, path: str) -> None:
        self.kernel = kernel
        self._path = path
        self._cancelled = False
        self._memory: list[Memory] = []
        self._streaming = False
        self._emitter: Emitter | None = None
        self._fd = -1
        self.interval = DEFAULT_INTERVAL_S
        with self._errors_translated():
            self._fd = kernel.open(path)

    # Setting it up

    def identify(self) -> Capability:
        """Reads the identity. ProtocolError if the device does not stream images."""
        capability = Capability.from_bytes(self._ioctl(QUERYCAP, structure(QUERYCAP, "")))
        if not capability.usable:
            raise ProtocolError(
                "this video device streams no images; a camera may have several devices, try the next one"
            )
        return capability

    def configure(self, options: CameraOptions) -> tuple[Contents, FrameLayout]:
        """Sets format, size and frame rate. Returns what the frames hold, and their layout in memory."""
        offers = list(self._offers(options))
        if not offers:
            raise ProtocolError("the camera has no such size or format: leave out the options, or correct them")
        fourcc, described = min(offers, key=lambda offer: preference(offer[1], options))
        width, height = described.width, described.height
        requested = FrameLayout(width, height, fourcc, 0, 0)
        agreed = FrameLayout.from_bytes(self._ioctl(S_FMT, requested.to_bytes()))
        if (agreed.width, agreed.height, agreed.fourcc) != (width, height, fourcc):
            raise ProtocolError(f"the camera gives {agreed.width}x{agreed.height} in place of {width}x{height}")
        self._set_rate(options)
        return options.contains or described, agreed

    def _set_rate(self, options: CameraOptions) -> None:
        """Sets or reads the frame rate. Many kernel drivers cannot, and some cameras fail: no reason not to stream."""
        request = structure(G_PARM, "=I", CAPTURE)
        if options.fps is not None:
            request = structure(S_PARM, "=I8xII", CAPTURE, 1000, round(1000 * options.fps))
        try:
            answer = self._ioctl(G_PARM if options.fps is None else S_PARM, request)
            number, per = int.from_bytes(answer[12:16], "little"), int.from_bytes(answer[16:20], "little")
            self.interval = number / per if number and per else self.interval
        except ProtocolError as error:
            log.info("%s: the frame rate is not known: %s", self._path, error)

    def _offers(self, options: CameraOptions) -> Iterator[tuple[bytes, Contents]]:
        for fourcc in self._listed(ENUM_FMT, "=II", CAPTURE):
            stated = None if options.contains is None else options.contains.pixels
            pixels = FORMAT_OF_FOURCC.get(fourcc[44:48], stated)
            if pixels is None or options.format not in (None, pixels.name):
                continue
            for size in self._sizes(fourcc[44:48], options):
                yield fourcc[44:48], Contents(pixels, *size)

    def _sizes(self, fourcc: bytes, options: CameraOptions) -> Iterator[tuple[int, int]]:
        """The frame sizes of a format. Of a range: the requested size, otherwise the default one."""
        for row in self._listed(ENUM_FRAMESIZES, "=I4s", fourcc):
            words = [int.from_bytes(row[at : at + 4], "little") for at in range(8, 36, 4)]
            kind, *values = words
            if kind == DISCRETE:
                size = values[0], values[1]
            else:
                size = options.size or DEFAULT_SIZE
                if not (values[0] <= size[0] <= values[1] and values[3] <= size[1] <= values[4]):
                    continue
            if options.size in (None, size):
                yield size

    def _listed(self, request: Request, layout: str, *values: int | bytes) -> Iterator[bytes]:
        """The rows that a request lists by index, until there are no more."""
        for index in range(MAX_LISTED):
            data = structure(request, layout, index, *values)
            try:
                self.kernel.ioctl(self._fd, request.code, data)
            except OSError as error:
                if error.errno == errno.EINVAL:
                    return
                raise self._translated(error, request.name) from error
            yield bytes(data)

    # The light

    def switch_on(self, led: Led) -> None:
        """Switches the emitter on until close(). ProtocolError if the camera refuses it."""
        configuration, number = self.kernel.usb_interface(self._path)
        units = [
            unit
            for stream in streaming_interfaces(configuration)
            if stream.control_interface == number
            for unit in stream.extensions
        ]
        emitter = Emitter(DevicePort(self), led, units)
        emitter.on()
        self._emitter = emitter

    def query_control(self, unit: int, selector: int, query: int, data: bytearray) -> None:
        """A request to a control of an extension unit. ProtocolError if it is refused, LinkLost."""
        memory = (ctypes.c_char * len(data)).from_buffer(data)
        try:
            self.kernel.ioctl(self._fd, CONTROL_QUERY.code, control_query(unit, selector, query, memory))
        except OSError as error:
            raise translated_of_control(error, present=self._present()) from error

    # Streaming

    def start(self) -> None:
        """Maps the buffers, queues them all and starts the stream."""
        made = self._ioctl(REQBUFS, structure(REQBUFS, "=III", BUFFERS, CAPTURE, MMAP))
        for index in range(int.from_bytes(made[:4], "little")):
            buffer = Buffer.from_bytes(self._ioctl(QUERYBUF, buffer_structure(QUERYBUF, index)))
            with self._errors_translated():
                self._memory.append(self.kernel.map(self._fd, buffer.length, buffer.offset))
            self._ioctl(QBUF, buffer_structure(QBUF, index))
        self._ioctl(STREAMON, structure(STREAMON, "=I", CAPTURE))
        self._streaming = True

    def next_frame(self, layout: FrameLayout, deadline: float) -> VideoFrame:
        """The oldest frame not yet fetched; skips damaged ones. ProtocolError if there is none before `deadline`."""
        while True:
            self._await(deadline)
            buffer = Buffer.from_bytes(self._ioctl(DQBUF, buffer_structure(DQBUF)))
            if not 0 <= buffer.index < len(self._memory):
                raise ProtocolError("the kernel names a buffer that does not exist")
            data = bytes(self._memory[buffer.index][0 : buffer.used])
            self._ioctl(QBUF, buffer_structure(QBUF, buffer.index))
            if not buffer.damaged:
                return VideoFrame(_without_padding(data, layout), self._began(buffer))

    def _began(self, buffer: Buffer) -> float | None:
        if buffer.time is None or buffer.stamped_at_start:
            return buffer.time
        return buffer.time - self.interval

    def _await(self, deadline: float) -> None:
        while not self.kernel.wait(self._fd, deadline - self.kernel.now()):
            if self._cancelled:
                self._cancelled = False
                raise Cancelled(self._path)
            if self.kernel.now() >= deadline:
                advice = "" if self._emitter else "; an infrared camera may need the option 'emitter'"
                raise ProtocolError(f"the camera sends no frame{advice}")

    def cancel(self) -> None:
        """Ends the running or the next wait with Cancelled."""
        self._cancelled = True
        self.kernel.wake()

    def close(self) -> None:
        """Stops the stream and closes the device. Never raises; may be called twice."""
        if self._fd < 0:
            return
        if self._emitter is not None:
            with suppress(SensorError):
                self._emitter.off()
        fd, self._fd = self._fd, -1
        if self._streaming:
            with suppress(OSError):
                self.kernel.ioctl(fd, STREAMOFF.code, structure(STREAMOFF, "=I", CAPTURE))
        for memory in self._memory:
            memory.close()
        with suppress(OSError):
            self.kernel.close(fd)

    # Errors

    def _ioctl(self, request: Request, data: bytearray) -> bytes:
        with self._errors_translated(request.name):
            self.kernel.ioctl(self._fd, request.code, data)
        return bytes(data)

    @contextmanager
    def _errors_translated(self, what: str = "open") -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._translated(error, what) from error

    def _translated(self, error: OSError, request: str) -> SensorError:
        return translated(error, request, present=self._present())

    def _present(self) -> bool:
        """Whether the camera is plugged in. The kernel answers this request itself, and refuses it once it is gone."""
        if self._fd < 0:
            return True  # not opened: the error of open() says it
        try:
            self.kernel.ioctl(self._fd, QUERYCAP.code, structure(QUERYCAP, ""))
        except OSError as error:
            return error.errno not in GONE
        return True


class DevicePort:
    """The controls of extension units of a camera, through the kernel's UVC driver."""

    def __init__(self, device: VideoDevice) -> None:
        self._device = device

    def read(self, query: int, unit: int, selector: int, size: int) -> bytes:
        """A request that reads a control. ProtocolError if it is refused."""
        data = bytearray(size)
        self._device.query_control(unit, selector, query, data)
        return bytes(data)

    def write(self, unit: int, selector: int, data: bytes) -> None:
        """Writes a control. ProtocolError if it is refused."""
        self._device.query_control(unit, selector, SET_CUR, bytearray(data))


_: type[ControlPort] = DevicePort


def _without_padding(data: bytes, layout: FrameLayout) -> bytes:
    """Removes the padding of the rows: some hardware pads each row to a round number of bytes."""
    pixels = FORMAT_OF_FOURCC.get(layout.fourcc)
    if pixels is None:
        return data
    wide = layout.width * (pixels.bits // 8)
    if not pixels.bits or layout.row_bytes <= wide or len(data) % layout.row_bytes:
        return data
    return np.frombuffer(data, np.uint8).reshape(-1, layout.row_bytes)[:, :wide].tobytes()
