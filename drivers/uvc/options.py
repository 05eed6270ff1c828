"""The options of the uvc driver, and how they choose a camera's stream. drivers/README.md explains each option."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import BeforeValidator, Field

from drivers.errors import ProtocolError
from drivers.options import DriverOptions, reject_boolean
from drivers.uvc.descriptors import MAX_FRAME_SIDE, TICKS_PER_S, FormatDescriptor, FrameDescriptor, StreamingInterface
from drivers.uvc.formats import FORMAT_NAMED, PREFERENCE, PixelFormat
from drivers.uvc.probe_commit import StreamSettings

DEFAULT_SIZE = (640, 480)  # an eye that fills it has about 200 pixels across the iris
MAX_FRAME_TIMEOUT_S = 4.0  # a descriptor may announce frame intervals of minutes


@dataclass(frozen=True, slots=True)
class Led:
    """A control of an extension unit that switches the light: the bytes to write for on and for off."""

    unit: int
    selector: int
    on: bytes
    off: bytes


def _size(value: object) -> object:
    found = re.fullmatch(r"([0-9]{2,5})x([0-9]{2,5})", value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("must be WIDTHxHEIGHT, such as 640x480")
    sides = int(found[1]), int(found[2])
    if max(sides) > MAX_FRAME_SIDE:
        raise ValueError(f"must be at most {MAX_FRAME_SIDE} pixels a side")
    return sides


def _known_format(value: object) -> object:
    if value not in FORMAT_NAMED:
        raise ValueError(f"must be one of {', '.join(FORMAT_NAMED)}")
    return value


def _led(value: object) -> object:
    found = re.fullmatch(r"([0-9]{1,3}):([0-9]{1,3}):((?:[0-9a-fA-F]{2})+)(?::((?:[0-9a-fA-F]{2})+))?", str(value))
    if found is None:
        raise ValueError("must be UNIT:SELECTOR:ON[:OFF], the two last as hexadecimal bytes, such as 3:1:01:00")
    unit, selector, on = int(found[1]), int(found[2]), bytes.fromhex(found[3])
    if not 0 < unit <= 255 or not 0 < selector <= 255:
        raise ValueError("must name a unit and a selector from 1 to 255")
    return Led(unit, selector, on, bytes.fromhex(found[4]) if found[4] else bytes(len(on)))


Size = Annotated[tuple[int, int], BeforeValidator(_size)]
Fps = Annotated[float, BeforeValidator(reject_boolean), Field(gt=0, le=1000)]
Ppi = Annotated[float, BeforeValidator(reject_boolean), Field(ge=0, le=10_000)]
FormatName = Annotated[str, BeforeValidator(_known_format)]


class CameraOptions(DriverOptions):
    """The options of every camera."""

    size: Size | None = None
    fps: Fps | None = None
    format: FormatName | None = None
    ppi: Ppi = 0.0


class UvcOptions(CameraOptions):
    """The options of a camera on a bulk endpoint."""

    interface: Annotated[int, BeforeValidator(reject_boolean), Field(ge=0, le=255)] | None = None
    led: Annotated[Led, BeforeValidator(_led)] | None = None


def frame_timeout(seconds: float) -> float:
    """Seconds to wait for a frame if they come every `seconds`: four frame intervals, but at most four seconds."""
    return min(4 * seconds, MAX_FRAME_TIMEOUT_S)


@dataclass(frozen=True, slots=True)
class StreamChoice:
    """What is streamed: one frame size and interval of one format of one streaming interface."""

    stream: StreamingInterface
    format: FormatDescriptor
    frame: FrameDescriptor
    pixels: PixelFormat
    interval: int  # 100 ns

    @property
    def requested(self) -> StreamSettings:
        """The settings to request from the camera."""
        return StreamSettings(self.format.index, self.frame.index, self.interval)

    @property
    def frame_interval_s(self) -> float:
        """Seconds from one frame to the next; 0.1 if the camera does not report it."""
        return self.interval / TICKS_PER_S or 0.1

    @property
    def fps(self) -> float:
        """Frames per second."""
        return 1 / self.frame_interval_s

    @property
    def frame_timeout_s(self) -> float:
        """Seconds after which a frame is overdue."""
        return frame_timeout(self.frame_interval_s)

    @property
    def frame_bytes(self) -> int:
        """The size of a frame in bytes; 0 if it varies."""
        return self.pixels.frame_bytes(self.frame.width, self.frame.height)

    def frame_limit(self, promised: int) -> int:
        """The maximum size of a frame in bytes: as negotiated (`promised`) or as in the descriptor, if plausible.

        A raw frame has its own size, or somewhat more if the camera pads it. A compressed one has at most two bytes per
        pixel, whatever the camera reports.
        """
        reported = promised or self.frame.max_bytes
        if self.frame_bytes:
            return reported if self.frame_bytes < reported < 2 * self.frame_bytes else self.frame_bytes
        most = self.frame.width * self.frame.height * 2
        return min(reported or most, most)


def choose_stream(streams: Sequence[StreamingInterface], options: UvcOptions) -> StreamChoice:
    """Chooses what to stream. ProtocolError if the camera does not have what the options ask for; lists what it has."""
    usable = [stream for stream in streams if options.interface in (None, stream.interface)]
    if not usable:
        raise ProtocolError(_no_stream(streams))
    bulk = [stream for stream in usable if stream.bulk]
    if not bulk:
        raise ProtocolError("this camera is isochronous: use the driver v4l2 for it")
    offers = list(_offers(bulk))
    wanted = [offer for offer in offers if _matches(offer, options)]
    if not wanted:
        raise ProtocolError(f"the camera has no such size or format; it has: {_listing(offers)}")
    stream, row, frame, pixels = min(wanted, key=lambda offer: preference(offer[3], offer[2].width, offer[2].height))
    return StreamChoice(stream, row, frame, pixels, frame.interval_for(options.fps))


_Offer = tuple[StreamingInterface, FormatDescriptor, FrameDescriptor, PixelFormat]


def _offers(streams: Sequence[StreamingInterface]) -> Iterator[_Offer]:
    for stream in streams:
        for row in stream.formats:
            for frame in row.frames:
                if row.pixels is not None:
                    yield stream, row, frame, row.pixels


def _matches(offer: _Offer, options: UvcOptions) -> bool:
    _, _, frame, pixels = offer
    return options.size in (None, (frame.width, frame.height)) and options.format in (None, pixels.name)


def preference(pixels: PixelFormat, width: int, height: int) -> tuple[bool, int, int]:
    """Sort key, best first: large enough, the better format, the smallest that is large enough (else the largest)."""
    small = width < DEFAULT_SIZE[0] or height < DEFAULT_SIZE[1]
    area = width * height
    return small, PREFERENCE.index(pixels), -area if small else area


def _no_stream(streams: Sequence[StreamingInterface]) -> str:
    if not streams:
        return "no video streaming interface: not a UVC camera"
    return f"no such interface; video streams at: {', '.join(str(stream.interface) for stream in streams)}"


def _listing(offers: Sequence[_Offer]) -> str:
    readable = (f"{pixels.name} {frame.width}x{frame.height}" for _, _, frame, pixels in offers)
    return ", ".join(readable) or "none that this driver can read"
