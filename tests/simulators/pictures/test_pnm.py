"""PGM and PPM files, binary and plain."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.pictures.errors import ImageFileError
from simulators.pictures.pnm import Header, depth, values


def read(data: bytes) -> list[list[float]]:
    return [[float(one) for one in row] for row in values(data, Header(data, "x"), "x")]


def test_grey_is_read_in_every_kind() -> None:
    assert read(b"P5 2 1 1000\n\x03\xe8\x00\x01") == [[1000, 1]]
    assert read(b"P5 2 1 10\n\x0a\x01") == [[10, 1]]
    assert read(b"P2\n# of a sensor\n2 1\n1000\n1000 # one\n1\n") == [[1000, 1]]
    assert read(b"P3 1 1 1000\n1000 1000 1000\n")[0][0] == pytest.approx(1000)
    assert read(b"P6 1 1 1000\n" + bytes.fromhex("03e800000000"))[0][0] == pytest.approx(299)


def test_the_maxval_is_the_depth_unless_it_is_that_of_all_16_bits() -> None:
    assert depth(Header(b"P5 1 1 1023\n", "x")).white == 1023
    assert depth(Header(b"P5 1 1 65535\n", "x")).white is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"P5", "damaged"), (b"P5 2 1", "damaged"), (b"P5 0 1 9\n", "0x1"), (b"P5 1 1 0\n\0", "maxval 0"),
        (b"P5 1 1 65536\n\0\0", "maxval 65536"), (b"P5 2 1 300\n\0\0", "truncated"), (b"P2 2 1 9\n1", "truncated"),
        (b"P2 2 1 9\n1 x", "truncated"), (b"P2 1 1 9\n10", "values up to 10, but maxval 9"),
        (b"P2 1 1 9\n", "truncated"), (b"P2 1 1 9\n" + b"9" * 40, "values up to"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ImageFileError, match=reason):
        read(data)


@given(st.binary(max_size=60), st.sampled_from([b"P2", b"P3", b"P5", b"P6"]))
def test_any_bytes_give_values_or_an_error(rest: bytes, kind: bytes) -> None:
    data = kind + b" 2 1 999\n" + rest
    try:
        assert values(data, Header(data, "x"), "x").shape == (1, 2)
    except ImageFileError as error:
        assert str(error).startswith("x ")  # noqa: PT017 - either outcome is right


def test_a_large_file_of_10_bits_takes_no_half_minute() -> None:
    start = time.process_time()
    data = b"P5 3000 3000 1023\n" + np.full((3000, 3000), 1023, ">u2").tobytes()
    assert values(data, Header(data, "x"), "x").shape == (3000, 3000)
    assert time.process_time() - start < 2
