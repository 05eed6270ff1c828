"""The messages of the NB-1010-U: commands, answers, and the checks of what was received.

Every message: 0x80, command, sequence, 0, total length u16 little endian, 0, 0, then the data of the command.
"""

from dataclasses import dataclass

WIDTH, HEIGHT = 256, 180
LINES = 2  # lines in one image message
MESSAGES = HEIGHT // LINES

START = 0x80
HEADER_BYTES = 8
STATUS, REPLY, IMAGE = 0x37, 0x20, 0x21  # commands of the device
ANSWER_BYTES = 16
IMAGE_BYTES = 540
PIXELS_OFFSET, PIXELS_END = 25, 25 + LINES * WIDTH
CONTACT_OFFSET = 12  # in a status: contact level, 0 to 255
MORE_OFFSET = 12  # in an image message: 1 while more follow, 0 in the last
LINE_OFFSET = 16  # in an image message: its first line, from 1


@dataclass(frozen=True, slots=True)
class Command:
    """One command: the bytes sent and the command byte of the answer."""

    name: str
    message: bytes
    answer: int


FINGER_CHECK = Command("finger check", bytes.fromhex("80380100 08000000"), STATUS)
PRE_CAPTURE = Command("pre-capture", bytes.fromhex("800d0300 0c000000 00040000"), REPLY)
CAPTURE = Command("capture", bytes.fromhex("80120400 20000000 02") + bytes(19) + bytes.fromhex("20000000"), REPLY)


def message_fault(message: bytes, command: int, size: int) -> str:
    """What is wrong with a message from the device; empty if nothing."""
    if len(message) != size:
        return f"{len(message)} bytes in place of {size}"
    if message[0] != START or message[1] != command:
        return f"another message in place of {START:02x}{command:02x}"
    if int.from_bytes(message[4:6], "little") != size:
        return "a message with a wrong length field"
    return ""


def lines_fault(message: bytes, number: int) -> str:
    """What is wrong with image message `number` (from 0); empty if nothing."""
    fault = message_fault(message, IMAGE, IMAGE_BYTES)
    if fault:
        return fault
    if message[LINE_OFFSET] != LINES * number + 1:
        return f"line {message[LINE_OFFSET]} in place of {LINES * number + 1}"
    if message[MORE_OFFSET] != (number < MESSAGES - 1):
        return "an image that ends too early or not at all"
    return ""
