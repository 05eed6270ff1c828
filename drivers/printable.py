"""Makes text from outside printable: that of devices, files, other programs, the broker and the hub.

Such text reaches terminals and the journal. There, control characters move the cursor or write the clipboard, a newline
forges a line, and invisible characters or a change of direction make one text look like another. The types at the edges
call this: DeviceInfo, UsbIdentity and the errors of drivers; the errors and the log of the agent; the answers of the
control socket.
"""

import unicodedata
from typing import Any

MOST = 2000  # characters of one text; nothing that we print is longer
MARKS = 2  # combining marks on one letter; more of them cover the lines around it

# Shown as nothing, although str.isprintable() says otherwise: Default_Ignorable_Code_Point of Unicode 15 and the blank
# Braille pattern.
_BLANK = (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x2800, 0x3164, 0xFFA0)
_INVISIBLE = frozenset(map(chr, (*_BLANK, *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))


def printable(text: str) -> str:
    r"""The text on one line, with everything that a terminal does not show as itself written as an escape (\x1b)."""
    if text.isascii() and text.isprintable() and len(text) <= MOST:
        return text
    shown: list[str] = []
    marks = 0
    for character in text[:MOST]:
        marks = marks + 1 if unicodedata.combining(character) else 0
        plain = character.isprintable() and character not in _INVISIBLE and marks <= MARKS
        shown.append(character if plain else _escape(character))
    return "".join(shown) + (f"… ({len(text)} characters)" if len(text) > MOST else "")


def printable_values(value: Any) -> Any:  # noqa: ANN401 - any value of JSON
    """The same for each text in a value of JSON, keys included."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [printable_values(one) for one in value]
    if isinstance(value, dict):
        return {printable(str(key)): printable_values(one) for key, one in value.items()}
    return value


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
