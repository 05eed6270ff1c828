"""A camera's configuration descriptor: bytes in, frozen data out. Never touches a device.

Every descriptor is length, type, body. Class descriptors (type 0x24) follow the interface that they belong to; some
cameras write them behind its endpoint instead, so what counts is the last interface before them.

What is damaged is an error only where the stream needs it: a camera is not refused for a unit that nobody uses.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from drivers.errors import ProtocolError
from drivers.uvc.formats import FORMAT_OF_GUID, MJPEG, PixelFormat

CONFIGURATION, INTERFACE, ENDPOINT, CLASS_INTERFACE = 0x02, 0x04, 0x05, 0x24
SUBTYPE = 2  # where a class descriptor tells it
LONGEST = 255  # bytes of a descriptor
VIDEO, CONTROL, STREAMING = 0x0E, 0x01, 0x02  # class of both interfaces, and their subclasses
VC_HEADER, VC_EXTENSION_UNIT = 0x01, 0x06
VS_INPUT_HEADER, VS_UNCOMPRESSED, VS_UNCOMPRESSED_FRAME, VS_MJPEG, VS_MJPEG_FRAME = 0x01, 0x04, 0x05, 0x06, 0x07
BULK = 0x02
TRANSFER_TYPE = 0x03  # of an endpoint's attributes
LONGEST_FRAME_SIDE = 16_384  # pixels; no sensor is larger, and a wild number must not become an allocation
TICKS_PER_S = 10_000_000  # intervals are counted in 100 ns
USUAL_INTERVAL = 333_333  # thirty frames a second, where a camera's own default is noise
LONGEST_INTERVAL = 0xFFFFFFFF  # that the request has room for


@dataclass(frozen=True, slots=True)
class FrameRow:
    """One size of a format. `intervals` (100 ns) are those offered, or (least, most, step) when `continuous`."""

    index: int
    width: int
    height: int
    max_bytes: int
    default_interval: int
    intervals: tuple[int, ...]
    continuous: bool = False

    def interval_for(self, fps: float | None) -> int:
        """The offered interval nearest to `fps`; without one the camera's own default, if it offers that itself."""
        if not fps and self._offers(self.default_interval):
            return self.default_interval
        return self._nearest(round(TICKS_PER_S / fps) if fps else USUAL_INTERVAL)

    def _offers(self, interval: int) -> bool:
        if not self.continuous:
            return interval > 0 and interval in self.intervals
        least, most, _ = self.intervals
        return 0 < least <= interval <= most

    def _nearest(self, wanted: int) -> int:
        """Of what is offered, as far as it is no noise; else `wanted` itself: the camera then chooses."""
        wanted = min(wanted, LONGEST_INTERVAL)
        if not self.continuous:
            offered = [interval for interval in self.intervals if interval]
            return min(offered, key=lambda interval: abs(interval - wanted), default=wanted)
        least, most, step = self.intervals
        if not 0 < least <= most:
            return wanted
        near = min(max(wanted, least), most)
        return least + (near - least) // max(step, 1) * max(step, 1)


@dataclass(frozen=True, slots=True)
class FormatRow:
    """One format and its sizes. `pixels` is None for one that we cannot read."""

    index: int
    pixels: PixelFormat | None
    frames: tuple[FrameRow, ...] = ()


@dataclass(frozen=True, slots=True)
class ExtensionUnit:
    """Controls of the manufacturer's own."""

    unit: int
    guid: bytes


@dataclass(frozen=True, slots=True)
class Stream:
    """One video streaming interface. `bulk` endpoints stream at once; others need a reserved bandwidth."""

    interface: int
    endpoint: int
    packet_bytes: int
    bulk: bool
    formats: tuple[FormatRow, ...]
    version: int  # bcdUVC of the camera that it belongs to
    control_interface: int
    extensions: tuple[ExtensionUnit, ...] = ()


@dataclass(slots=True)
class _Interface:
    """What is being read of one interface number, all its alternate settings together."""

    number: int
    subclass: int
    version: int = 0
    declared_endpoint: int = 0
    endpoints: list[tuple[int, int, int]] = field(default_factory=list)  # address, attributes, packet bytes
    formats: list[FormatRow] = field(default_factory=list)
    extensions: list[ExtensionUnit] = field(default_factory=list)


def descriptors(configuration: bytes) -> Iterator[bytes]:
    """Cut a configuration descriptor into its descriptors. ProtocolError: one is cut short or too short.

    A byte left over at the end is none, and neither are zeros or what is behind the length that the first one tells.
    """
    at, configuration = 0, configuration[: _whole_length(configuration)]
    while at + 1 < len(configuration) and any(configuration[at : at + LONGEST]):
        length = configuration[at]
        if length < 2 or at + length > len(configuration):
            raise ProtocolError(f"descriptor at byte {at} of {len(configuration)} has an impossible length {length}")
        yield configuration[at : at + length]
        at += length


def _whole_length(configuration: bytes) -> int:
    """What the configuration's own descriptor says, where there is a sound one."""
    if len(configuration) >= 4 and configuration[1] == CONFIGURATION:
        (length,) = struct.unpack_from("<H", configuration, 2)
        if length >= configuration[0]:
            return int(length)
    return len(configuration)


