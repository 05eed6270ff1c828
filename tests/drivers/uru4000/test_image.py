"""The image of the U.are.U 4000 family: golden values of the facts, images of the simulator, and invalid data."""

import random
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from drivers.errors import CaptureRetry, Retry
from drivers.uru4000.image import HEIGHT, IMAGE_BYTES, WIDTH, Block, Header, decode, is_scrambled, read_header
from simulators.sensors.uru4000 import image as simulated

# The first 46 bytes of the image recorded from a 4500, with the blocks of the facts, and invalid data after them.
RECORDED_TABLE = bytes.fromhex("024800010231010100010231000102740000ffff0102037f7f02c1000102ff01")[:30]


RECORDED_BLOCKS = ((2, 72), (0, 1), (2, 49), (1, 1), (0, 1), (2, 49), (0, 1), (2, 116))


# Rows that follow from the flags, as (flags, lines).
Rows = tuple[tuple[int, int], ...]


WHOLE: Rows = ((2, 200), (2, 89))


def picture(seed: int) -> NDArray[np.uint8]:
    """What a sensor has of a finger, ridges bright: any pixels."""
    return np.random.default_rng(seed).integers(1, 256, (HEIGHT, WIDTH), np.uint8)


def keys(number: int) -> int:
    return random.Random(number).randrange(1, 1 << 32)


def sent(pixels: NDArray[np.uint8], rows: Rows, number: int = 7, *, scrambled: bool = True) -> bytes:
    blocks = [simulated.Block(*row) for row in rows]
    return simulated.image(pixels.tobytes(), blocks, number, keys, scrambled=scrambled)


def received(raw: bytes) -> NDArray[np.uint8]:
    return decode(raw, read_header(raw), keys).pixels


def expected(pixels: NDArray[np.uint8], rows: Rows) -> NDArray[np.uint8]:
    """Dark ridges; lost pixels, and rows that were never sent, are white; a gap shows the next lines of the data."""
    stored, row = list[NDArray[np.uint8]](), 0
    for flags, lines in rows:
        part = pixels[row : row + lines].copy()
        if flags & 7 == 2:
            part[-1, -1] = 0
        stored += [] if flags & 1 else list(part)
        row += lines
    image, row, line = np.zeros_like(pixels), 0, 0
    for flags, lines in rows:
        for offset in range(min(lines, len(stored) - line)):
            image[row + offset] = stored[line + offset]
        row, line = row + lines, line + (0 if flags & 1 else lines)
    return ~image


def refused(raw: bytes) -> str:
    with pytest.raises(CaptureRetry) as caught:
        read_header(raw)
    assert caught.value.reason is Retry.MOVED
    return str(caught.value)


def test_the_recorded_table_is_read_up_to_its_end() -> None:
    head = bytearray(bytes.fromhex("1040800121010000c47a10c0005700c7") + RECORDED_TABLE).ljust(64, b"\xaa")
    header = read_header(bytes(head) + bytes(289 * WIDTH))
    assert (header.lines, header.key_number) == (289, 0)
    assert tuple((block.flags, block.lines) for block in header.blocks) == RECORDED_BLOCKS
    assert sum(block.stored for block in header.blocks) == 289


def raw_of(lines: int, rows: Rows, length: int | None = None) -> bytes:
    head = simulated.header(lines, 0, [simulated.Block(*row) for row in rows])
    return (head + bytes(lines * WIDTH))[:length]


def test_fifteen_blocks_fill_the_table() -> None:
    rows = ((2, 19),) * 15
    assert len(read_header(raw_of(285, rows)).blocks) == 15


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "it has 0 bytes"),
        (bytes(63), "it has 63 bytes"),
        (raw_of(0, ((2, 1),)), "it has 0 lines"),
        (raw_of(290, ((2, 72),)), "it has 290 lines"),
        (raw_of(65535, ((2, 72),), IMAGE_BYTES), "it has 65535 lines"),
        (raw_of(289, WHOLE, IMAGE_BYTES - WIDTH - 1), "bytes for 289 lines"),
    ],
)
def test_what_is_no_image_says_why(raw: bytes, why: str) -> None:
    assert why in refused(raw)


