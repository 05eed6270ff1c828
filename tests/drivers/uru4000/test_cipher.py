"""The stream cipher of the U.are.U 4000 family against a plain implementation of the facts."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.uru4000.cipher import KeyStream
from simulators.sensors.uru4000 import image as simulated

KEY = 0x544409D6  # of the recording: f228ae05 read, seed 0x51ea2124


def naive_masks(key: int, count: int) -> bytes:
    """The facts, word for word: a step and a mask byte at a time."""
    masks = bytearray()
    for _ in range(count):
        masks.append(sum((key >> bit & 1) << place for place, bit in enumerate((4, 8, 11, 14, 18, 21, 24, 29))))
        key = key >> 1 | (key & 0x9248144D).bit_count() % 2 << 31
    return bytes(masks)


def test_the_key_is_what_was_read_without_the_seed() -> None:
    assert int.from_bytes(bytes.fromhex("f228ae05"), "little") ^ 0x51EA2124 == KEY


@pytest.mark.parametrize("key", [KEY, 1, 0xFFFFFFFF, 0x80000000])
def test_masks_are_those_of_the_facts_a_step_at_a_time(key: int) -> None:
    naive = naive_masks(key, 5000)
    assert KeyStream(key).take(5000).tobytes() == naive
    assert simulated.masks(key, 5000) == naive


@given(st.integers(0, 2**32 - 1), st.lists(st.tuples(st.booleans(), st.integers(0, 400)), max_size=6))
@settings(max_examples=30, deadline=None)
def test_a_stream_goes_on_where_it_was_left(key: int, parts: list[tuple[bool, int]]) -> None:
    stream, at = KeyStream(key), 0
    masks = naive_masks(key, sum(count for _, count in parts))
    for skipped, count in parts:
        if skipped:
            stream.skip(count)
        else:
            assert stream.take(count).tobytes() == masks[at : at + count]
        at += count