def streams(configuration: bytes) -> tuple[Stream, ...]:
    """Every video streaming interface of a device, in the order of the descriptor. ProtocolError: damaged."""
    found: dict[int, _Interface] = {}
    current: _Interface | None = None
    for descriptor in descriptors(configuration):
        if descriptor[1] == INTERFACE:
            current = _interface(found, descriptor)
        elif current is not None and descriptor[1] == ENDPOINT and current.subclass == STREAMING:
            current.endpoints.append(_unpack("<xxBBH", descriptor, "endpoint"))
        elif current is not None and descriptor[1] == CLASS_INTERFACE and len(descriptor) > SUBTYPE:
            reader = _READERS.get((current.subclass, descriptor[SUBTYPE]))
            if reader is not None:
                reader(current, descriptor)
    return tuple(_joined(list(found.values())))


def _interface(found: dict[int, _Interface], descriptor: bytes) -> _Interface | None:
    """The interface that begins here, or whose next alternate setting does; None when it is no video."""
    number, kind, subclass = _unpack("<xxBxxBB", descriptor, "interface")
    if kind != VIDEO or subclass not in (CONTROL, STREAMING):
        return None
    return found.setdefault(number, _Interface(number, subclass))


def _joined(interfaces: list[_Interface]) -> Iterator[Stream]:
    """Streaming interfaces with what their control interface, the one before them, says."""
    control = _Interface(0, CONTROL)
    for interface in interfaces:
        if interface.subclass == CONTROL:
            control = interface
        elif (endpoint := _endpoint(interface)) is not None:
            address, attributes, packet = endpoint
            yield Stream(
                interface=interface.number,
                endpoint=address,
                packet_bytes=packet & 0x07FF,
                bulk=attributes & TRANSFER_TYPE == BULK,
                formats=tuple(interface.formats),
                version=control.version,
                control_interface=control.number,
                extensions=tuple(control.extensions),
            )


def _endpoint(interface: _Interface) -> tuple[int, int, int] | None:
    """The endpoint that the input header names, else the first that leads to the host."""
    inward = [row for row in interface.endpoints if row[0] & 0x80 and row[2] & 0x07FF]
    named = [row for row in inward if row[0] == interface.declared_endpoint]
    return next(iter(named or inward), None)


# One reader a class descriptor


def _read_header(interface: _Interface, descriptor: bytes) -> None:
    (interface.version,) = _unpack("<xxxH", descriptor, "video control header")


def _read_extension(interface: _Interface, descriptor: bytes) -> None:
    """It only tells what there is: one that is cut short is left out."""
    with suppress(ProtocolError):
        unit, guid = _unpack("<xxxB16s", descriptor, "extension unit")
        interface.extensions.append(ExtensionUnit(unit, guid))


def _read_input(interface: _Interface, descriptor: bytes) -> None:
    interface.declared_endpoint = _byte(descriptor, 6)


def _read_uncompressed(interface: _Interface, descriptor: bytes) -> None:
    index, guid = _unpack("<xxxBx16s", descriptor, "uncompressed format")
    interface.formats.append(FormatRow(index, FORMAT_OF_GUID.get(guid)))


def _read_mjpeg(interface: _Interface, descriptor: bytes) -> None:
    interface.formats.append(FormatRow(_byte(descriptor, 3), MJPEG))


def _read_frame(interface: _Interface, descriptor: bytes) -> None:
    """A size, which belongs to the format before it."""
    if not interface.formats:
        raise ProtocolError("a frame descriptor before any format")
    last = interface.formats[-1]
    if last.pixels is None:
        return  # nobody can choose it
    index, width, height, max_bytes, default, count = _unpack("<xxxBxHHxxxxxxxxIIB", descriptor, "frame")
    continuous, words = count == 0, count or 3
    intervals = _unpack(f"<26x{words}I", descriptor, "frame")
    if not 0 < width <= LONGEST_FRAME_SIDE or not 0 < height <= LONGEST_FRAME_SIDE:
        return  # no size that a sensor has: as if it were not offered
    row = FrameRow(index, width, height, max_bytes, default, intervals, continuous)
    interface.formats[-1] = FormatRow(last.index, last.pixels, (*last.frames, row))


def _skip_format(interface: _Interface, _: bytes) -> None:
    """A format that we cannot read: kept, so that its frames are not taken for those of the format before it."""
    interface.formats.append(FormatRow(0, None))


_Reader = Callable[[_Interface, bytes], None]
_READERS: Mapping[tuple[int, int], _Reader] = {
    (CONTROL, VC_HEADER): _read_header,
    (CONTROL, VC_EXTENSION_UNIT): _read_extension,
    (STREAMING, VS_INPUT_HEADER): _read_input,
    (STREAMING, VS_UNCOMPRESSED): _read_uncompressed,
    (STREAMING, VS_UNCOMPRESSED_FRAME): _read_frame,
    (STREAMING, VS_MJPEG): _read_mjpeg,
    (STREAMING, VS_MJPEG_FRAME): _read_frame,
    (STREAMING, 0x0A): _skip_format,  # MPEG-2 TS
    (STREAMING, 0x0C): _skip_format,  # DV
    (STREAMING, 0x10): _skip_format,  # frame based, H.264 say
    (STREAMING, 0x12): _skip_format,  # stream based
    (STREAMING, 0x13): _skip_format,  # H.264
    (STREAMING, 0x16): _skip_format,  # VP8
}


def _byte(descriptor: bytes, at: int) -> int:
    if at >= len(descriptor):
        raise ProtocolError(f"a class descriptor of {len(descriptor)} bytes is cut short")
    return descriptor[at]


def _unpack(layout: str, descriptor: bytes, name: str) -> tuple[Any, ...]:
    try:
        return struct.unpack_from(layout, descriptor)
    except struct.error:
        raise ProtocolError(f"the {name} descriptor of {len(descriptor)} bytes is cut short") from None
