"""Parses a camera's configuration descriptor into frozen data. Never accesses a device.

Every descriptor is length, type, body. Class descriptors (type 0x24) follow the interface that they belong to. Some
cameras write them after its endpoint instead, so a class descriptor belongs to the last interface before it.

Damage is an error only where the stream needs the data: a camera is not refused for a unit that is not used.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from drivers.errors import ProtocolError
from drivers.uvc.formats import FORMAT_OF_GUID, MJPEG, PixelFormat

CONFIGURATION, INTERFACE, ENDPOINT, CLASS_INTERFACE = 0x02, 0x04, 0x05, 0x24
SUBTYPE = 2  # offset in a class descriptor
MAX_DESCRIPTOR_BYTES = 255  # bytes of a descriptor
VIDEO, CONTROL, STREAMING = 0x0E, 0x01, 0x02  # class of both interfaces, and their subclasses
VC_HEADER, VC_EXTENSION_UNIT = 0x01, 0x06
VS_INPUT_HEADER, VS_UNCOMPRESSED, VS_UNCOMPRESSED_FRAME, VS_MJPEG, VS_MJPEG_FRAME = 0x01, 0x04, 0x05, 0x06, 0x07
BULK = 0x02
TRANSFER_TYPE = 0x03  # mask in an endpoint's attributes
MAX_FRAME_SIDE = 16_384  # pixels; no sensor is larger, and a damaged number must not become an allocation
TICKS_PER_S = 10_000_000  # intervals are counted in 100 ns
DEFAULT_INTERVAL = 333_333  # thirty frames a second, if the camera's own default is invalid
MAX_INTERVAL = 0xFFFFFFFF  # the largest that the request can hold


@dataclass(frozen=True, slots=True)
class FrameDescriptor:
    """One frame size of a format. `intervals` (100 ns): those offered, or (least, most, step) if `continuous`."""

    index: int
    width: int
    height: int
    max_bytes: int
    default_interval: int
    intervals: tuple[int, ...]
    continuous: bool = False

    def interval_for(self, fps: float | None) -> int:
        """The offered interval nearest to `fps`; without `fps` the camera's default, if it is one of those offered."""
        if not fps and self._offers(self.default_interval):
            return self.default_interval
        return self._nearest(round(TICKS_PER_S / fps) if fps else DEFAULT_INTERVAL)

    def _offers(self, interval: int) -> bool:
        if not self.continuous:
            return interval > 0 and interval in self.intervals
        least, most, _ = self.intervals
        return 0 < least <= interval <= most

    def _nearest(self, wanted: int) -> int:
        """The nearest valid interval offered. If there is none, `wanted`: the camera then chooses."""
        wanted = min(wanted, MAX_INTERVAL)
        if not self.continuous:
            offered = [interval for interval in self.intervals if interval]
            return min(offered, key=lambda interval: abs(interval - wanted), default=wanted)
        least, most, step = self.intervals
        if not 0 < least <= most:
            return wanted
        near = min(max(wanted, least), most)
        return least + (near - least) // max(step, 1) * max(step, 1)


@dataclass(frozen=True, slots=True)
class FormatDescriptor:
    """One format and its frame sizes. `pixels` is None if this driver cannot read the format."""

    index: int
    pixels: PixelFormat | None
    frames: tuple[FrameDescriptor, ...] = ()


@dataclass(frozen=True, slots=True)
class ExtensionUnit:
    """A unit with controls defined by the manufacturer."""

    unit: int
    guid: bytes


@dataclass(frozen=True, slots=True)
class StreamingInterface:
    """One video streaming interface. A `bulk` endpoint needs no reserved bandwidth; an isochronous one does."""

    interface: int
    endpoint: int
    packet_bytes: int
    bulk: bool
    formats: tuple[FormatDescriptor, ...]
    version: int  # bcdUVC of the camera
    control_interface: int
    extensions: tuple[ExtensionUnit, ...] = ()


@dataclass(slots=True)
class _Interface:
    """What was parsed of one interface number, all its alternate settings together."""

    number: int
    subclass: int
    version: int = 0
    declared_endpoint: int = 0
    endpoints: list[tuple[int, int, int]] = field(default_factory=list)  # address, attributes, packet bytes
    formats: list[FormatDescriptor] = field(default_factory=list)
    extensions: list[ExtensionUnit] = field(default_factory=list)


