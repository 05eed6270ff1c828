"""The state of a Suprema SFM module and the commands that it answers immediately: one table row per command.

Written from the protocol facts (UniFinger SFM3000 to SFM6050). Waiting for a finger, transfers, packets and the faults
of the line are in simulators.sensors.sfm.device.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from simulators.transports.faults import Faults

# Commands
WRITE, SAVE, READ, STATUS, SCAN, READ_IMAGE, CANCEL = 0x01, 0x02, 0x03, 0x04, 0x15, 0x20, 0x60
SCAN_EXTENDED, READ_EXTENDED, RESET = 0x83, 0x84, 0xD0

# Results, in the flag field of a response
SUCCESS, SCANNED, SCAN_FAIL, TRY_AGAIN, TIME_OUT, UNSUPPORTED = 0x61, 0x62, 0x63, 0x6B, 0x6C, 0x75
BUSY, CANCELLED, DATA_ERROR, DATA_OK, FAKE = 0x80, 0x81, 0x82, 0x83, 0xB0

# Parameters
TIMEOUT, FORMAT, MODULE_ID, FIRMWARE, SERIAL, RATE = 0x62, 0x6C, 0x6D, 0x6E, 0x6F, 0x71
SEND_SCANNED, NETWORK = 0x75, 0x83

ALIVE = 0x30  # the state in the answer to STATUS
OFF, ON = 0x30, 0x31
INFINITE = 0x30  # value of TIMEOUT; 0x31 is 1 s, 0x44 is 20 s
GREY8, BINARY, GREY4 = 0x30, 0x31, 0x32
PIXELS_PER_BYTE = {GREY8: 1, BINARY: 8, GREY4: 2}
RATES = dict(zip(range(0x31, 0x39), (9600, 19200, 38400, 57600, 115_200, 230_400, 460_800, 921_600), strict=True))
CODE_OF_RATE = {rate: code for code, rate in RATES.items()}

VALUES: Mapping[int, range] = {  # parameters that may be written, and their values
    TIMEOUT: range(0x30, 0x45),
    FORMAT: range(0x30, 0x33),
    MODULE_ID: range(0x10000),
    RATE: range(0x31, 0x39),
    SEND_SCANNED: range(0x30, 0x32),
    NETWORK: range(0x30, 0x32),
    0x77: range(0x30, 0x32),  # rotate
}


@dataclass(frozen=True, slots=True)
class SfmSettings:
    """One module: its configuration in flash, and its behaviour."""

    width: int = 272
    height: int = 320
    ppi: int = 500
    baud: int = 115_200
    terminal: int | None = None  # its address on an RS-485 network, where packets have 15 bytes
    firmware: str = "V31A"
    serial: int = 0x00C0FFEE
    image_format: int = BINARY  # as it leaves the factory
    send_scanned: bool = True  # send an intermediate answer as soon as the finger has been scanned
    timeout_code: int = 0x3A  # 10 s
    boot_s: float = 0.05  # the module ignores the host so long after power-on
    settle_s: float = 0.0  # the duration of a scan
    numbers_packets: bool = True  # the data packets of an image have an index; otherwise it is always 0
    acknowledge_s: float = 2.0  # a transfer ends if the host does not acknowledge a data packet for so long

    def __post_init__(self) -> None:
        if self.baud not in CODE_OF_RATE:
            raise ValueError(f"baud must be one of {tuple(CODE_OF_RATE)}, not {self.baud}")
        if self.width <= 0 or self.height <= 0:
            raise ValueError(f"width and height must be 1 or more, not {self.width}x{self.height}")
        if self.terminal is not None and not 1 <= self.terminal <= 0xFFFF:
            raise ValueError(f"the terminal number must be 1 to 65535, not {self.terminal}")
        if len(self.firmware) != 4:
            raise ValueError(f"firmware must have four characters, not {self.firmware!r}")

    def parameters(self) -> dict[int, int]:
        """The parameters in flash."""
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
    """The state of a module: the parameters in flash, and what is lost at power-off."""

    settings: SfmSettings
    faults: Faults
    flash: dict[int, int]

    parameters: dict[int, int] = field(default_factory=dict)
    baud: int = 0  # the current rate
    record: bytes | None = None  # the image that was scanned last

    def power_on(self) -> None:
        """Reset everything that is not in flash."""
        self.parameters = dict(self.flash)
        self.baud = RATES[self.flash[RATE]]
        self.record = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The fields of a response."""

    flag: int
    param: int = 0
    size: int = 0


def image_record(settings: SfmSettings, pixels: bytes, image_format: int) -> bytes:
    """Seven little-endian numbers and the pixels, row by row. The left pixel of a byte is in its upper bits.

    If the last byte is not full, its lower bits are zero.
    """
    packed = _PACK[image_format](pixels + bytes(-len(pixels) % PIXELS_PER_BYTE[image_format]))
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
    if parameter == RATE and not state.faults.occurs("baud_deferred"):
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
    """One command that is answered immediately: its name, and its function of the packet's flag and size."""

    name: str
    execute: Callable[[State, int, int], Answer]


COMMANDS: Mapping[int, Command] = {
    WRITE: Command("SW", _write),
    SAVE: Command("SF", _save),
    READ: Command("SR", _read),
    STATUS: Command("SS", _status),
    RESET: Command("D0", _reset),
}
IMAGE_COMMANDS = {SCAN: "SI", READ_IMAGE: "RI", SCAN_EXTENDED: "SIX", READ_EXTENDED: "RIX"}
EXTENDED = (SCAN_EXTENDED, READ_EXTENDED)
NECESSARY = (SCAN, CANCEL)  # every module that sends images has them; some do not have others
