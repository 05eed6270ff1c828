"""The options of the uvc driver, and how they choose a camera's stream. drivers/README.md explains each option."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from drivers.errors import ProtocolError
from drivers.options import DriverOptions, reject_boolean
from drivers.uvc.descriptors import MAX_FRAME_SIDE, TICKS_PER_S, FormatDescriptor, FrameDescriptor, StreamingInterface
from drivers.uvc.emitter import Led, led_of
from drivers.uvc.formats import FORMAT_NAMED, PREFERENCE, PixelFormat
from drivers.uvc.probe_commit import StreamSettings

DEFAULT_SIZE = (640, 480)  # an eye that fills it has about 200 pixels across the iris
STATE_CONTENTS = "; if that is what it always sends, name it with the option 'contains', such as y8 752x480"
MAX_FRAME_TIMEOUT_S = 4.0  # a descriptor may announce frame intervals of minutes


def _size(value: object) -> object:
    return _sides(value)


def _sides(value: object) -> tuple[int, int]:
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


@dataclass(frozen=True, slots=True)
class Contents:
    """What the frames of a camera really hold, if it is not what its descriptors say."""

    pixels: PixelFormat
    width: int
    height: int

    @property
    def frame_bytes(self) -> int:
        """The size of a frame in bytes; 0 if it varies."""
        return self.pixels.frame_bytes(self.width, self.height)

    def __str__(self) -> str:
        """As in the option."""
        return f"{self.pixels.name} {self.width}x{self.height}"


def _contents(value: object) -> object:
    name, _, size = value.partition(" ") if isinstance(value, str) else ("", "", "")
    if name not in FORMAT_NAMED:
        raise ValueError(f"must be FORMAT WIDTHxHEIGHT, such as y8 752x480; formats: {', '.join(FORMAT_NAMED)}")
    return Contents(FORMAT_NAMED[name], *_sides(size.strip()))


Size = Annotated[tuple[int, int], BeforeValidator(_size)]
Fps = Annotated[float, BeforeValidator(reject_boolean), Field(gt=0, le=1000)]
Ppi = Annotated[float, BeforeValidator(reject_boolean), Field(ge=0, le=10_000)]
EmitterLed = Annotated[Led, BeforeValidator(led_of)]
FormatName = Annotated[str, BeforeValidator(_known_format)]


class CameraOptions(DriverOptions):
    """The options of every camera."""

    size: Size | None = None
    fps: Fps | None = None
    format: FormatName | None = None
    contains: Annotated[Contents, BeforeValidator(_contents)] | None = None
    ppi: Ppi = 0.0
    emitter: EmitterLed | None = None


class UvcOptions(CameraOptions):
    """The options of a camera on a bulk endpoint."""

    interface: Annotated[int, BeforeValidator(reject_boolean), Field(ge=0, le=255)] | None = None
    led: EmitterLed | None = None  # the former name of `emitter`

    @model_validator(mode="after")
    def _one_light(self) -> Self:
        if self.emitter is not None and self.led is not None:
            raise ValueError("options 'emitter' and 'led' are the same: give one of them")
        return self

    @property
    def light(self) -> tuple[str, Led] | None:
        """The option that names the control of the light, and the control."""
        if self.emitter is not None:
            return "emitter", self.emitter
        return None if self.led is None else ("led", self.led)


def frame_timeout(seconds: float) -> float:
    """Seconds to wait for a frame if they come every `seconds`: four frame intervals, but at most four seconds."""
    return min(4 * seconds, MAX_FRAME_TIMEOUT_S)


@dataclass(frozen=True, slots=True)
class StreamChoice:
    """What is streamed: one frame size and interval of one format of one streaming interface."""

    stream: StreamingInterface
    format: FormatDescriptor
    frame: FrameDescriptor
    contents: Contents
    interval: int  # 100 ns

    @property
    def pixels(self) -> PixelFormat:
        """The encoding of the pixels."""
        return self.contents.pixels

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
        return self.contents.frame_bytes

    def frame_limit(self, promised: int) -> int:
        """The maximum size of a frame in bytes: as negotiated (`promised`) or as in the descriptor, if plausible.

        A raw frame has its own size, or somewhat more if the camera pads it. A compressed one has at most two bytes per
        pixel, whatever the camera reports.
        """
        reported = promised or self.frame.max_bytes
        if self.frame_bytes:
            return reported if self.frame_bytes < reported < 2 * self.frame_bytes else self.frame_bytes
        most = self.contents.width * self.contents.height * 2
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
    best = min(wanted, key=lambda offer: preference(offer.described, options, guess=offer.guess))
    contents = options.contains or best.described
    return StreamChoice(best.stream, best.format, best.frame, contents, best.frame.interval_for(options.fps))


@dataclass(frozen=True, slots=True)
class _Offer:
    """One thing that a camera can stream. `guess`: None if its format is known, else how likely its format is."""

    stream: StreamingInterface
    format: FormatDescriptor
    frame: FrameDescriptor
    described: Contents
    guess: int | None

    def __str__(self) -> str:
        return f"{self.described}{'' if self.guess is None else ' (a guess)'}"


def _offers(streams: Sequence[StreamingInterface]) -> Iterator[_Offer]:
    for stream in streams:
        for row in stream.formats:
            for frame in row.frames:
                for place, pixels in enumerate(row.readable_as):
                    guess = None if row.pixels is not None else place
                    yield _Offer(stream, row, frame, Contents(pixels, frame.width, frame.height), guess)


def _matches(offer: _Offer, options: UvcOptions) -> bool:
    described = offer.described
    return options.size in (None, (described.width, described.height)) and options.format in (
        None,
        described.pixels.name,
    )


Preference = tuple[bool, int, bool, int, int]


def preference(described: Contents, options: CameraOptions, guess: int | None = None) -> Preference:
    """Sort key, best first.

    First a frame of as many bytes as the option `contains` says, then a format that is known, then one large enough,
    then the better format, then the smallest that is large enough (else the largest).
    """
    stated = options.contains
    small = described.width < DEFAULT_SIZE[0] or described.height < DEFAULT_SIZE[1]
    area = described.width * described.height
    return (
        stated is not None and stated.frame_bytes != described.frame_bytes,
        -1 if guess is None else guess,
        small,
        PREFERENCE.index(described.pixels),
        -area if small else area,
    )


def _no_stream(streams: Sequence[StreamingInterface]) -> str:
    if not streams:
        return "no video streaming interface: not a UVC camera"
    return f"no such interface; video streams at: {', '.join(str(stream.interface) for stream in streams)}"


def _listing(offers: Sequence[_Offer]) -> str:
    return ", ".join(map(str, offers)) or "none that this driver can read"
