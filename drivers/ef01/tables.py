"""Tables of the EF01 protocol: commands, confirmation codes, image sizes, system parameters.

Source: ../shared/facts/serial-fingerprint.md, part A.
"""

import struct
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from drivers.errors import ProtocolError, Retry

OK = 0x00  # the confirmation code
BAUD_UNIT = 9600  # a baud code N means N * 9600
DEFAULT_BAUD = 57_600
PACKET_SIZES = (32, 64, 128, 256)  # payload bytes of a data packet, by code


@dataclass(frozen=True, slots=True)
class Command:
    """A command: code, name, bytes of the acknowledge after the confirmation code, and whether data packets follow."""

    code: int
    name: str
    reply_size: int = 0
    sends_data: bool = False


GET_IMAGE = Command(0x01, "GetImage")
UP_IMAGE = Command(0x0A, "UpImage", sends_data=True)
SET_SYS_PARA = Command(0x0E, "SetSysPara")
READ_SYS_PARA = Command(0x0F, "ReadSysPara", reply_size=16)
VFY_PWD = Command(0x13, "VfyPwd")

BAUD_PARAMETER = 4  # parameter numbers of SetSysPara
PACKET_SIZE_PARAMETER = 6


class NextStep(Enum):
    """What the driver does after a confirmation code."""

    GO_ON = auto()
    POLL_AGAIN = auto()  # nothing on the sensor
    SEND_AGAIN = auto()  # the module received a damaged command
    REOPEN = auto()  # ProtocolError


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A confirmation code, its meaning and the next step. A Retry means CaptureRetry with that reason."""

    code: int
    meaning: str
    then: NextStep | Retry

    def __str__(self) -> str:
        """As messages name it."""
        return f"{self.meaning} (0x{self.code:02X})"


_ROWS = (
    Confirmation(0x00, "ok", NextStep.GO_ON),
    Confirmation(0x01, "error when receiving the packet", NextStep.SEND_AGAIN),
    Confirmation(0x02, "no finger", NextStep.POLL_AGAIN),
    Confirmation(0x03, "image not captured", Retry.TOO_MESSY),
    Confirmation(0x06, "image too messy", Retry.TOO_MESSY),
    Confirmation(0x07, "too few points", Retry.TOO_MESSY),
    Confirmation(0x0E, "cannot receive the packets that follow", Retry.MOVED),
    Confirmation(0x0F, "image not sent", Retry.MOVED),
    Confirmation(0x13, "wrong password: set the option password", NextStep.REOPEN),
    Confirmation(0x15, "no valid image in the buffer", Retry.MOVED),
    Confirmation(0x18, "flash write error", NextStep.REOPEN),
    Confirmation(0x19, "undefined error", NextStep.REOPEN),
    Confirmation(0x1A, "no such register", NextStep.REOPEN),
    Confirmation(0x1B, "register does not accept this value", NextStep.REOPEN),
    Confirmation(0x1D, "port operation failed", NextStep.REOPEN),
    Confirmation(0x20, "wrong address: set the option address", NextStep.REOPEN),
    Confirmation(0x21, "the password must be verified first: set the option password", NextStep.REOPEN),
)
ACCESS_REFUSED = frozenset({0x13, 0x20, 0x21})  # refusals that say nothing about whether the module has the command
CONFIRMATIONS = {row.code: row for row in _ROWS}


def confirmation(code: int) -> Confirmation:
    """The row of `code`. For an unknown code the device is reopened."""
    return CONFIRMATIONS.get(code, Confirmation(code, "unknown confirmation code", NextStep.REOPEN))


@dataclass(frozen=True, slots=True)
class Model:
    """An image size, and the names of the modules that send it."""

    names: tuple[str, ...]
    width: int
    height: int
    pixels_per_inch: float

    @property
    def image_bytes(self) -> int:
        """Payload bytes of one image, with two pixels per byte."""
        return self.width * self.height // 2


MODELS = (
    Model(("ZFM-20", "R301T", "R307"), 256, 288, 500.0),
    Model(("R503", "R551"), 192, 192, 508.0),
)
MODEL_BY_NAME = {name.upper(): model for model in MODELS for name in model.names}
MODEL_BY_IMAGE_BYTES = {model.image_bytes: model for model in MODELS}


class SystemParameters(NamedTuple):
    """The fields of the answer to ReadSysPara that the driver uses."""

    address: int
    packet_size: int
    baud: int

    @classmethod
    def from_bytes(cls, payload: bytes, name: str) -> "SystemParameters":
        """Parses the 16 bytes of the device `name`. ProtocolError if they are not valid."""
        _status, _system, _library, _security, address, size_code, baud_code = struct.unpack(">HHHHIHH", payload)
        if size_code >= len(PACKET_SIZES) or baud_code == 0:
            raise ProtocolError(
                f"{name}: invalid system parameters: packet size code {size_code}, baud code {baud_code}"
            )
        return cls(address, PACKET_SIZES[size_code], baud_code * BAUD_UNIT)
