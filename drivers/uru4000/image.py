"""Decodes an image of the U.are.U 4000 family as the reader sends it: header, table of blocks, scrambled lines.

    read_header -> is it scrambled? -> unscramble block by block -> put the blocks in their rows -> dark ridges

Pure functions over bytes; the only request to the reader, for the key of a number, is a callable.
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
IMAGE_BYTES = HEADER_BYTES + WIDTH * HEIGHT  # number of bytes to request; the reader sends less

_LINE_COUNT = slice(4, 6)
_KEY_NUMBER = 6
_TABLE = slice(16, 46)

ABSENT, ENCRYPTED, KEY_HELD, KEY_CHANGED = 0x01, 0x02, 0x04, 0x80  # flags of a block

NOISE_VARIANCE = 5000.0  # variance of the sum of the first two lines; from this value on the image is scrambled

Bytes = NDArray[np.uint8]
ReadKey = Callable[[int], int]
"""Reads the key of a number from the reader."""


@dataclass(frozen=True, slots=True)
class Block:
    """A row of the table: a number of lines with the same flags."""

    flags: int
    lines: int

    @property
    def size(self) -> int:
        """The number of pixels, which is also the number of key steps unless the key is held."""
        return self.lines * WIDTH

    @property
    def stored(self) -> int:
        """The number of lines present in the data."""
        return 0 if self.flags & ABSENT else self.lines


@dataclass(frozen=True, slots=True)
class Header:
    """The header of an image."""

    lines: int
    key_number: int
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True, eq=False)
class FingerImage:
    """u8[HEIGHT, WIDTH], ridges dark, and the number of rows that were not sent and are filled with other rows."""

    pixels: Bytes = field(repr=False)
    filled_rows: int


def read_header(raw: bytes) -> Header:
    """Parses and checks the header of one transfer. CaptureRetry if it contains no image: request it again."""
    if len(raw) < HEADER_BYTES:
        raise _damaged(f"it has {len(raw)} bytes")
    lines = int.from_bytes(raw[_LINE_COUNT], "little")
    if not 2 <= lines < HEIGHT:
        raise _damaged(f"it has {lines} lines")
    if len(raw) < HEADER_BYTES + lines * WIDTH:
        raise _damaged(f"it has {len(raw)} bytes for {lines} lines")
    # With an empty table the lines are the rows of the image.
    return Header(lines, raw[_KEY_NUMBER], tuple(_blocks(raw[_TABLE])) or (Block(0, lines),))


def _blocks(table: bytes) -> Iterator[Block]:
    """The blocks up to the first one without lines: the bytes after it are invalid."""
    for flags, lines in zip(table[::2], table[1::2], strict=True):
        if lines == 0:
            return
        yield Block(flags, lines)


def _damaged(detail: str) -> CaptureRetry:
    return CaptureRetry(Retry.MOVED, f"no image: {detail}")


def decode(raw: bytes, header: Header, read_key: ReadKey, *, upside_down: bool = False) -> FingerImage:
    """Decodes the image in `raw`, whose header is `header`. `read_key` is called in the order of the blocks."""
    lines = np.frombuffer(raw, np.uint8, header.lines * WIDTH, HEADER_BYTES)
    if is_scrambled(lines):
        lines = _unscramble(lines, header, read_key)
    pixels = ~_assemble(lines.reshape(-1, WIDTH), header.blocks)
    if upside_down:
        pixels = np.ascontiguousarray(pixels[::-1, ::-1])
    return FingerImage(pixels, _filled_rows(header.blocks))


def _filled_rows(blocks: tuple[Block, ...]) -> int:
    """The number of rows that belong to absent blocks."""
    filled = top = 0
    for block in blocks:
        bottom = min(top + block.lines, HEIGHT)
        filled += bottom - top if block.flags & ABSENT else 0
        top = bottom
    return filled


def is_scrambled(lines: Bytes) -> bool:
    """Whether the image is scrambled: the first two lines are noise. The flags of the blocks do not say it."""
    pair = lines[:WIDTH].astype(np.uint16) + lines[WIDTH : 2 * WIDTH]
    return float(np.var(pair)) >= NOISE_VARIANCE


def _unscramble(lines: Bytes, header: Header, read_key: ReadKey) -> Bytes:
    clear = lines.copy()
    number, start = header.key_number, 0
    stream = KeyStream(read_key(number))
    for block in header.blocks:
        if block.flags & KEY_CHANGED:
            number = (number + 1) & 0xFF
            stream = KeyStream(read_key(number))
        end = min(start + block.stored * WIDTH, clear.size)
        match block.flags & (ENCRYPTED | KEY_HELD):
            case 0x02 if end > start:
                _unmask(clear[start:end], stream.take(end - start))
            case 0x02 | 0x00:
                stream.skip(block.size)
        start = end
    return clear


def _unmask(block: Bytes, masks: Bytes) -> None:
    """Unmasks a block in place. The stream is one byte late, so the last pixel of a block is lost."""
    block[:-1] = block[1:] ^ masks[:-1]
    block[-1] = 0


def _assemble(lines: Bytes, blocks: tuple[Block, ...]) -> Bytes:
    """u8[HEIGHT, WIDTH]. An absent block is filled with the lines that come next in the data; other rows stay empty.

    The table may have more rows than the image, or more lines than were sent: the excess is ignored.
    """
    image = np.zeros((HEIGHT, WIDTH), np.uint8)
    row = line = 0
    for block in blocks:
        block_lines = lines[line : line + min(block.lines, HEIGHT - row)]
        image[row : row + len(block_lines)] = block_lines
        row = min(row + block.lines, HEIGHT)
        line += block.stored
    return image
