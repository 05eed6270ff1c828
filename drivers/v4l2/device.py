"""One open video device: its format, its buffers, the next frame. What fails is named after the next action."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import numpy as np

from drivers.errors import MENDS_FORBIDDEN, Cancelled, DeviceTaken, Forbidden, LinkLost, ProtocolError
from drivers.uvc.formats import FORMAT_OF_FOURCC, PREFERENCE, PixelFormat
from drivers.uvc.options import USUAL_SIZE, CameraOptions
from drivers.v4l2.abi import (
    CAPTURE,
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
    Picture,
    Request,
    block,
    buffer_block,
)
from drivers.v4l2.kernel import Kernel, Memory

BUFFERS = 4
MOST_LISTED = 256  # formats or sizes; a driver that never ends its list is broken
USUAL_INTERVAL_S = 1 / 30

_GONE = (errno.ENODEV, errno.ENXIO, errno.EIO, errno.EPIPE, errno.EBADF)
_FORBIDDEN = f"no permission; put this account in the group video, or: {MENDS_FORBIDDEN}"
_ADVICE = {
    errno.ENOENT: "no such device; is the camera plugged in?",
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.ENOTTY: "no video device",
}


@dataclass(frozen=True, slots=True, repr=False)
class VideoFrame:
    """One frame, rows without padding. `began_at` in seconds of the kernel's clock, None where it does not say."""

    data: bytes
    began_at: float | None

    def __repr__(self) -> str:
        """Its size, never pixels."""
        return f"<VideoFrame {len(self.data)} bytes>"