def received_with(lines: NDArray[np.uint8], rows: Rows) -> tuple[NDArray[np.uint8], int]:
    """The image, ridges bright, of unscrambled lines with any table; and the number of rows that were not sent."""
    head = simulated.header(len(lines), 0, [simulated.Block(*row) for row in rows])
    raw = head + lines.tobytes()
    picture = decode(raw, read_header(raw), keys)
    return ~picture.pixels, picture.filled_rows


def clear_lines(count: int) -> NDArray[np.uint8]:
    return np.linspace(0, 200, count).astype(np.uint8)[:, None].repeat(WIDTH, axis=1)


def test_lines_without_a_table_are_the_image_as_they_are() -> None:
    lines = clear_lines(289)
    seen, invented = received_with(lines, ())
    assert (seen[:289] == lines).all()
    assert invented == 0


@pytest.mark.parametrize(
    ("rows", "invented"),
    [
        (((2, 255), (2, 35)), 0),  # more lines than the header's
        (((2, 250), (2, 255), (2, 255)), 0),
        (((2, 250), (2, 39), (1, 41)), 1),  # more rows than an image has
        (((0x80, 255), (0x83, 255), (2, 255)), 35),
    ],
)
def test_a_table_of_more_than_there_is_shows_what_there_is(rows: Rows, invented: int) -> None:
    lines = clear_lines(289)
    seen, told = received_with(lines, rows)
    assert (seen[:250] == lines[:250]).all()
    assert told == invented


def test_a_scrambled_block_that_ends_too_early_shows_what_came() -> None:
    pixels = picture(8)
    raw = bytearray(sent(pixels, ((2, 200), (2, 89))))
    raw[19] = 255  # the lines of the second block
    seen = received(bytes(raw))
    assert (seen[:200] == expected(pixels, ((2, 200), (2, 89)))[:200]).all()


def test_many_rows_that_were_not_sent_are_reported_and_left_to_the_quality() -> None:
    lines = clear_lines(200)
    seen, invented = received_with(lines, ((2, 150), (1, 60), (2, 50)))
    assert invented == 60
    assert (seen[210:260] == lines[150:200]).all()


@pytest.mark.parametrize("rows", [((1, 5),), ((1, 255), (1, 255)), ((0, 255),) * 15, ((0x83, 255),) * 15])
def test_no_table_is_read_beyond_the_data(rows: Rows) -> None:
    seen, _ = received_with(clear_lines(2), rows)
    assert seen.shape == (HEIGHT, WIDTH)


@pytest.mark.parametrize(
    "rows",
    [
        WHOLE,
        RECORDED_BLOCKS,
        ((2, 100), (0, 3), (2, 100)),
        ((2, 60), (6, 20), (2, 60), (4, 9), (2, 100)),
        ((2, 60), (0x82, 60), (0x80, 2), (2, 100)),
        ((0x82, 60), (0x86, 3), (2, 60)),
        ((2, 60), (3, 4), (2, 60)),
        ((2, 60), (5, 4), (2, 60), (0x81, 4), (2, 50)),
        ((2, 200), (1, 20)),
        ((1, 1), (2, 250), (2, 39)),
    ],
)
def test_every_flag_is_undone(rows: Rows) -> None:
    pixels = picture(1)
    assert (received(sent(pixels, rows)) == expected(pixels, rows)).all()


def test_a_key_change_asks_for_the_next_number_and_255_is_followed_by_0() -> None:
    asked = list[int]()

    def read_key(number: int) -> int:
        asked.append(number)
        return keys(number)

    raw = sent(picture(2), ((2, 50), (0x82, 50), (2, 50), (0x82, 50)), 254)
    decode(raw, read_header(raw), read_key)
    assert asked == [254, 255, 0]


def test_the_number_of_the_key_comes_from_the_header() -> None:
    pixels = picture(3)
    assert (received(sent(pixels, WHOLE, 200)) == expected(pixels, WHOLE)).all()


def test_rows_of_a_gap_are_counted() -> None:
    raw = sent(picture(4), RECORDED_BLOCKS)
    assert decode(raw, read_header(raw), keys).filled_rows == 1


def test_a_4500_is_turned_upright() -> None:
    raw = sent(picture(5), WHOLE)
    upright = decode(raw, read_header(raw), keys, upside_down=True).pixels
    assert (upright == received(raw)[::-1, ::-1]).all()


