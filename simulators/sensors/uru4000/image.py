"""The image that a U.are.U 4000 sends: header, table of blocks, lines scrambled by a 32-bit shift register.

Written from ../shared/facts/usb-fingerprint.md, section 5, with the standard library only: bit sequences and whole
blocks are long integers, so that an image takes milliseconds. A loop over its pixels would take a fifth of a second.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 384, 290
HEADER_BYTES = 64
TABLE_AT, TABLE_ROWS = 16, 15

GAP, SCRAMBLED, HOLD_KEY, NEW_KEY = 0x01, 0x02, 0x04, 0x80  # flags of a block

_HEADER = bytes.fromhex("1040800100000000c47a10c0005700c7")  # a recorded one, without line count and key number
_FILLER = bytes(range(0x31, 0x31 + 2 * TABLE_ROWS))  # invalid data after the end of the table

_KEY_BITS = 32
_TAPS = [bit for bit in range(_KEY_BITS) if 0x9248144D >> bit & 1]
_MASK_BITS = (4, 8, 11, 14, 18, 21, 24, 29)  # bits of the key that become bits 0 to 7 of the mask
_DIGITS = bytes.maketrans(b"01", b"\x00\x01")

KeyOf = Callable[[int], int]
"""The key for a key number."""


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive rows of the image with the same flags."""

    flags: int
    lines: int


def masks(key: int, count: int) -> bytes:
    """The mask bytes of the first `count` steps of the shift register, which starts with `key`."""
    length = count + _KEY_BITS
    digits = format(_sequence(key, length), f"0{length}b").encode().translate(_DIGITS)[::-1]
    gathered = 0
    for bit, tap in enumerate(_MASK_BITS):
        gathered |= int.from_bytes(digits[tap : tap + count]) << bit  # one byte per step, 0 or 1
    return gathered.to_bytes(count)


def _sequence(key: int, length: int) -> int:
    """The bits of the key followed by the new top bit of each step, first bit lowest.

    Each bit is the sum of earlier bits at fixed distances. The same holds with all distances times 2, 4, 8 ... (the
    square in a field of two elements), so 2, 4, 8 ... bits can be computed in one operation.
    """
    bits, stride = key, 1
    while stride * _KEY_BITS < length:
        for run in range(_KEY_BITS):
            behind, new = run * stride, 0
            for tap in _TAPS:
                new ^= bits >> behind + tap * stride
            bits |= (new & (1 << stride) - 1) << (_KEY_BITS + run) * stride
        stride *= 2
    return bits & (1 << length) - 1


def image(pixels: bytes, blocks: Sequence[Block], key_number: int, key_of: KeyOf, *, scrambled: bool = True) -> bytes:
    """One bulk transfer. `pixels` are WIDTH x HEIGHT bytes of the sensor, ridges bright, row by row."""
    lines = _scrambled(pixels, blocks, key_number, key_of) if scrambled else _plain(pixels, blocks)
    return header(len(lines) // WIDTH, key_number, blocks) + lines


def header(lines: int, key_number: int, blocks: Sequence[Block]) -> bytes:
    """The 64 bytes before the lines."""
    table = b"".join(bytes([block.flags, block.lines]) for block in blocks)
    end = b"" if len(blocks) == TABLE_ROWS else b"\x01\x00"
    table = (table + end + _FILLER)[: 2 * TABLE_ROWS]
    head = bytearray(_HEADER + table).ljust(HEADER_BYTES, b"\x00")
    head[4:6] = lines.to_bytes(2, "little")
    head[6] = key_number
    return bytes(head)


def _plain(pixels: bytes, blocks: Sequence[Block]) -> bytes:
    return b"".join(rows for block, rows in _rows(pixels, blocks) if not block.flags & GAP)


def _scrambled(pixels: bytes, blocks: Sequence[Block], number: int, key_of: KeyOf) -> bytes:
    sent, key, step = b"", key_of(number), 0
    for block, rows in _rows(pixels, blocks):
        if block.flags & NEW_KEY:
            number = (number + 1) & 0xFF
            key, step = key_of(number), 0
        if block.flags & (SCRAMBLED | HOLD_KEY) == SCRAMBLED and not block.flags & GAP:
            sent += _mask(rows, masks(key, step + len(rows))[step:])
        elif not block.flags & GAP:
            sent += rows
        step += 0 if block.flags & HOLD_KEY else len(rows)
    return sent


def _rows(pixels: bytes, blocks: Sequence[Block]) -> list[tuple[Block, bytes]]:
    """Each block and its pixels."""
    cut, start = [], 0
    for block in blocks:
        end = start + WIDTH * block.lines
        cut.append((block, pixels[start:end]))
        start = end
    return cut


def _mask(rows: bytes, mask: bytes) -> bytes:
    """Mask the pixels, shifted by one byte: the first byte sent has no meaning, the last pixel is not sent."""
    size = len(rows) - 1
    return b"\x5a" + (int.from_bytes(rows[:size]) ^ int.from_bytes(mask[:size])).to_bytes(size)
