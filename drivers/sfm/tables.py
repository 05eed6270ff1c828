"""The protocol of Suprema's SFM modules as tables: commands, parameters, results, rates.

Source: ../shared/facts/serial-fingerprint.md, part B.
"""

from dataclasses import dataclass
from enum import Enum, IntEnum, auto

from drivers.errors import ProtocolError, Retry

DEFAULT_BAUD = 115_200
RATE_CODES = {9600: 0x31, 19200: 0x32, 38400: 0x33, 57600: 0x34, 115_200: 0x35, 230_400: 0x36, 460_800: 0x37,
              921_600: 0x38}  # fmt: skip
SLOWEST_BAUD = min(RATE_CODES)
ALIVE = 0x30  # the state, in the answer to SS, of an idle module


@dataclass(frozen=True, slots=True)
class Command:
    """A row: code and name."""

    code: int
    name: str


WRITE_PARAMETER = Command(0x01, "SW")
READ_PARAMETER = Command(0x03, "SR")
STATUS = Command(0x04, "SS")
CANCEL = Command(0x60, "CA")


@dataclass(frozen=True, slots=True)
class Transfer:
    """A way to fetch an image: the command that scans a finger, and the one that sends the last scan again."""

    scan: Command
    read: Command
    extended: bool  # in data packets with a checksum each; the host acknowledges each


PLAIN = Transfer(Command(0x15, "SI"), Command(0x20, "RI"), extended=False)
EXTENDED = Transfer(Command(0x83, "SIX"), Command(0x84, "RIX"), extended=True)


class Parameter(IntEnum):
    """The system parameters that the driver uses. Written values are not saved: they are lost at power-off."""

    IMAGE_FORMAT = 0x6C
    FIRMWARE = 0x6E
    SERIAL = 0x6F
    BAUD = 0x71


class NextStep(Enum):
    """What the driver does after a result."""

    GO_ON = auto()
    WAIT_ON = auto()  # another result of the same command follows
    POLL_AGAIN = auto()  # no finger was presented
    SEND_AGAIN = auto()  # the module did not understand the packet, or is busy
    FALL_BACK = auto()  # the module does not know this command: try the plain transfer
    REOPEN = auto()  # ProtocolError


@dataclass(frozen=True, slots=True)
class Result:
    """A row: code, meaning, and the next step. A Retry means CaptureRetry for that reason."""

    code: int
    meaning: str
    then: NextStep | Retry

    def __str__(self) -> str:
        """As messages name it."""
        return f"{self.meaning} (0x{self.code:02X})"

    def check(self, device: str, what: str) -> None:
        """Raises ProtocolError, that `device` refused `what`, unless this is success."""
        if self.then is not NextStep.GO_ON:
            raise ProtocolError(f"{device}: {what} refused: {self}")


_TEMPLATES = "an answer about stored templates that was not requested: does another host share the line?"
_ACCESS = "an answer of access control that was not requested: does another host share the line?"

_ROWS = (
    Result(0x61, "success", NextStep.GO_ON),
    Result(0x62, "finger scanned", NextStep.WAIT_ON),
    Result(0x63, "scan failed", Retry.TOO_MESSY),
    Result(0x69, f"not found: {_TEMPLATES}", NextStep.REOPEN),
    Result(0x6A, f"no match: {_TEMPLATES}", NextStep.REOPEN),
    Result(0x6B, "image too poor", Retry.TOO_MESSY),
    Result(0x6C, "no finger within the module's own timeout", NextStep.POLL_AGAIN),
    Result(0x6D, f"memory full: {_TEMPLATES}", NextStep.REOPEN),
    Result(0x6E, f"id exists: {_TEMPLATES}", NextStep.REOPEN),
    Result(0x72, f"finger limit: {_TEMPLATES}", NextStep.REOPEN),
    Result(0x74, "continues", NextStep.WAIT_ON),
    Result(0x75, "not supported: is enhanced privacy on, or the firmware too old to send images?", NextStep.FALL_BACK),
    Result(0x76, f"invalid id: {_TEMPLATES}", NextStep.REOPEN),
    Result(0x7A, f"matching timed out: {_TEMPLATES}", NextStep.REOPEN),
    Result(0x7C, "invalid firmware: install the firmware of this module again", NextStep.REOPEN),
    Result(0x80, "busy with another command: does another host use it?", NextStep.SEND_AGAIN),
    Result(0x81, "cancelled", NextStep.POLL_AGAIN),
    Result(0x82, "data error: the module received damaged bytes", NextStep.SEND_AGAIN),
    Result(0x83, "data accepted", NextStep.WAIT_ON),
    Result(0x86, f"finger exists: {_TEMPLATES}", NextStep.REOPEN),
    Result(0x90, f"rejected id: {_ACCESS}", NextStep.REOPEN),
    Result(0x91, f"duress: {_ACCESS}", NextStep.REOPEN),
    Result(0x93, f"access not granted: {_ACCESS}", NextStep.REOPEN),
    Result(0x94, f"entrance limit: {_ACCESS}", NextStep.REOPEN),
    Result(0xA0, f"card error: {_ACCESS}", NextStep.REOPEN),
    Result(0xA1, "locked: unlock the module with the manufacturer's tool", NextStep.REOPEN),
    Result(0xB0, "rejected as a fake finger", Retry.TOO_MESSY),
)
RESULTS = {row.code: row for row in _ROWS}


def result(code: int) -> Result:
    """The row of `code`. After an unknown code the device is reopened."""
    return RESULTS.get(code, Result(code, "unknown result", NextStep.REOPEN))