class VideoDevice:
    """What a sensor holds in its Attachment. One thread uses it; cancel() may come from any thread."""

    def __init__(self, kernel: Kernel, path: str) -> None:
        self.kernel = kernel
        self._path = path
        self._cancelled = False
        self._memory: list[Memory] = []
        self._streaming = False
        self.interval = USUAL_INTERVAL_S
        with self._explained():
            self._fd = kernel.open(path)

    # Setting it up

    def identify(self) -> Capability:
        """Who it is. ProtocolError: it does not stream pictures."""
        capability = Capability.of(self._do(QUERYCAP, block(QUERYCAP, "")))
        if not capability.usable:
            raise ProtocolError("this video device has no streams of pictures; a camera may have several, try the next")
        return capability

    def configure(self, options: CameraOptions) -> tuple[PixelFormat, Picture]:
        """Agree on a format, a size and a rate."""
        offers = list(self._offers(options))
        if not offers:
            raise ProtocolError("the camera has no such size or format: leave out the options, or correct them")
        fourcc, pixels, (width, height) = min(offers, key=_rank)
        wish = Picture(width, height, fourcc, 0, 0)
        agreed = Picture.of(self._do(S_FMT, wish.to_block()))
        if (agreed.width, agreed.height, agreed.fourcc) != (width, height, fourcc):
            raise ProtocolError(f"the camera gives {agreed.width}x{agreed.height} in place of {width}x{height}")
        self._set_rate(options)
        return pixels, agreed

    def _set_rate(self, options: CameraOptions) -> None:
        """Ask for a rate, or what it is; many drivers know none, which is no reason to go without the camera."""
        wish = block(G_PARM, "=I", CAPTURE)
        if options.fps is not None:
            wish = block(S_PARM, "=I8xII", CAPTURE, 1000, round(1000 * options.fps))
        with suppress(ProtocolError):
            answer = self._do(G_PARM if options.fps is None else S_PARM, wish)
            number, per = int.from_bytes(answer[12:16], "little"), int.from_bytes(answer[16:20], "little")
            self.interval = number / per if number and per else self.interval

    def _offers(self, options: CameraOptions) -> Iterator[tuple[bytes, PixelFormat, tuple[int, int]]]:
        for fourcc in self._listed(ENUM_FMT, "=II", CAPTURE):
            pixels = FORMAT_OF_FOURCC.get(fourcc[44:48])
            if pixels is None or options.format not in (None, pixels.name):
                continue
            for size in self._sizes(fourcc[44:48], options):
                yield fourcc[44:48], pixels, size

    def _sizes(self, fourcc: bytes, options: CameraOptions) -> Iterator[tuple[int, int]]:
        """The sizes of a format; of a range of sizes the one that is asked for, else the usual one."""
        for row in self._listed(ENUM_FRAMESIZES, "=I4s", fourcc):
            words = [int.from_bytes(row[at : at + 4], "little") for at in range(8, 36, 4)]
            kind, *values = words
            if kind == DISCRETE:
                size = values[0], values[1]
            else:
                size = options.size or USUAL_SIZE
                if not (values[0] <= size[0] <= values[1] and values[3] <= size[1] <= values[4]):
                    continue
            if options.size in (None, size):
                yield size

    def _listed(self, request: Request, layout: str, *values: int | bytes) -> Iterator[bytes]:
        """What a request lists by index, until it has no more."""
        for index in range(MOST_LISTED):
            data = block(request, layout, index, *values)
            try:
                self.kernel.ioctl(self._fd, request.code, data)
            except OSError as error:
                if error.errno == errno.EINVAL:
                    return
                raise self._meaning(error) from error
            yield bytes(data)

    # Streaming

    def start(self) -> None:
        """Make the buffers, give them all to the kernel, and let the stream begin."""
        made = self._do(REQBUFS, block(REQBUFS, "=III", BUFFERS, CAPTURE, MMAP))
        for index in range(int.from_bytes(made[:4], "little")):
            buffer = Buffer.of(self._do(QUERYBUF, buffer_block(QUERYBUF, index)))
            with self._explained():
                self._memory.append(self.kernel.map(self._fd, buffer.length, buffer.offset))
            self._do(QBUF, buffer_block(QBUF, index))
        self._do(STREAMON, block(STREAMON, "=I", CAPTURE))
        self._streaming = True

    def next_frame(self, picture: Picture, deadline: float) -> VideoFrame:
        """The oldest frame not yet fetched, damaged ones left out. ProtocolError: none until `deadline`."""
        while True:
            self._await(deadline)
            buffer = Buffer.of(self._do(DQBUF, buffer_block(DQBUF)))
            if not 0 <= buffer.index < len(self._memory):
                raise ProtocolError("the kernel names a buffer that there is not")
            data = bytes(self._memory[buffer.index][0 : buffer.used])
            self._do(QBUF, buffer_block(QBUF, buffer.index))
            if not buffer.damaged:
                return VideoFrame(_without_padding(data, picture), self._began(buffer))

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
                raise ProtocolError("the camera sends no frame")

    def cancel(self) -> None:
        """End the running or the next wait with Cancelled."""
        self._cancelled = True
        self.kernel.wake()

    def close(self) -> None:
        """Give the camera back. Never raises; may be called twice."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        if self._streaming:
            with suppress(OSError):
                self.kernel.ioctl(fd, STREAMOFF.code, block(STREAMOFF, "=I", CAPTURE))
        for memory in self._memory:
            memory.close()
        with suppress(OSError):
            self.kernel.close(fd)

    # Errors

    def _do(self, request: Request, data: bytearray) -> bytes:
        with self._explained(request.name):
            self.kernel.ioctl(self._fd, request.code, data)
        return bytes(data)

    @contextmanager
    def _explained(self, what: str = "open") -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._meaning(error, what) from error

    def _meaning(self, error: OSError, what: str = "") -> Exception:
        text = _ADVICE.get(error.errno or 0, f"{what}: {error.strerror}")
        if error.errno == errno.EBUSY:
            return DeviceTaken("another program uses the camera; stop it")
        if error.errno in (errno.EACCES, errno.EPERM):
            return Forbidden(text)
        if error.errno in _GONE:
            return LinkLost("unplugged")
        return LinkLost(text) if error.errno in _ADVICE else ProtocolError(text)


def _rank(offer: tuple[bytes, PixelFormat, tuple[int, int]]) -> tuple[bool, int, int]:
    """Best first, as for a bulk camera: large enough, the better format, the smallest that is large enough."""
    _, pixels, (width, height) = offer
    small = width < USUAL_SIZE[0] or height < USUAL_SIZE[1]
    return small, PREFERENCE.index(pixels), -width * height if small else width * height


def _without_padding(data: bytes, picture: Picture) -> bytes:
    """Rows as wide as the picture: some hardware fills each up to a round number of bytes."""
    pixels = FORMAT_OF_FOURCC[picture.fourcc]
    wide = picture.width * (2 if pixels.bits == 16 else 1)
    if not pixels.bits or picture.row_bytes <= wide or len(data) % picture.row_bytes:
        return data
    return np.frombuffer(data, np.uint8).reshape(-1, picture.row_bytes)[:, :wide].tobytes()
