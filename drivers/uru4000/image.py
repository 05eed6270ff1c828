"""One image of the U.are.U 4000 family as the reader sends it: header, table of blocks, scrambled lines.

    read_header -> is it scrambled? -> unscramble block by block -> put the blocks in their rows -> dark ridges

Pure functions over bytes; the one question to the reader, for the key of a number, is a callable.
Source: ../shared/facts/usb-fingerprint.md, section 5.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from drivers.errors import CaptureRetry, Retry
from drivers.uru4000.cipher import KeyStream

WIDTH, HEIGHT = 384, 290
HEADER_BYTES = 64
IMAGE_BYTES = HEADER_BYTES + WIDTH * HEIGHT  # asked for; never that many come

_LINE_COUNT = slice(4, 6)
_KEY_NUMBER = 6
_TABLE = slice(16, 46)

ABSENT, ENCRYPTED, KEY_HELD, KEY_CHANGED = 0x01, 0x02, 0x04, 0x80  # flags of a block

NOISE_VARIANCE = 5000.0  # of the sum of the first two lines, at least: it is scrambled

Bytes = NDArray[np.uint8]
KeyOf = Callable[[int], int]
"""Ask the reader for the key of a number."""


@dataclass(frozen=True, slots=True)
class Block:
    """A row of the table: so many lines, treated alike."""

    flags: int
    lines: int

    @property
    def size(self) -> int:
        """Pixels, and steps of the key where it is stepped."""
        return self.lines * WIDTH

    @property
    def stored(self) -> int:
        """Lines that are in the data."""
        return 0 if self.flags & ABSENT else self.lines


@dataclass(frozen=True, slots=True)
class Header:
    """What an image says of itself."""

    lines: int
    key_number: int
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """u8[HEIGHT, WIDTH], ridges dark, and how many of its rows the reader did not send but copies of others fill."""

    pixels: Bytes = field(repr=False)
    invented_rows: int


def read_header(raw: bytes) -> Header:
    """Check one transfer. CaptureRetry: it holds no image; the reader may be asked again."""
    if len(raw) < HEADER_BYTES:
        raise _damaged(f"it has {len(raw)} bytes")
    lines = int.from_bytes(raw[_LINE_COUNT], "little")
    if not 2 <= lines < HEIGHT:
        raise _damaged(f"it has {lines} lines")
    if len(raw) < HEADER_BYTES + lines * WIDTH:
        raise _damaged(f"it has {len(raw)} bytes for {lines} lines")
    # A table that says nothing leaves the lines as they are, one below the other.
    return Header(lines, raw[_KEY_NUMBER], tuple(_blocks(raw[_TABLE])) or (Block(0, lines),))


def _blocks(table: bytes) -> Iterator[Block]:
    """Up to the first block of no lines: what stands behind it is rubbish."""
    for flags, lines in zip(table[::2], table[1::2], strict=True):
        if lines == 0:
            return
        yield Block(flags, lines)


def _damaged(detail: str) -> CaptureRetry:
    return CaptureRetry(Retry.MOVED, f"no image: {detail}")


def decode(raw: bytes, header: Header, key_of: KeyOf, *, upside_down: bool = False) -> Picture:
    """The picture in `raw`, whose header is `header`. `key_of` is asked in the order of the blocks."""
    lines = np.frombuffer(raw, np.uint8, header.lines * WIDTH, HEADER_BYTES)
    if is_scrambled(lines):
        lines = _unscrambled(lines, header, key_of)
    pixels = ~_assembled(lines.reshape(-1, WIDTH), header.blocks)
    if upside_down:
        pixels = np.ascontiguousarray(pixels[::-1, ::-1])
    return Picture(pixels, _invented_rows(header.blocks))


def _invented_rows(blocks: tuple[Block, ...]) -> int:
    """Rows of the picture that absent blocks fill."""
    invented = top = 0
    for block in blocks:
        bottom = min(top + block.lines, HEIGHT)
        invented += bottom - top if block.flags & ABSENT else 0
        top = bottom
    return invented


def is_scrambled(lines: Bytes) -> bool:
    """Whether the first two lines are noise: the flags of the blocks do not tell."""
    pair = lines[:WIDTH].astype(np.uint16) + lines[WIDTH : 2 * WIDTH]
    return float(np.var(pair)) >= NOISE_VARIANCE


def _unscrambled(lines: Bytes, header: Header, key_of: KeyOf) -> Bytes:
    clear = lines.copy()
    number, start = header.key_number, 0
    stream = KeyStream(key_of(number))
    for block in header.blocks:
        if block.flags & KEY_CHANGED:
            number = (number + 1) & 0xFF
            stream = KeyStream(key_of(number))
        end = min(start + block.stored * WIDTH, clear.size)
        match block.flags & (ENCRYPTED | KEY_HELD):
            case 0x02 if end > start:
                _unmask(clear[start:end], stream.take(end - start))
            case 0x02 | 0x00:
                stream.skip(block.size)
        start = end
    return clear


def _unmask(block: Bytes, masks: Bytes) -> None:
    """In place. The stream is one byte late: the last pixel of a block is lost."""
    block[:-1] = block[1:] ^ masks[:-1]
    block[-1] = 0


def _assembled(lines: Bytes, blocks: tuple[Block, ...]) -> Bytes:
    """u8[HEIGHT, WIDTH]. An absent block shows the lines that come next in the data; rows never sent stay empty.

    The table may promise more rows than a picture has, or more lines than came: there is no more than there is.
    """
    picture = np.zeros((HEIGHT, WIDTH), np.uint8)
    row = line = 0
    for block in blocks:
        shown = lines[line : line + min(block.lines, HEIGHT - row)]
        picture[row : row + len(shown)] = shown
        row = min(row + block.lines, HEIGHT)
        line += block.stored
    return picture
