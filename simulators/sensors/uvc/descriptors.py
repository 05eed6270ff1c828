"""The settings of a simulated camera, and the USB descriptors made from them."""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

TICKS_PER_S = 10_000_000  # frame intervals are in units of 100 ns
CONTROL_INTERFACE, STREAMING_INTERFACE = 0, 1
EXTENSION_UNIT = 3
EXTENSION_GUID = bytes.fromhex("6b696f736b2d6c616d702d6f6e2d6f66")  # our own
CLOCK_HZ = 48_000_000
MAX_SIDE = 4096
VERSIONS = {"1.0": 0x0100, "1.1": 0x0110, "1.5": 0x0150}
BLOCK_BYTES = {0x0100: 26, 0x0110: 34, 0x0150: 48}
DAMAGES = ("none", "guid", "short")  # a byte of each GUID is zero; the last byte of all is missing
PLACES = ("interface", "endpoint")  # places of the class descriptors: before or after the endpoint descriptor

_TAIL = "00001000800000aa00389b71"
GUIDS: Mapping[str, bytes] = {
    "y800": b"Y800" + bytes.fromhex(_TAIL),
    "y8": b"Y8  " + bytes.fromhex(_TAIL),
    "l8": bytes.fromhex("32000000" + _TAIL),
    "l8_ir": bytes.fromhex("32000000" + "02001000800000aa00389b71"),
    "y10": b"Y10 " + bytes.fromhex(_TAIL),
    "y12": b"Y12 " + bytes.fromhex(_TAIL),
    "y16": b"Y16 " + bytes.fromhex(_TAIL),
    "yuy2": b"YUY2" + bytes.fromhex(_TAIL),
    "nv12": b"NV12" + bytes.fromhex(_TAIL),
}
BITS: Mapping[str, int] = {
    "y800": 8, "y8": 8, "l8": 8, "l8_ir": 8, "y10": 16, "y12": 16, "y16": 16, "yuy2": 16, "nv12": 12, "mjpeg": 16
}  # fmt: skip
FORMATS = tuple(BITS)


@dataclass(frozen=True, slots=True)
class UvcSettings:
    """One camera. It offers each format in each size, and all rates for each of them; the first rate is the default."""

    formats: tuple[str, ...] = ("y800",)
    sizes: tuple[tuple[int, int], ...] = ((640, 480),)
    rates: tuple[float, ...] = (30.0,)
    version: int = 0x0110
    max_payload: int = 16_384  # bytes, header included
    packet_bytes: int = 512
    endpoint: int = 0x81
    descriptors_on: str = "interface"
    timestamps: bool = True  # payload headers have a presentation time and a source clock
    timestamp_once: bool = False  # only the first header of a frame has them
    readout: float = 0.9  # share of the frame interval over which a frame is sent; 0: the whole frame immediately
    padding_bytes: int = 0  # after the pixels of each frame; the announced frame size includes them
    separate_end: bool = False  # a frame ends with a payload without data, in the same transfer after a full packet
    vendor: int = 0x1209  # pid.codes; this product id is for tests only
    product: int = 0x0001
    serial: str = "SIM0001"
    sends: tuple[str, int, int] | None = None  # format and size that the frames really have; None: as announced
    damage: str = "none"  # of the descriptors: one of DAMAGES
    speed: str = "high"

    def __post_init__(self) -> None:
        for name, valid in self._rules().items():
            if not valid:
                raise ValueError(f"no camera has {name} = {getattr(self, name)}")

    def _rules(self) -> dict[str, bool]:
        return {
            "formats": bool(self.formats) and set(self.formats) <= set(FORMATS),
            "sizes": bool(self.sizes) and all(0 < side <= MAX_SIDE for size in self.sizes for side in size),
            "rates": bool(self.rates) and all(0 < rate <= 1000 for rate in self.rates),
            "version": self.version in BLOCK_BYTES,
            "max_payload": self.header_bytes < self.max_payload <= 1 << 24,
            "packet_bytes": self.packet_bytes in (8, 16, 32, 64, 512, 1024),
            "endpoint": 0x81 <= self.endpoint <= 0x8F,
            "descriptors_on": self.descriptors_on in PLACES,
            "padding_bytes": 0 <= self.padding_bytes <= 1 << 16,
            "readout": 0 <= self.readout <= 1,
            "sends": self.sends is None or (self.sends[0] in FORMATS and 0 < min(self.sends[1:]) <= MAX_SIDE),
            "damage": self.damage in DAMAGES,
        }

    @property
    def pictured(self) -> tuple[str, int, int]:
        """Format, width and height of what the camera draws in its first mode."""
        return self.sends or (self.formats[0], *self.sizes[0])

    @property
    def header_bytes(self) -> int:
        """Length of a payload header."""
        return 12 if self.timestamps else 2

    def frame_bytes(self, kind: str, size: tuple[int, int]) -> int:
        """The size of a frame, bytes; for MJPEG the maximum size."""
        return size[0] * size[1] * BITS[kind] // 8 + self.padding_bytes

    def interval(self, rate: float) -> int:
        """The frame interval in units of 100 ns."""
        return round(TICKS_PER_S / rate)


