"""Which value is white, and what happens to values that are no grey level."""

from typing import Any

import numpy as np
import pytest

from simulators.pictures.errors import ImageFileError
from simulators.pictures.levels import Depth, check_colour, depth_of_value, eight_bits, highest_of

UNKNOWN = Depth()


def grey(values: list[float], kind: type[np.generic], stated: Depth = UNKNOWN) -> list[int]:
    row: Any = np.array([values], kind)
    return [int(one) for one in eight_bits(row, stated, "x").grey[0]]


@pytest.mark.parametrize(
    ("value", "white"),
    [(0, 255), (255, 255), (256, 1023), (1023, 1023), (1030, 4095), (5000, 16383), (65535, 65535), (70000, 70000)],
)
def test_white_is_the_highest_value_of_the_smallest_depth(value: float, white: float) -> None:
    assert depth_of_value(value) == white


def test_the_highest_value_of_a_depth() -> None:
    assert [highest_of(bits) for bits in (8, 10, 12)] == [255, 1023, 4095]


def test_fractions_have_white_1_and_a_little_more_or_less_is_cut() -> None:
    assert grey([0, 0.5, 1.0005], np.float32) == [0, 128, 255]
    assert grey([-0.02, 0.5, 1.0], np.float64) == [0, 128, 255]
    assert grey([0, 511.5, 1023], np.float32) == [0, 128, 255]
    assert grey([0, 5, 10], np.float32) == [0, 128, 255]  # of no known range: the highest is white
    assert grey([0, 0, 0], np.float32) == [0, 0, 0]


def test_what_the_file_states_counts_more_than_its_values() -> None:
    assert grey([0, 100, 200], np.uint16, Depth(white=1000)) == [0, 26, 51]
    assert grey([0, 1000, 2000], np.uint16, Depth(white=1000)) == [0, 62, 125]  # which it exceeds
    assert grey([0, 100, 200], np.uint16, Depth(white=65535, unscaled=1023)) == [0, 25, 50]
    assert grey([0, 100, 60000], np.uint16, Depth(white=65535, unscaled=1023)) == [0, 0, 233]


def test_a_white_zero_is_inverted_and_what_is_no_number_is_white() -> None:
    assert grey([0, 1, np.nan], np.float32, Depth(white_is_zero=True)) == [255, 0, 255]
    assert grey([0, 65535, 7], np.uint16, Depth(clear=7)) == [0, 255, 255]
    assert eight_bits(np.array([[1.0, np.inf, np.nan]]), UNKNOWN, "x").no_numbers == 2


@pytest.mark.parametrize(("values", "kind"), [([-1, 5], np.int32), ([-1.0, 1.0], np.float32), ([np.nan], np.float32)])
def test_values_without_a_black_are_refused(values: list[float], kind: type[np.generic]) -> None:
    with pytest.raises(ImageFileError, match=r"x has (values from|no pixel)"):
        grey(values, kind)


def test_one_value_in_a_thousand_may_be_outside() -> None:
    values = np.tile(np.linspace(0, 1023, 100).astype(np.uint16), (20, 1))
    values[0, :2] = 65535
    read = eight_bits(values, UNKNOWN, "x").grey
    assert (read[1] == np.rint(values[1] / 1023 * 255)).all()
    assert read[0, :2].tolist() == [255, 255]


def test_a_large_picture_is_scaled_in_parts() -> None:
    values = np.arange(3_000_000, dtype=np.uint32).reshape(1000, 3000) % 65536
    assert (eight_bits(values, UNKNOWN, "x").grey == np.rint(values / 65535 * 255)).all()


def test_colours_that_are_almost_black_are_refused() -> None:
    check_colour(np.full((3, 3), 64, np.uint8), "x")
    with pytest.raises(ImageFileError, match="16 bits per colour"):
        check_colour(np.full((3, 3), 63, np.uint8), "x")
