"""The messages of the NB-1010-U: what is sent, what comes back, and what is wrong with what came.

Every message: 0x80, command, sequence, 0, total length u16 little endian, 0, 0, and then what belongs to the command.
"""

from dataclasses import dataclass

WIDTH, HEIGHT = 256, 180
LINES = 2  # of one image message
MESSAGES = HEIGHT // LINES

START = 0x80
HEAD = 8
STATUS, REPLY, IMAGE = 0x37, 0x20, 0x21  # commands of the device
ANSWER_BYTES = 16
IMAGE_BYTES = 540
PIXELS_AT, PIXELS_END = 25, 25 + LINES * WIDTH
CONTACT_AT = 12  # of a status: contact level, 0 to 255
MORE_AT = 12  # of an image message: 1 while more follow, 0 in the last
LINE_AT = 16  # of an image message: its first line, from 1


@dataclass(frozen=True, slots=True)
class Command:
    """One order: the bytes sent and the command byte of the answer."""

    name: str
    message: bytes
    answer: int


FINGER_CHECK = Command("finger check", bytes.fromhex("80380100 08000000"), STATUS)
PRE_CAPTURE = Command("pre-capture", bytes.fromhex("800d0300 0c000000 00040000"), REPLY)
CAPTURE = Command("capture", bytes.fromhex("80120400 20000000 02") + bytes(19) + bytes.fromhex("20000000"), REPLY)


def fault_of(message: bytes, command: int, size: int) -> str:
    """What is wrong with a message of the device; empty: nothing."""
    if len(message) != size:
        return f"{len(message)} bytes in place of {size}"
    if message[0] != START or message[1] != command:
        return f"another message in place of {START:02x}{command:02x}"
    if int.from_bytes(message[4:6], "little") != size:
        return "a message that lies about its length"
    return ""


def fault_of_lines(message: bytes, number: int) -> str:
    """What is wrong with image message `number` (from 0); empty: nothing."""
    fault = fault_of(message, IMAGE, IMAGE_BYTES)
    if fault:
        return fault
    if message[LINE_AT] != LINES * number + 1:
        return f"line {message[LINE_AT]} in place of {LINES * number + 1}"
    if message[MORE_AT] != (number < MESSAGES - 1):
        return "an image that ends too early or not at all"
    return ""
