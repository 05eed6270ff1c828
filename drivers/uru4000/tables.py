"""The protocol of the U.are.U 4000 family as tables: readers, registers, modes, interrupt messages, times.

Source: ../shared/facts/usb-fingerprint.md, sections 1 to 5.
"""

from dataclasses import dataclass
from enum import IntEnum

from drivers.matches import UsbMatch

DIGITALPERSONA, MICROSOFT = 0x05BA, 0x045E


@dataclass(frozen=True, slots=True)
class Model:
    """A row: ids, name, whether it needs the challenge at power-up, and whether its image is upside down."""

    vendor: int
    product: int
    name: str
    challenge: bool = False
    upside_down: bool = False

    @property
    def match(self) -> UsbMatch:
        """The row for the udev rules."""
        return UsbMatch(self.vendor, self.product, self.name, "usb")


MODELS = (
    Model(DIGITALPERSONA, 0x000A, "U.are.U 4000B/4500", upside_down=True),
    Model(DIGITALPERSONA, 0x0007, "U.are.U 4000"),
    Model(DIGITALPERSONA, 0x0008, "U.are.U Fingerprint Keyboard"),
    Model(MICROSOFT, 0x00BB, "Microsoft Keyboard with Fingerprint Reader"),
    Model(MICROSOFT, 0x00BC, "Microsoft Wireless IntelliMouse with Fingerprint Reader"),
    Model(MICROSOFT, 0x00BD, "Microsoft Fingerprint Reader"),
    Model(MICROSOFT, 0x00CA, "Microsoft Fingerprint Reader v2", challenge=True),
)
MODEL_OF_IDS = {(model.vendor, model.product): model for model in MODELS}

READER_INTERFACE = (0xFF, 0xFF, 0xFF)  # in a keyboard the keys have other interfaces, one of them number 0
INTERRUPT_ENDPOINT, INTERRUPT_BYTES = 0x81, 64
IMAGE_ENDPOINT = 0x82

# Register access: a vendor request to the device, the first register in wValue.
REGISTER_REQUEST = 4
READ, WRITE = 0xC0, 0x40
REGISTER_S = 5.0  # the timeout of a register access


class Register(IntEnum):
    """The registers that the driver uses."""

    STATUS = 0x07
    SCRAMBLE_INDEX = 0x33  # 5 bytes, write: key number, seed little endian
    SCRAMBLE_KEY = 0x34  # 4 bytes, read: key XOR seed, little endian
    MODE = 0x4E
    DEVICE_INFO = 0xF0  # 16 bytes, read
    RESPONSE = 0x2000  # 16 bytes, write
    CHALLENGE = 0x2010  # 16 bytes, read

    def __str__(self) -> str:
        """As messages name it."""
        return f"0x{self:02x} ({self.name.lower().replace('_', ' ')})"


class Status(IntEnum):
    """Bits of the hardware status."""

    ALIVE = 0x01
    WRONG = 0x04
    LOW_POWER = 0x80


STATUS_KEPT_BITS = 0x0F  # the bits that are written back to wake the reader


class Mode(IntEnum):
    """Values of the mode register."""

    AWAIT_FINGER_ON = 0x10
    AWAIT_FINGER_OFF = 0x12
    CAPTURE = 0x20
    OFF = 0x70


class Interrupt(IntEnum):
    """The first two bytes of an interrupt message, big endian."""

    FINGER_ON = 0x0101
    FINGER_OFF = 0x0200
    FAULT = 0x0800  # the next image may come back empty
    POWER_ON = 0x56AA  # comes several times


DEVICE_INFO_BYTES = 16
VERSIONS = (slice(4, 6), slice(10, 12))  # in the device info: hardware and firmware; which is first is not documented

CHALLENGE_BYTES = 16
CHALLENGE_KEY = bytes.fromhex("79ac91795ca1478e98e00f3c598f5f4b")  # the same in every 045e:00ca; not secret

POLL_S = 0.01  # between two reads of the status
POLLS = 100
POWER_ON_S = 0.3  # the maximum time until the POWER_ON message
POWER_UPS = 3
POWER_UP_S = 15.0  # limit for all attempts; with slow registers they would take a minute