def configuration(settings: UvcSettings) -> bytes:
    """The whole configuration descriptor."""
    body = b"".join([_association(), _control(settings), _streaming(settings)])
    whole = struct.pack("<BBHBBBBB", 9, 2, 9 + len(body), 2, 1, 0, 0x80, 250) + body
    return whole[:-1] if settings.damage == "short" else whole


def _association() -> bytes:
    return bytes([8, 0x0B, CONTROL_INTERFACE, 2, 0x0E, 0x03, 0x00, 0])


def _control(settings: UvcSettings) -> bytes:
    camera = struct.pack("<BBBBHBBHHHB", 18, 0x24, 2, 1, 0x0201, 0, 0, 0, 0, 0, 3) + bytes(3)
    lamp = struct.pack("<BBBB16sBBBBBB", 26, 0x24, 6, EXTENSION_UNIT, EXTENSION_GUID, 1, 1, 1, 1, 0x01, 0)
    to_host = struct.pack("<BBBBHBBB", 9, 0x24, 3, 2, 0x0101, 0, EXTENSION_UNIT, 0)
    units = camera + lamp + to_host
    header = struct.pack("<BBBHHIBB", 13, 0x24, 1, settings.version, 13 + len(units), CLOCK_HZ, 1, STREAMING_INTERFACE)
    return bytes([9, 4, CONTROL_INTERFACE, 0, 0, 0x0E, 1, 0, 0]) + header + units


def _streaming(settings: UvcSettings) -> bytes:
    interface = bytes([9, 4, STREAMING_INTERFACE, 0, 1, 0x0E, 2, 0, 0])
    endpoint = struct.pack("<BBBBHB", 7, 5, settings.endpoint, 0x02, settings.packet_bytes, 0)
    if settings.speed == "super":
        endpoint += bytes([6, 0x30, 0, 0, 0, 0])
    streams = _streams(settings)
    return interface + (streams + endpoint if settings.descriptors_on == "interface" else endpoint + streams)


def _streams(settings: UvcSettings) -> bytes:
    formats = b"".join(_formats(settings))
    count = len(settings.formats)
    size = 13 + count
    header = struct.pack(
        "<BBBBHBBBBBBB", size, 0x24, 1, count, size + len(formats), settings.endpoint, 0, 2, 0, 0, 0, 1
    )
    return header + bytes(count) + formats


def _formats(settings: UvcSettings) -> Iterator[bytes]:
    for index, kind in enumerate(settings.formats, 1):
        frames = len(settings.sizes)
        if kind == "mjpeg":
            yield bytes([11, 0x24, 6, index, frames, 1, 1, 0, 0, 0, 0])
        else:
            guid = GUIDS[kind][:11] + b"\0" + GUIDS[kind][12:] if settings.damage == "guid" else GUIDS[kind]
            yield struct.pack("<BBBBB16sBBBBBB", 27, 0x24, 4, index, frames, guid, BITS[kind], 1, 0, 0, 0, 0)
        for number, size in enumerate(settings.sizes, 1):
            yield _frame(settings, kind, number, size)
        yield bytes([6, 0x24, 0x0D, 1, 1, 4])


def _frame(settings: UvcSettings, kind: str, number: int, size: tuple[int, int]) -> bytes:
    intervals = [settings.interval(rate) for rate in settings.rates]
    most = settings.frame_bytes(kind, size)
    rate = min(int(most * 8 * max(settings.rates)), 0xFFFFFFFF)
    head = struct.pack(
        "<BBBBBHHIIIIB",
        26 + 4 * len(intervals), 0x24, 7 if kind == "mjpeg" else 5, number, 0, *size, rate, rate, most, intervals[0],
        len(intervals),
    )  # fmt: skip
    return head + struct.pack(f"<{len(intervals)}I", *intervals)
