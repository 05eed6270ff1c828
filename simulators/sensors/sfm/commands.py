"""What a Suprema SFM module knows and how it obeys the commands that answer at once: one row a command.

Written from the protocol facts (UniFinger SFM3000 to SFM6050). Waiting for a finger, transfers, packets and the faults
of the wire are in simulators.sensors.sfm.device.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from simulators.transports.faults import Faults

# Commands
WRITE, SAVE, READ, STATUS, SCAN, READ_IMAGE, CANCEL = 0x01, 0x02, 0x03, 0x04, 0x15, 0x20, 0x60
SCAN_EXTENDED, READ_EXTENDED, RESET = 0x83, 0x84, 0xD0

# Results, in the flag of a response
SUCCESS, SCANNED, SCAN_FAIL, TRY_AGAIN, TIME_OUT, UNSUPPORTED = 0x61, 0x62, 0x63, 0x6B, 0x6C, 0x75
BUSY, CANCELLED, DATA_ERROR, DATA_OK, FAKE = 0x80, 0x81, 0x82, 0x83, 0xB0

# Parameters
TIMEOUT, FORMAT, MODULE_ID, FIRMWARE, SERIAL, RATE = 0x62, 0x6C, 0x6D, 0x6E, 0x6F, 0x71
SEND_SCANNED, NETWORK = 0x75, 0x83

ALIVE = 0x30  # state in the answer to STATUS
OFF, ON = 0x30, 0x31
INFINITE = 0x30  # of TIMEOUT; 0x31 is one second, 0x44 twenty
GREY8, BINARY, GREY4 = 0x30, 0x31, 0x32
PIXELS_A_BYTE = {GREY8: 1, BINARY: 8, GREY4: 2}
RATES = dict(zip(range(0x31, 0x39), (9600, 19200, 38400, 57600, 115_200, 230_400, 460_800, 921_600), strict=True))
CODE_OF_RATE = {rate: code for code, rate in RATES.items()}

VALUES: Mapping[int, range] = {  # what may be written
    TIMEOUT: range(0x30, 0x45),
    FORMAT: range(0x30, 0x33),
    MODULE_ID: range(0x10000),
    RATE: range(0x31, 0x39),
    SEND_SCANNED: range(0x30, 0x32),
    NETWORK: range(0x30, 0x32),
    0x77: range(0x30, 0x32),  # rotate
}


class Picture(Protocol):
    """What a finger looks like: u8[height, width], as a numpy array is."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Height and width."""

    @property
    def dtype(self) -> object:
        """Must read `uint8`."""

    def tobytes(self) -> bytes:
        """Row by row."""


@dataclass(frozen=True, slots=True)
class SfmSettings:
    """One module as it is configured in flash."""

    width: int = 272
    height: int = 320
    ppi: int = 500
    baud: int = 115_200
    terminal: int | None = None  # on a network (RS-485): packets of 15 bytes to and from this terminal
    firmware: str = "V31A"
    serial: int = 0x00C0FFEE
    image_format: int = BINARY  # as it leaves the factory
    send_scanned: bool = True  # an intermediate answer as soon as the finger was scanned
    timeout_code: int = 0x3A  # 10 s
    boot_s: float = 0.05  # after power-on nothing is heard
    settle_s: float = 0.0  # scanning takes so long
    numbers_packets: bool = True  # the data packets of an image; else the index of each is 0
    acknowledge_s: float = 2.0  # a host that does not acknowledge a data packet for so long is given up

    def __post_init__(self) -> None:
        if self.baud not in CODE_OF_RATE:
            raise ValueError(f"baud must be one of {tuple(CODE_OF_RATE)}, not {self.baud}")
        if self.width <= 0 or self.height <= 0:
            raise ValueError(f"a sensor has pixels, not {self.width}x{self.height}")
        if self.terminal is not None and not 1 <= self.terminal <= 0xFFFF:
            raise ValueError(f"a terminal has a number from 1 to 65535, not {self.terminal}")
        if len(self.firmware) != 4:
            raise ValueError(f"firmware has four characters, not {self.firmware!r}")

    def parameters(self) -> dict[int, int]:
        """What stands in flash."""
        return {
            TIMEOUT: self.timeout_code,
            FORMAT: self.image_format,
            MODULE_ID: self.terminal or 0,
            FIRMWARE: int.from_bytes(self.firmware.encode("ascii"), "little"),
            SERIAL: self.serial,
            RATE: CODE_OF_RATE[self.baud],
            SEND_SCANNED: ON if self.send_scanned else OFF,
            NETWORK: OFF if self.terminal is None else ON,
            0x77: OFF,
        }


