"""The commands of an EF01 module and its state: one table row and one short function per command.

Written from the protocol facts of the ZhianTec/SYNO/GROW family (ZFM-20, R30x, R503, AS608). Each function takes the
state and the payload of the command and returns the reply. Packets, checksums and faults of the line are in
simulators.sensors.ef01.device.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from simulators.sensors.common.serial_module import Touch, lacks
from simulators.transports.faults import USUAL_CODE, Faults

Image = NDArray[np.uint8]

# Confirmation codes
OK, RECEIVE_ERROR, NO_FINGER, CAPTURE_FAIL = 0x00, 0x01, 0x02, 0x03
TOO_MESSY, TOO_FEW_POINTS, BAD_LOCATION, TEMPLATE_UPLOAD_FAIL = 0x06, 0x07, 0x0B, 0x0D
IMAGE_UPLOAD_FAIL, WRONG_PASSWORD, NO_IMAGE, UNDEFINED = 0x0F, 0x13, 0x15, 0x19
BAD_REGISTER, BAD_VALUE, WRONG_ADDRESS, MUST_VERIFY, MODULE_OK = 0x1A, 0x1B, 0x20, 0x21, 0x55

PACKET_SIZES = (32, 64, 128, 256)  # by code
BAUD_UNIT = 9600
BAUD_CODES = frozenset(range(1, 13))
FAST_BAUD_CODE = 100  # 960000: reported for R305 and R301T only, so it must be enabled
INDEX_PAGES = 4  # pages of 256 places each
MIN_PPI, MAX_PPI = 100, 2000
MAX_SIDE = 1024  # pixels: no module of the family has more
TEMPLATE_BYTES = 512  # a ZFM-20 stores two of these for a finger
MIN_GREY_LEVELS = 4  # an image with fewer grey levels than this shows no ridges


@dataclass(frozen=True, slots=True)
class Ef01Settings:
    """One module as it leaves the factory. R503: width=192, height=192, ppi=508."""

    width: int = 256
    height: int = 288
    ppi: int = 500
    baud: int = 57600
    packet_size: int = 128
    address: int = 0xFFFFFFFF
    password: int = 0
    system_id: int = 0x0009
    library_size: int = 200
    security: int = 3
    boot_s: float = 0.05  # the module ignores the host so long after power-on: 50 ms (R503) to 250 ms (R301)
    hello: bool = False  # some firmware sends 0x55 when it is ready
    settle_s: float = 0.0  # the delay from pressing a finger until the module detects it
    fast_baud: bool = False  # rate code 100 is accepted

    def __post_init__(self) -> None:
        if self.packet_size not in PACKET_SIZES:
            raise ValueError(f"packet size must be one of {PACKET_SIZES}, not {self.packet_size}")
        if self.baud % BAUD_UNIT or not accepts_baud(self, self.baud // BAUD_UNIT):
            raise ValueError(f"baud must be 9600 times 1 to 12 (or, with fast_baud, 960000), not {self.baud}")
        if self.width % 2 or self.width <= 0 or self.height <= 0:
            raise ValueError(f"an image needs an even width and a height, not {self.width}x{self.height}")
        if max(self.width, self.height) > MAX_SIDE:
            raise ValueError(f"an image has at most {MAX_SIDE} pixels a side, not {self.width}x{self.height}")
        if not MIN_PPI <= self.ppi <= MAX_PPI:
            raise ValueError(f"the resolution must be {MIN_PPI} to {MAX_PPI} ppi, not {self.ppi}")

    @property
    def image_bytes(self) -> int:
        """Size of an image as it is sent, bytes: two pixels per byte."""
        return self.width * self.height // 2


def accepts_baud(settings: Ef01Settings, code: int) -> bool:
    """Whether SetSysPara may set this rate code."""
    return code in BAUD_CODES or (settings.fast_baud and code == FAST_BAUD_CODE)


@dataclass(slots=True)
class State:
    """The state of a module: the values in flash, the values lost at power-off, and the finger on the sensor."""

    settings: Ef01Settings
    faults: Faults
    touch: Touch
    baud_code: int
    packet_code: int
    address: int
    password: int
    security: int

    baud: int = 0  # the current rate
    verified: bool = False
    image: bytes | None = None  # the image buffer, packed
    templates: dict[int, bytes] = field(default_factory=dict)
    aura: bytes = b""
    light: bool = True

    @classmethod
    def new(cls, settings: Ef01Settings, faults: Faults, touch: Touch) -> "State":
        """A module with the settings in flash, not yet powered."""
        return cls(
            settings=settings,
            faults=faults,
            touch=touch,
            baud_code=settings.baud // BAUD_UNIT,
            packet_code=PACKET_SIZES.index(settings.packet_size),
            address=settings.address,
            password=settings.password,
            security=settings.security,
        )

    def power_on(self) -> None:
        """Reset everything that is not in flash; the baud rate becomes the one in flash."""
        self.baud = self.baud_code * BAUD_UNIT
        self.verified = False
        self.image = None
        self.templates = {}
        self.aura = b""
        self.light = True


@dataclass(frozen=True, slots=True)
class Reply:
    """An acknowledge and, if `data` is given, the data packets after it."""

    code: int = OK
    payload: bytes = b""
    data: bytes | None = None
    receive_into: int | None = None  # the buffer for the data packets of the host: IMAGE_BUFFER or a template buffer


IMAGE_BUFFER = 0


def pack(image: Image) -> bytes:
    """Two pixels of u8[h, w] per byte: the upper four bits of each, the left pixel in the high nibble."""
    grey = image >> 4
    return (grey[:, 0::2] << 4 | grey[:, 1::2]).tobytes()


def unpack(data: bytes, width: int) -> Image:
    """The inverse of pack(): u8[h, width], grey levels spread over 0 to 255."""
    packed = np.frombuffer(data, np.uint8)
    grey = np.stack((packed >> 4, packed & 15), axis=1) * np.uint8(17)
    return grey.reshape(-1, width)


def _get_image(state: State, _payload: bytes, now: float) -> Reply:
    pixels = state.touch.pixels
    if pixels is None or now < state.touch.pressed_at + state.settings.settle_s:
        return Reply(NO_FINGER)
    if state.faults.occurs("capture_fail"):
        return Reply(CAPTURE_FAIL)
    if state.faults.occurs("messy"):
        return Reply(TOO_MESSY)
    state.image = pack(np.frombuffer(pixels, np.uint8).reshape(-1, state.settings.width))
    return Reply()


def _up_image(state: State, _payload: bytes, _now: float) -> Reply:
    if state.image is None:
        return Reply(NO_IMAGE)
    if state.faults.occurs("no_upload"):
        return Reply(IMAGE_UPLOAD_FAIL)
    data = state.image
    if params := state.faults.take("short"):
        data = data[: max(1, len(data) - int(params["bytes"]))]
    if params := state.faults.take("long"):
        data += bytes(int(params["bytes"]))
    return Reply(data=data)


def _down_image(_state: State, _payload: bytes, _now: float) -> Reply:
    return Reply(receive_into=IMAGE_BUFFER)


def _image_to_template(state: State, payload: bytes, _now: float) -> Reply:
    """Make an opaque template: it depends on the image but does not describe it."""
    if state.image is None:
        return Reply(NO_IMAGE)
    if len(np.unique(unpack(state.image, state.settings.width))) < MIN_GREY_LEVELS:
        return Reply(TOO_FEW_POINTS)
    state.templates[_buffer(payload)] = hashlib.shake_256(state.image).digest(TEMPLATE_BYTES)
    return Reply()


def _up_char(state: State, payload: bytes, _now: float) -> Reply:
    template = state.templates.get(_buffer(payload))
    return Reply(TEMPLATE_UPLOAD_FAIL) if template is None else Reply(data=template)


def _down_char(_state: State, payload: bytes, _now: float) -> Reply:
    return Reply(receive_into=_buffer(payload))


def _buffer(payload: bytes) -> int:
    """The number of a template buffer: 1 or 2. Any value other than 1 means 2."""
    return 1 if payload[0] == 1 else 2


def _set_parameter(state: State, payload: bytes, _now: float) -> Reply:
    number, value = payload
    if number not in SETTERS:
        return Reply(BAD_REGISTER)
    return Reply(OK if SETTERS[number](state, value) else BAD_VALUE)


def _set_baud(state: State, code: int) -> bool:
    if not accepts_baud(state.settings, code):
        return False
    state.baud_code = code
    if not state.faults.occurs("baud_deferred"):
        state.baud = code * BAUD_UNIT
    return True


def _set_security(state: State, level: int) -> bool:
    if not 1 <= level <= 5:
        return False
    state.security = level
    return True


def _set_packet_size(state: State, code: int) -> bool:
    if code >= len(PACKET_SIZES):
        return False
    state.packet_code = code
    return True


SETTERS: Mapping[int, Callable[[State, int], bool]] = {4: _set_baud, 5: _set_security, 6: _set_packet_size}


def _read_parameters(state: State, _payload: bytes, _now: float) -> Reply:
    words = (0, state.settings.system_id, state.settings.library_size, state.security)
    tail = (state.packet_code, state.baud_code)
    return Reply(OK, _words(words) + state.address.to_bytes(4) + _words(tail))


def _words(values: tuple[int, ...]) -> bytes:
    return b"".join(value.to_bytes(2) for value in values)


def _set_password(state: State, payload: bytes, _now: float) -> Reply:
    state.password = int.from_bytes(payload)
    return Reply()


def _verify_password(state: State, payload: bytes, _now: float) -> Reply:
    state.verified = int.from_bytes(payload) == state.password
    return Reply(OK if state.verified else WRONG_PASSWORD)


def _set_address(state: State, payload: bytes, _now: float) -> Reply:
    state.address = int.from_bytes(payload)
    return Reply()


def _template_count(_state: State, _payload: bytes, _now: float) -> Reply:
    return Reply(OK, _words((0,)))


def _read_index(_state: State, payload: bytes, _now: float) -> Reply:
    return Reply(OK, bytes(32)) if payload[0] < INDEX_PAGES else Reply(BAD_LOCATION)


def _aura(state: State, payload: bytes, _now: float) -> Reply:
    state.aura = payload
    return Reply()


def _light_on(state: State, _payload: bytes, _now: float) -> Reply:
    state.light = True
    return Reply()


def _light_off(state: State, _payload: bytes, _now: float) -> Reply:
    state.light = False
    return Reply()


def _handshake(_state: State, _payload: bytes, _now: float) -> Reply:
    return Reply(MODULE_OK)


@dataclass(frozen=True, slots=True)
class Command:
    """One command: its name, the size of its payload after the code in bytes, and the function that executes it."""

    name: str
    size: int
    execute: Callable[[State, bytes, float], Reply]
    needs_password: bool = True  # if one is set
    optional: bool = True  # some modules of the family do not have it


COMMANDS: Mapping[int, Command] = {
    0x01: Command("GetImage", 0, _get_image, optional=False),
    0x02: Command("Image2Tz", 1, _image_to_template),
    0x08: Command("UpChar", 1, _up_char),
    0x09: Command("DownChar", 1, _down_char),
    0x0A: Command("UpImage", 0, _up_image, optional=False),
    0x0B: Command("DownImage", 0, _down_image),
    0x0E: Command("SetSysPara", 2, _set_parameter),
    0x0F: Command("ReadSysPara", 0, _read_parameters),
    0x12: Command("SetPwd", 4, _set_password),
    0x13: Command("VfyPwd", 4, _verify_password, needs_password=False),
    0x15: Command("SetAdder", 4, _set_address),
    0x1D: Command("TempleteNum", 0, _template_count),
    0x1F: Command("ReadIndexTable", 1, _read_index),
    0x35: Command("AuraLedConfig", 4, _aura),
    0x50: Command("BacklightOn", 0, _light_on),
    0x51: Command("BacklightOff", 0, _light_off),
    0x52: Command("GetImageNoLight", 0, _get_image),
    0x53: Command("Handshake", 0, _handshake, needs_password=False),
}


def execute(state: State, payload: bytes, now: float) -> Reply:
    """Execute the payload of one command packet."""
    command = COMMANDS.get(payload[0])
    if command is None:
        return Reply(UNDEFINED)
    if (params := state.faults.peek("refuses")) and lacks(params, payload[0], optional=command.optional):
        return Reply(RECEIVE_ERROR if params["code"] == USUAL_CODE else int(params["code"]))
    if len(payload) != 1 + command.size:
        return Reply(RECEIVE_ERROR)
    if command.needs_password and state.password and not state.verified:
        return Reply(MUST_VERIFY)
    return command.execute(state, payload[1:], now)
