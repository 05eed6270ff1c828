"""The terminal of a command: the only place that makes a rich Console, without markup and without emoji codes.

Text from outside (`usb:1234:5678`, `[red]`) is therefore shown as it is. Our own styles are marked with control
characters, which no text from outside can contain once it is printable; what contains them elsewhere is escaped.
"""

import re
import sys

from rich.console import Console
from rich.table import Table
from rich.text import Text

from drivers.printable import printable

_BEGIN, _NAMED, END = "\x01", "\x02", "\x03"
_STYLED = re.compile("\x01([a-z ]*)\x02(.*?)\x03", re.DOTALL)


def begin(style: str) -> str:
    """The mark that begins text in this style of rich; END ends it."""
    return f"{_BEGIN}{style}{_NAMED}"


YELLOW, BOLD_RED, BOLD_YELLOW, DIM, ITALIC = map(begin, ("yellow", "bold red", "bold yellow", "dim", "italic"))


def new_console() -> Console:
    """A console that interprets nothing. A pipe or a journal has no width: tables are then as wide as they need."""
    width = None if sys.stdout.isatty() else 200
    return Console(highlight=False, markup=False, emoji=False, soft_wrap=True, width=width)


def text_of(line: str) -> Text:
    """The text of a line, with the styles that it marks."""
    text, at = Text(), 0
    for styled in _STYLED.finditer(line):
        text.append(printable(line[at : styled.start()]))
        text.append(printable(styled[2]), styled[1])
        at = styled.end()
    text.append(printable(line[at:]))
    return text


class Terminal:
    """Prints lines and tables."""

    def __init__(self) -> None:
        self._console = new_console()

    def print(self, line: str) -> None:
        """Print one line."""
        self._console.print(text_of(line))

    def print_table(self, *rows: tuple[str, ...]) -> None:
        """Print a table, whose first row is its head."""
        table = Table(*rows[0], box=None)
        for row in rows[1:]:
            table.add_row(*map(text_of, row))
        self._console.print(table)
