"""The options of `kiosk-sim uru4000` that choose a reader and its behaviour. Standard library only."""

from dataclasses import dataclass

from simulators.sensors.uru4000.image import GAP, HEIGHT, TABLE_ROWS, Block
from simulators.sensors.uru4000.units import ALIVE, DEFAULT_BLOCKS, HUNG, LOW_POWER, READERS, TELLS, Uru4000Settings

MAX_FLAGS, MAX_LINES = 0xFF, 0xFF  # of a block: one byte each


@dataclass(frozen=True, slots=True)
class Choice:
    """The options as plain values for JSON. `blocks` is text for parse_blocks(); if empty, the default blocks."""

    reader: str = "4500"
    blocks: str = ""
    clear: bool = False
    asleep: bool = False
    hung: bool = False
    tells: str = "always"

    def settings(self) -> Uru4000Settings:
        """The settings of the reader. ValueError names an option that does not exist."""
        for what, name, known in (("reader", self.reader, READERS), ("way to tell", self.tells, TELLS)):
            if name not in known:
                raise ValueError(f"there is no {what} {name!r}; choose one of {', '.join(known)}")
        status = ALIVE | (LOW_POWER if self.asleep else 0) | (HUNG if self.hung else 0)
        blocks = parse_blocks(self.blocks) if self.blocks else DEFAULT_BLOCKS
        return Uru4000Settings(self.reader, status=status, scrambled=not self.clear, blocks=blocks, tells=self.tells)


def parse_blocks(text: str) -> tuple[Block, ...]:
    """Read blocks such as `2:72,82:60,1:3`: flags in hexadecimal and lines of each. ValueError if no image has them."""
    blocks = tuple(_block(part) for part in text.split(","))
    lines = sum(block.lines for block in blocks)
    sent = sum(block.lines for block in blocks if not block.flags & GAP)
    if len(blocks) > TABLE_ROWS or lines > HEIGHT or not 2 <= sent < HEIGHT:
        raise ValueError(
            f"blocks {text!r}: {len(blocks)} blocks of {lines} lines, {sent} of them sent; an image has at most "
            f"{TABLE_ROWS} blocks and {HEIGHT} lines, and sends 2 to {HEIGHT - 1}"
        )
    return blocks


def _block(part: str) -> Block:
    flags, _, lines = part.strip().partition(":")
    try:
        block = Block(int(flags, 16), int(lines))
    except ValueError:
        raise ValueError(f"block {part!r} must be flags in hexadecimal, a colon and a number of lines: 82:60") from None
    if not (0 <= block.flags <= MAX_FLAGS and 1 <= block.lines <= MAX_LINES):
        raise ValueError(f"block {part!r}: flags are 0 to ff, lines 1 to {MAX_LINES}")
    return block