def test_an_image_in_the_clear_needs_no_key() -> None:
    grey = np.linspace(0, 200, HEIGHT).astype(np.uint8)[:, None].repeat(WIDTH, axis=1)
    raw = sent(grey, RECORDED_BLOCKS, scrambled=False)
    clear = decode(raw, read_header(raw), lambda number: pytest.fail(f"asked for key {number}")).pixels
    assert (clear[:122] == ~grey[:122]).all()
    assert (clear[122] == clear[123]).all()


@pytest.mark.parametrize(("step", "scrambled"), [(141, False), (142, True)])
def test_noise_from_a_variance_of_5000_on_is_a_scramble(step: int, scrambled: bool) -> None:  # noqa: FBT001 - a case
    pair = np.zeros(2 * WIDTH, np.uint8)
    pair[:WIDTH:2] = step  # half of the sums: their variance is (step / 2)**2
    assert is_scrambled(pair) is scrambled


def test_an_image_takes_at_most_10_ms() -> None:
    raw = sent(picture(6), RECORDED_BLOCKS)
    times = []
    for _ in range(20):
        started = time.thread_time()  # of this thread: whatever else the machine does
        decode(raw, read_header(raw), keys)
        times.append(time.thread_time() - started)
    assert min(times) < 0.010


FLAGS = st.sampled_from([0, 1, 2, 3, 4, 5, 6, 0x80, 0x81, 0x82, 0x83, 0x86])


@st.composite
def tables(draw: st.DrawFn) -> Rows:
    """Any table that a reader may send."""
    rows, left, gaps = list[tuple[int, int]](), HEIGHT - 1, 0
    for flags in draw(st.lists(FLAGS, min_size=1, max_size=14)):
        lines = draw(st.integers(1, 60))
        gap = lines if flags & 1 else 0
        if lines <= left and gaps + gap <= HEIGHT // 10:
            rows.append((flags, lines))
            left, gaps = left - lines, gaps + gap
    return ((2, 2), *rows) if left >= 2 else WHOLE


@given(tables(), st.integers(0, 255), st.integers(0, 100))
@settings(max_examples=60, deadline=None)
def test_what_is_scrambled_comes_back_for_any_table(rows: Rows, number: int, seed: int) -> None:
    pixels = picture(seed)
    assert (received(sent(pixels, rows, number)) == expected(pixels, rows)).all()


def read_or_refuse(raw: bytes) -> Header | None:
    try:
        header = read_header(raw)
    except CaptureRetry:
        return None
    decode(raw, header, keys)
    return header


@given(st.binary(max_size=200), st.integers(0, 300))
@settings(max_examples=200, deadline=None)
def test_invalid_data_is_refused_or_read_and_nothing_else(head: bytes, lines: int) -> None:
    read_or_refuse(head + bytes(lines * WIDTH))


@given(st.randoms(use_true_random=False), st.integers(1, 40))
@settings(max_examples=100, deadline=None)
def test_a_mutated_image_is_refused_or_read_and_nothing_else(chance: random.Random, count: int) -> None:
    raw = bytearray(GOOD[: chance.choice([len(GOOD), chance.randrange(len(GOOD))])])
    for _ in range(min(count, len(raw))):
        raw[chance.randrange(min(len(raw), 64))] = chance.randrange(256)
    read_or_refuse(bytes(raw))


GOOD = sent(picture(7), RECORDED_BLOCKS)


def test_many_headers_are_read_fast_and_none_raises_anything_else() -> None:
    chance = random.Random(1)
    body = bytes(289 * WIDTH)
    started, read = time.perf_counter(), 0
    for _ in range(2000):
        head = bytearray(GOOD[:64])
        for _ in range(chance.randrange(1, 6)):
            head[chance.choice([4, 5, *range(16, 46)])] = chance.randrange(256)
        try:
            read_header(bytes(head) + body)
            read += 1
        except CaptureRetry:
            pass
    assert read > 100
    assert time.perf_counter() - started < 5


def test_blocks_know_their_size() -> None:
    assert [(Block(flags, 2).size, Block(flags, 2).stored) for flags in (0, 1)] == [(768, 2), (768, 0)]
