"""The readers of the U.are.U 4000 family that can be simulated, and the settings of one reader.

Written from ../shared/facts/usb-fingerprint.md, sections 1 to 4. Standard library only.
"""

from dataclasses import dataclass

from simulators.sensors.uru4000.image import Block
from simulators.transports.usb.standard import configuration_descriptor, endpoint_descriptor, interface_descriptor

ALIVE, WRONG, LOW_POWER = 0x01, 0x04, 0x80
HUNG = WRONG | LOW_POWER

DEVICE_INFO = bytes.fromhex("1a0a1a0a01150000002000108b211130")  # recorded from a real 4500

# One vendor interface with an interrupt and a bulk endpoint, recorded from a real 4500. It has no string indexes.
CONFIGURATION = bytes.fromhex("0902200001010080640904000002ffffff000705810340000807058202400000")

# A keyboard also has an interface for its keys. How a real one numbers its interfaces was not recorded; the keys are
# usually the first.
HID_DESCRIPTOR = bytes.fromhex("092111010001224100")
KEYBOARD_CONFIGURATION = configuration_descriptor(
    interface_descriptor(0, 0, 1, (3, 1, 1)),
    HID_DESCRIPTOR,
    endpoint_descriptor(0x83, 3, 8, 10),
    interface_descriptor(1, 0, 2, (0xFF, 0xFF, 0xFF)),
    endpoint_descriptor(0x81, 3, 64, 8),
    endpoint_descriptor(0x82, 2, 64),
    interfaces=2,
)


@dataclass(frozen=True, slots=True)
class Reader:
    """One model and its USB ids."""

    vendor: int
    product: int
    maker: str
    name: str
    upside_down: bool = False
    challenges: bool = False  # leaves low-power mode only after the correct response to a challenge
    keys: bool = False  # is part of a keyboard

    @property
    def configuration(self) -> bytes:
        """The whole configuration descriptor."""
        return KEYBOARD_CONFIGURATION if self.keys else CONFIGURATION


# Challenges and their AES-128 encryption with the key of the facts, computed with OpenSSL: the model needs no cipher.
CHALLENGES = (
    (bytes.fromhex("101112131415161718191a1b1c1d1e1f"), bytes.fromhex("c2197bbd514dd5eaa426817fdb8113fe")),
    (bytes.fromhex("00000000000000000000000000000000"), bytes.fromhex("a9d42a98c20cea8f0eb61f17f8f6c001")),
    (bytes.fromhex("3ad77bb40d7a3660a89ecaf32466ef97"), bytes.fromhex("b4a3c1b31f354148d130e3d3bd736765")),
)

READERS = {
    "4500": Reader(0x05BA, 0x000A, "DigitalPersona, Inc.", "U.are.U 4500 Fingerprint Reader", upside_down=True),
    "4000": Reader(0x05BA, 0x0007, "DigitalPersona, Inc.", "U.are.U 4000 Fingerprint Reader"),
    "keyboard": Reader(0x05BA, 0x0008, "DigitalPersona, Inc.", "U.are.U Fingerprint Keyboard", keys=True),
    "ms-keyboard": Reader(0x045E, 0x00BB, "Microsoft", "Keyboard with Fingerprint Reader", keys=True),
    "ms-mouse": Reader(0x045E, 0x00BC, "Microsoft", "Wireless IntelliMouse with Fingerprint Reader"),
    "ms-reader": Reader(0x045E, 0x00BD, "Microsoft", "Fingerprint Reader"),
    "ms-reader-v2": Reader(0x045E, 0x00CA, "Microsoft", "Fingerprint Reader", challenges=True),
}

# The blocks of a real 4500, without the gap; the 290th row is never sent.
DEFAULT_BLOCKS = (Block(2, 72), Block(0, 1), Block(2, 99), Block(0, 1), Block(2, 116))

# The host commands the reader to wait for a finger, or for its lift. If the finger is already there, or already gone:
# is the first such command answered immediately, and is a repeated one? It is not known what real readers do, so a host
# must work with each.
TELLS = {"always": (True, True), "afresh": (True, False), "changes": (False, False)}


@dataclass(frozen=True, slots=True)
class Uru4000Settings:
    """One reader. Times in seconds."""

    reader: str = "4500"
    serial: str = "{00000000-0000-4000-8000-000000000001}"
    status: int = ALIVE  # when plugged in; LOW_POWER: in low-power mode, HUNG: must be restarted
    ignored_wakes: int = 0  # commands to leave low-power mode that have no effect
    power_on_s: float = 0.0003  # from the command to the first message
    power_on_messages: tuple[float, ...] = (0.0, 0.009, 0.017)  # delay of each message after that
    reboot_s: float = 0.05
    image_s: float = 0.128
    scrambled: bool = True
    blocks: tuple[Block, ...] = DEFAULT_BLOCKS
    tells: str = "always"  # a row of TELLS
    mode_is_readable: bool = False  # not known of real readers
    first_key: int = 0  # key number of the first image; each image has the next number