def descriptors(configuration: bytes) -> Iterator[bytes]:
    """Splits a configuration descriptor into its descriptors. ProtocolError if one is truncated or too short.

    A single byte or zeros left over at the end, and bytes after the total length in the first descriptor, are ignored.
    """
    at, configuration = 0, configuration[: _whole_length(configuration)]
    while at + 1 < len(configuration) and any(configuration[at : at + MAX_DESCRIPTOR_BYTES]):
        length = configuration[at]
        if length < 2 or at + length > len(configuration):
            raise ProtocolError(f"descriptor at byte {at} of {len(configuration)} has an impossible length {length}")
        yield configuration[at : at + length]
        at += length


def _whole_length(configuration: bytes) -> int:
    """The total length in the configuration descriptor, if that is valid; otherwise all bytes."""
    if len(configuration) >= 4 and configuration[1] == CONFIGURATION:
        (length,) = struct.unpack_from("<H", configuration, 2)
        if length >= configuration[0]:
            return int(length)
    return len(configuration)


def streaming_interfaces(configuration: bytes) -> tuple[StreamingInterface, ...]:
    """All video streaming interfaces of a device, in the order of the descriptor. ProtocolError if it is damaged."""
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
    return tuple(_streaming_interfaces(list(found.values())))


def _interface(found: dict[int, _Interface], descriptor: bytes) -> _Interface | None:
    """The interface that begins here, or whose next alternate setting begins here. None if it is not video."""
    number, kind, subclass = _unpack("<xxBxxBB", descriptor, "interface")
    if kind != VIDEO or subclass not in (CONTROL, STREAMING):
        return None
    return found.setdefault(number, _Interface(number, subclass))


def _streaming_interfaces(interfaces: list[_Interface]) -> Iterator[StreamingInterface]:
    """Combines streaming interfaces with the data of their control interface, which is the one before them."""
    control = _Interface(0, CONTROL)
    for interface in interfaces:
        if interface.subclass == CONTROL:
            control = interface
        elif (endpoint := _endpoint(interface)) is not None:
            address, attributes, packet = endpoint
            yield StreamingInterface(
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
    """The endpoint named by the input header, otherwise the first IN endpoint."""
    inward = [row for row in interface.endpoints if row[0] & 0x80 and row[2] & 0x07FF]
    named = [row for row in inward if row[0] == interface.declared_endpoint]
    return next(iter(named or inward), None)


# One function for each class descriptor


def _read_header(interface: _Interface, descriptor: bytes) -> None:
    (interface.version,) = _unpack("<xxxH", descriptor, "video control header")


def _read_extension(interface: _Interface, descriptor: bytes) -> None:
    """The list of units is only informative: a truncated descriptor is skipped."""
    with suppress(ProtocolError):
        unit, guid = _unpack("<xxxB16s", descriptor, "extension unit")
        interface.extensions.append(ExtensionUnit(unit, guid))


def _read_input(interface: _Interface, descriptor: bytes) -> None:
    interface.declared_endpoint = _byte(descriptor, 6)


def _read_uncompressed(interface: _Interface, descriptor: bytes) -> None:
    index, guid = _unpack("<xxxBx16s", descriptor, "uncompressed format")
    interface.formats.append(FormatDescriptor(index, FORMAT_OF_GUID.get(guid)))


def _read_mjpeg(interface: _Interface, descriptor: bytes) -> None:
    interface.formats.append(FormatDescriptor(_byte(descriptor, 3), MJPEG))


def _read_frame(interface: _Interface, descriptor: bytes) -> None:
    """A frame size. It belongs to the format before it."""
    if not interface.formats:
        raise ProtocolError("a frame descriptor before any format")
    last = interface.formats[-1]
    if last.pixels is None:
        return  # it cannot be chosen
    index, width, height, max_bytes, default, count = _unpack("<xxxBxHHxxxxxxxxIIB", descriptor, "frame")
    continuous, words = count == 0, count or 3
    intervals = _unpack(f"<26x{words}I", descriptor, "frame")
    if not 0 < width <= MAX_FRAME_SIDE or not 0 < height <= MAX_FRAME_SIDE:
        return  # not a size that a sensor can have: treated as not offered
    row = FrameDescriptor(index, width, height, max_bytes, default, intervals, continuous)
    interface.formats[-1] = FormatDescriptor(last.index, last.pixels, (*last.frames, row))


def _skip_format(interface: _Interface, _: bytes) -> None:
    """A format that this driver cannot read. It is kept so that its frames are not added to the format before it."""
    interface.formats.append(FormatDescriptor(0, None))


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
    (STREAMING, 0x10): _skip_format,  # frame based, for example H.264
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
