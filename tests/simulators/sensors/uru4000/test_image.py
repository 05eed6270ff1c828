"""The image of a simulated U.are.U reader, compared with the rule of the facts."""

import pytest

from simulators.sensors.uru4000.image import (
    GAP,
    HEADER_BYTES,
    HEIGHT,
    HOLD_KEY,
    NEW_KEY,
    SCRAMBLED,
    TABLE_AT,
    TABLE_ROWS,
    WIDTH,
    Block,
    header,
    image,
)
from tests.rigs.uru4000_scrambling import next_key, unmasked

PIXELS = bytes(number * 37 + number // 251 & 0xFF for number in range(WIDTH * HEIGHT))
KEYS = {7: 0x1234ABCD, 8: 0x89ABCDEF}


def lines(*blocks: Block, scrambled: bool = True) -> list[bytes]:
    """The lines of an image whose first key has the number 7."""
    raw = image(PIXELS, blocks, 7, KEYS.__getitem__, scrambled=scrambled)
    assert raw[:HEADER_BYTES] == header(len(raw) // WIDTH, 7, blocks)
    return [raw[at : at + WIDTH] for at in range(HEADER_BYTES, len(raw), WIDTH)]


def row(number: int) -> bytes:
    return PIXELS[WIDTH * number : WIDTH * (number + 1)]


def after(key: int, steps: int) -> int:
    for _ in range(steps):
        key = next_key(key)
    return key


def test_a_scrambled_line_follows_the_rule_of_the_facts() -> None:
    first, second = lines(Block(SCRAMBLED, 1), Block(SCRAMBLED, 1))
    assert unmasked(first, KEYS[7]) == row(0)[:-1]
    assert unmasked(second, after(KEYS[7], WIDTH)) == row(1)[:-1]


def test_lines_that_are_not_scrambled_or_not_sent_still_move_the_key() -> None:
    plain, scrambled = lines(Block(0, 1), Block(SCRAMBLED | GAP, 1), Block(SCRAMBLED, 1))
    assert plain == row(0)
    assert unmasked(scrambled, after(KEYS[7], 2 * WIDTH)) == row(2)[:-1]


def test_a_block_that_holds_the_key_is_sent_as_it_is_and_does_not_move_the_key() -> None:
    held, scrambled = lines(Block(SCRAMBLED | HOLD_KEY, 1), Block(SCRAMBLED, 1))
    assert held == row(0)
    assert unmasked(scrambled, KEYS[7]) == row(1)[:-1]


def test_a_block_with_a_new_key_begins_with_the_next_number() -> None:
    _, changed = lines(Block(SCRAMBLED, 1), Block(SCRAMBLED | NEW_KEY, 1))
    assert unmasked(changed, KEYS[8]) == row(1)[:-1]


def test_without_scrambling_the_lines_are_the_pixels() -> None:
    assert lines(Block(SCRAMBLED, 2), Block(GAP, 1), Block(SCRAMBLED, 1), scrambled=False) == [row(0), row(1), row(3)]


@pytest.mark.parametrize(("rows", "end"), [(3, b"\x01\x00"), (TABLE_ROWS, b"")])
def test_the_table_of_the_header_ends_unless_it_is_full(rows: int, end: bytes) -> None:
    head = header(2 * rows, 9, [Block(SCRAMBLED, 2)] * rows)
    assert (len(head), int.from_bytes(head[4:6], "little"), head[6]) == (HEADER_BYTES, 2 * rows, 9)
    assert head[TABLE_AT:].startswith(b"\x02\x02" * rows + end)
