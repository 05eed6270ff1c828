"""Parses a camera's configuration descriptor into frozen data. Never accesses a device.

Every descriptor is length, type, body. Class descriptors (type 0x24) follow the interface that they belong to. Some
cameras write them after its endpoint instead, so a class descriptor belongs to the last interface before it.

Nothing here raises: a damaged descriptor costs what it describes, and the camera is used as far as the rest allows.
damage_of() says what was wrong.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from drivers.uvc.formats import MJPEG, PixelFormat, formats_of_guid

CONFIGURATION, INTERFACE, ENDPOINT, CLASS_INTERFACE = 0x02, 0x04, 0x05, 0x24
SUBTYPE = 2  # offset in a class descriptor
MAX_DESCRIPTOR_BYTES = 255  # bytes of a descriptor
VIDEO, CONTROL, STREAMING = 0x0E, 0x01, 0x02  # class of both interfaces, and their subclasses
VC_HEADER, VC_EXTENSION_UNIT = 0x01, 0x06
VS_INPUT_HEADER, VS_UNCOMPRESSED, VS_UNCOMPRESSED_FRAME, VS_MJPEG, VS_MJPEG_FRAME = 0x01, 0x04, 0x05, 0x06, 0x07
VS_FRAME_BASED, VS_FRAME_BASED_FRAME = 0x10, 0x11
BULK = 0x02
TRANSFER_TYPE = 0x03  # mask in an endpoint's attributes
ENDPOINT_SIZE_END, UNIT_GUID_END, FRAME_SIZE_END = 6, 20, 9  # bytes up to which a descriptor must reach
LARGEST_PACKET = 1024  # bytes
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
    """One format and its frame sizes. `pixels` is None if the format is unknown; `guesses` are then what it may be."""

    index: int
    pixels: PixelFormat | None
    frames: tuple[FrameDescriptor, ...] = ()
    guesses: tuple[PixelFormat, ...] = ()

    @property
    def readable_as(self) -> tuple[PixelFormat, ...]:
        """How this driver can read it, the likeliest first; empty if it cannot."""
        return self.guesses if self.pixels is None else (self.pixels,)


@dataclass(frozen=True, slots=True)
class ExtensionUnit:
    """A unit with controls defined by the manufacturer. `controls`: a bit for each selector; empty if not known."""

    unit: int
    guid: bytes
    controls: bytes = b""

    def has(self, selector: int) -> bool:
        """Whether it has this control, as far as is known."""
        return not self.controls or bool(int.from_bytes(self.controls, "little") >> (selector - 1) & 1)


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
    """Splits a configuration descriptor into its descriptors, up to the first of an impossible length.

    The last one may be truncated: some cameras count one byte too many or too few. A single byte or zeros left over at
    the end, and bytes after the total length in the first descriptor, are ignored.
    """
    at, whole = 0, _whole_length(configuration)
    while at + 1 < whole and any(configuration[at : at + MAX_DESCRIPTOR_BYTES]):
        length = configuration[at]
        if length < 2:
            return
        yield configuration[at : at + length]
        at += length


def damage_of(configuration: bytes) -> str:
    """What is wrong with the lengths in a configuration descriptor; empty if nothing."""
    at, whole = 0, _whole_length(configuration)
    for descriptor in descriptors(configuration):
        if len(descriptor) < descriptor[0]:
            return f"the descriptor at byte {at} has {len(descriptor)} of {descriptor[0]} bytes"
        at += len(descriptor)
    if at + 1 < whole and any(configuration[at : at + MAX_DESCRIPTOR_BYTES]):
        return f"the descriptor at byte {at} of {len(configuration)} has an impossible length {configuration[at]}"
    promised = int.from_bytes(configuration[2:4], "little")
    return f"{len(configuration)} of {promised} bytes arrived" if promised > len(configuration) else ""


def _whole_length(configuration: bytes) -> int:
    """The total length in the configuration descriptor, if that is valid and there are so many bytes."""
    if len(configuration) >= 4 and configuration[1] == CONFIGURATION:
        (length,) = struct.unpack_from("<H", configuration, 2)
        if length >= configuration[0]:
            return min(int(length), len(configuration))
    return len(configuration)


def streaming_interfaces(configuration: bytes) -> tuple[StreamingInterface, ...]:
    """All video streaming interfaces of a device, in the order of the descriptor, as far as they can be read."""
    found: dict[int, _Interface] = {}
    current: _Interface | None = None
    for descriptor in descriptors(configuration):
        if descriptor[1] == INTERFACE:
            current = _interface(found, descriptor)
        elif current is not None and descriptor[1] == ENDPOINT and current.subclass == STREAMING:
            _read_endpoint(current, descriptor)
        elif current is not None and descriptor[1] == CLASS_INTERFACE and len(descriptor) > SUBTYPE:
            reader = _READERS.get((current.subclass, descriptor[SUBTYPE]))
            if reader is not None:
                reader(current, descriptor)
    return tuple(_streaming_interfaces(list(found.values())))


def _interface(found: dict[int, _Interface], descriptor: bytes) -> _Interface | None:
    """The interface that begins here, or whose next alternate setting begins here. None if it is not video."""
    number, kind, subclass = _fields("<xxBxxBB", descriptor)
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


# One function for each descriptor


def _read_endpoint(interface: _Interface, descriptor: bytes) -> None:
    address, attributes, packet = _fields("<xxBBH", descriptor)
    if len(descriptor) < ENDPOINT_SIZE_END and attributes & TRANSFER_TYPE == BULK:
        packet = LARGEST_PACKET  # cut short: a multiple of every size that a bulk endpoint can have
    interface.endpoints.append((address, attributes, packet))


def _read_header(interface: _Interface, descriptor: bytes) -> None:
    (interface.version,) = _fields("<xxxH", descriptor)


def _read_extension(interface: _Interface, descriptor: bytes) -> None:
    unit, guid = _fields("<xxxB16s", descriptor)
    if len(descriptor) >= UNIT_GUID_END:
        (pins,) = _fields("<21xB", descriptor)
        size_at = 22 + pins  # behind the list of its sources
        controls = descriptor[size_at + 1 : size_at + 1 + descriptor[size_at]] if size_at < len(descriptor) else b""
        interface.extensions.append(ExtensionUnit(unit, guid, controls))


def _read_input(interface: _Interface, descriptor: bytes) -> None:
    (interface.declared_endpoint,) = _fields("<6xB", descriptor)


def _read_uncompressed(interface: _Interface, descriptor: bytes) -> None:
    index, guid, bits = _fields("<xxxBx16sB", descriptor)
    pixels, guesses = formats_of_guid(guid.rstrip(b"\0") and guid, bits)
    interface.formats.append(FormatDescriptor(index, pixels, guesses=guesses))


def _read_frame_based(interface: _Interface, descriptor: bytes) -> None:
    """Any format by its GUID. One of variable size is compressed: then its bits per pixel say nothing."""
    index, guid, bits, variable = _fields("<xxxBx16sB5xB", descriptor)
    pixels, guesses = formats_of_guid(guid.rstrip(b"\0") and guid, 0 if variable else bits)
    interface.formats.append(FormatDescriptor(index, pixels, guesses=guesses))


def _read_mjpeg(interface: _Interface, descriptor: bytes) -> None:
    (index,) = _fields("<xxxB", descriptor)
    interface.formats.append(FormatDescriptor(index, MJPEG if index else None))


def _read_frame(interface: _Interface, descriptor: bytes) -> None:
    index, width, height, max_bytes, default, count = _fields("<xxxBxHHxxxxxxxxIIB", descriptor)
    _add_frame(interface, descriptor, FrameDescriptor(index, width, height, max_bytes, default, ()), count)


def _read_frame_based_frame(interface: _Interface, descriptor: bytes) -> None:
    """As _read_frame(), with the bytes of a line in place of the size of a frame, which follows from both."""
    index, width, height, default, count, line_bytes = _fields("<xxxBxHHxxxxxxxxIBI", descriptor)
    frame = FrameDescriptor(index, width, height, min(line_bytes * height, 0xFFFFFFFF), default, ())
    _add_frame(interface, descriptor, frame, count)


def _add_frame(interface: _Interface, descriptor: bytes, frame: FrameDescriptor, count: int) -> None:
    """A frame size belongs to the format before it. `count`: of its intervals; 0 if they are a range."""
    if not interface.formats or not interface.formats[-1].readable_as or len(descriptor) < FRAME_SIZE_END:
        return  # it cannot be chosen
    if not frame.index or not 0 < frame.width <= MAX_FRAME_SIDE or not 0 < frame.height <= MAX_FRAME_SIDE:
        return  # not a size that a sensor can have: treated as not offered
    continuous, words = count == 0, count or 3
    intervals = _fields(f"<26x{words}I", descriptor)
    if not continuous:
        intervals = intervals[: max(1, (len(descriptor) - 26) // 4)]
    last = interface.formats[-1]
    row = replace(frame, intervals=intervals, continuous=continuous)
    interface.formats[-1] = replace(last, frames=(*last.frames, row))


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
    (STREAMING, VS_FRAME_BASED): _read_frame_based,
    (STREAMING, VS_FRAME_BASED_FRAME): _read_frame_based_frame,
    (STREAMING, 0x0A): _skip_format,  # MPEG-2 TS
    (STREAMING, 0x0C): _skip_format,  # DV
    (STREAMING, 0x12): _skip_format,  # stream based
    (STREAMING, 0x13): _skip_format,  # H.264
    (STREAMING, 0x16): _skip_format,  # VP8
}


def _fields(layout: str, descriptor: bytes) -> tuple[Any, ...]:
    """The fields of a descriptor; zeros where it is cut short."""
    return struct.unpack_from(layout, descriptor.ljust(struct.calcsize(layout), b"\0"))
