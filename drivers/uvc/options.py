"""The options of the uvc driver, and which stream of a camera they choose. drivers/README.md explains each."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import BeforeValidator, Field

from drivers.errors import ProtocolError
from drivers.options import DriverOptions, no_boolean
from drivers.uvc.descriptors import LONGEST_FRAME_SIDE, TICKS_PER_S, FormatRow, FrameRow, Stream
from drivers.uvc.formats import FORMAT_NAMED, PREFERENCE, PixelFormat
from drivers.uvc.probe_commit import StreamSettings

USUAL_SIZE = (640, 480)  # an eye that fills it has some 200 pixels across the iris
LATE_MOST_S = 4.0  # a descriptor may say that a frame takes minutes: nobody waits for such a one


@dataclass(frozen=True, slots=True)
class Led:
    """A control of an extension unit that switches the light: what to write, and what to write when done."""

    unit: int
    selector: int
    on: bytes
    off: bytes


def _size(value: object) -> object:
    found = re.fullmatch(r"([0-9]{2,5})x([0-9]{2,5})", value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("must be WIDTHxHEIGHT, such as 640x480")
    sides = int(found[1]), int(found[2])
    if max(sides) > LONGEST_FRAME_SIDE:
        raise ValueError(f"must be at most {LONGEST_FRAME_SIDE} pixels a side")
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
Fps = Annotated[float, BeforeValidator(no_boolean), Field(gt=0, le=1000)]
Ppi = Annotated[float, BeforeValidator(no_boolean), Field(ge=0, le=10_000)]
FormatName = Annotated[str, BeforeValidator(_known_format)]


class CameraOptions(DriverOptions):
    """What every camera takes beyond its URL."""

    size: Size | None = None
    fps: Fps | None = None
    format: FormatName | None = None
    ppi: Ppi = 0.0


class UvcOptions(CameraOptions):
    """What a camera on a bulk endpoint takes besides."""

    interface: Annotated[int, BeforeValidator(no_boolean), Field(ge=0, le=255)] | None = None
    led: Annotated[Led, BeforeValidator(_led)] | None = None


def overdue(seconds: float) -> float:
    """How long to wait for a frame of a camera that sends one in so many seconds: four frames' time, within reason."""
    return min(4 * seconds, LATE_MOST_S)


@dataclass(frozen=True, slots=True)
class Choice:
    """One size of one format of one streaming interface, and how often."""

    stream: Stream
    format: FormatRow
    frame: FrameRow
    pixels: PixelFormat
    interval: int  # 100 ns

    @property
    def wish(self) -> StreamSettings:
        """What to ask the camera for."""
        return StreamSettings(self.format.index, self.frame.index, self.interval)

    @property
    def seconds(self) -> float:
        """From one frame to the next; a tenth of a second where the camera does not say."""
        return self.interval / TICKS_PER_S or 0.1

    @property
    def late_s(self) -> float:
        """A frame that has not come for so long is overdue."""
        return overdue(self.seconds)

    @property
    def exact(self) -> int:
        """The size of a frame, bytes; 0 when it varies."""
        return self.pixels.frame_bytes(self.frame.width, self.frame.height)

    def frame_limit(self, promised: int) -> int:
        """The most bytes of a frame: what the camera promised or its descriptor says, as far as that makes sense.

        A raw frame has its own size, or somewhat more where the camera fills it up; a compressed one is no larger than
        two bytes a pixel, whatever is said of it.
        """
        said = promised or self.frame.max_bytes
        if self.exact:
            return said if self.exact < said < 2 * self.exact else self.exact
        most = self.frame.width * self.frame.height * 2
        return min(said or most, most)


def choose(streams: Sequence[Stream], options: UvcOptions) -> Choice:
    """What to stream. ProtocolError says what the camera has when it does not have what the options ask for."""
    usable = [stream for stream in streams if options.interface in (None, stream.interface)]
    if not usable:
        raise ProtocolError(_no_stream(streams))
    bulk = [stream for stream in usable if stream.bulk]
    if not bulk:
        raise ProtocolError("this camera is isochronous: use the driver v4l2 for it")
    offers = list(_offers(bulk))
    wanted = [offer for offer in offers if _asked_for(offer, options)]
    if not wanted:
        raise ProtocolError(f"the camera has no such size or format; it has: {_listing(offers)}")
    stream, row, frame, pixels = min(wanted, key=_rank)
    return Choice(stream, row, frame, pixels, frame.interval_for(options.fps))


_Offer = tuple[Stream, FormatRow, FrameRow, PixelFormat]


def _offers(streams: Sequence[Stream]) -> Iterator[_Offer]:
    for stream in streams:
        for row in stream.formats:
            for frame in row.frames:
                if row.pixels is not None:
                    yield stream, row, frame, row.pixels


def _asked_for(offer: _Offer, options: UvcOptions) -> bool:
    _, _, frame, pixels = offer
    return options.size in (None, (frame.width, frame.height)) and options.format in (None, pixels.name)


def _rank(offer: _Offer) -> tuple[bool, int, int]:
    """Best first: large enough, the better format, the smallest that is large enough (or the largest there is)."""
    _, _, frame, pixels = offer
    small = frame.width < USUAL_SIZE[0] or frame.height < USUAL_SIZE[1]
    area = frame.width * frame.height
    return small, PREFERENCE.index(pixels), -area if small else area


def _no_stream(streams: Sequence[Stream]) -> str:
    if not streams:
        return "no video streaming interface: not a UVC camera"
    return f"no such interface; video streams at: {', '.join(str(stream.interface) for stream in streams)}"


def _listing(offers: Sequence[_Offer]) -> str:
    return (
        ", ".join(f"{pixels.name} {frame.width}x{frame.height}" for _, _, frame, pixels in offers) or "none we can read"
    )