@dataclass(slots=True)
class State:
    """A module at work: what is in flash, what is gone at power-off, and the finger outside."""

    settings: SfmSettings
    faults: Faults
    flash: dict[int, int]

    parameters: dict[int, int] = field(default_factory=dict)
    baud: int = 0  # in force
    record: bytes | None = None  # the image that was scanned last

    finger: bytes | None = None
    pressed_at: float = 0.0
    lift_asked: bool = False

    def power_on(self) -> None:
        """Forget everything that is not in flash."""
        self.parameters = dict(self.flash)
        self.baud = RATES[self.flash[RATE]]
        self.record = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a response says."""

    flag: int
    param: int = 0
    size: int = 0


def image_record(settings: SfmSettings, pixels: bytes, image_format: int) -> bytes:
    """Seven little-endian numbers and the pixels, row by row, the left one of a byte in its upper bits.

    A last byte that is not full has zeros in its lower bits.
    """
    packed = _PACK[image_format](pixels + bytes(-len(pixels) % PIXELS_A_BYTE[image_format]))
    head = (settings.width, settings.height, 0, 0, _FORMAT_IN_RECORD[image_format], len(packed), 0)
    return struct.pack("<7i", *head) + packed


def _pack_4(pixels: bytes) -> bytes:
    return bytes(left & 0xF0 | right >> 4 for left, right in zip(pixels[::2], pixels[1::2], strict=True))


def _pack_1(pixels: bytes) -> bytes:
    rows = zip(*(pixels[bit::8] for bit in range(8)), strict=True)
    return bytes(sum((pixel >> 7) << (7 - bit) for bit, pixel in enumerate(eight)) for eight in rows)


_PACK: Mapping[int, Callable[[bytes], bytes]] = {GREY8: bytes, GREY4: _pack_4, BINARY: _pack_1}
_FORMAT_IN_RECORD = {GREY8: 0, BINARY: 1, GREY4: 2}


def _write(state: State, parameter: int, value: int) -> Answer:
    if parameter not in VALUES or value not in VALUES[parameter]:
        return Answer(UNSUPPORTED)
    state.parameters[parameter] = value
    if parameter == RATE and not state.faults.strikes("baud_deferred"):
        state.baud = RATES[value]
    return Answer(SUCCESS, size=value)


def _save(state: State, _parameter: int, _value: int) -> Answer:
    state.flash = dict(state.parameters)
    return Answer(SUCCESS)


def _read(state: State, parameter: int, _value: int) -> Answer:
    value = state.parameters.get(parameter)
    return Answer(UNSUPPORTED) if value is None else Answer(SUCCESS, size=value)


def _status(_state: State, _parameter: int, _value: int) -> Answer:
    return Answer(SUCCESS, param=ALIVE)


def _reset(_state: State, _parameter: int, _value: int) -> Answer:
    return Answer(SUCCESS)


@dataclass(frozen=True, slots=True)
class Command:
    """One command that is answered at once: its name and what it does with the packet's flag and size."""

    name: str
    obey: Callable[[State, int, int], Answer]


COMMANDS: Mapping[int, Command] = {
    WRITE: Command("SW", _write),
    SAVE: Command("SF", _save),
    READ: Command("SR", _read),
    STATUS: Command("SS", _status),
    RESET: Command("D0", _reset),
}
IMAGE_COMMANDS = {SCAN: "SI", READ_IMAGE: "RI", SCAN_EXTENDED: "SIX", READ_EXTENDED: "RIX"}
EXTENDED = (SCAN_EXTENDED, READ_EXTENDED)
