"""Large frames: the finger is found wherever it lies, and another one beside it."""

import numpy as np
import pytest
from numpy.typing import NDArray

from models.finger.frame import MAX_FRAME, MAX_SIDE, find_window
from tests.conftest import impression_of

Frame = NDArray[np.uint8]


def _frame(side: int, *places: tuple[int, int], noise: float = 0.0) -> Frame:
    """A square frame with a print at each place (row, column)."""
    frame = np.random.default_rng(1).normal(220, noise, (side, side)) if noise else np.full((side, side), 220.0)
    for number, (row, column) in enumerate(places):
        frame[row : row + 288, column : column + 256] = impression_of(1 + number, 1)
    return np.clip(frame, 0, 255).astype(np.uint8)


def _holds(part: slice, first: int, size: int) -> bool:
    """Whether the part has nearly all of a print."""
    return bool(part.start <= first + 40 and part.stop >= first + size - 40)


@pytest.mark.parametrize("noise", [0.0, 25.0])
@pytest.mark.parametrize("place", [(0, 0), (0, 2744), (2712, 2744), (2000, 300), (1300, 1300)])
def test_a_finger_is_found_anywhere_in_a_large_frame(place: tuple[int, int], noise: float) -> None:
    window = find_window(_frame(3000, place, noise=noise), 1.0)
    assert _holds(window.rows, place[0], 288)
    assert _holds(window.columns, place[1], 256)
    assert max(window.rows.stop - window.rows.start, window.columns.stop - window.columns.start) <= 600
    assert not window.another


def test_the_lines_of_a_form_are_no_finger() -> None:
    frame = _frame(3000, (2000, 300), noise=2.0)
    frame[500:504] = frame[:, 1500:1504] = frame[2600:2604, 100:1400] = 0
    frame[:300] = 0
    window = find_window(frame, 1.0)
    assert _holds(window.rows, 2000, 288)
    assert _holds(window.columns, 300, 256)
    assert not window.another


def test_a_frame_of_the_size_of_a_finger_is_used_as_it_is() -> None:
    frame = np.zeros((MAX_SIDE, 300), np.uint8)
    assert find_window(frame, 1.0).rows == slice(0, MAX_SIDE)
    assert find_window(frame, 0.5).columns == slice(0, 300)


def test_of_a_large_frame_without_ridges_the_middle_is_used() -> None:
    window = find_window(np.full((3048, 2148), 200, np.uint8), 1.0)
    assert window.rows == slice(500, 500 + MAX_FRAME)
    assert window.columns == slice(50, 50 + MAX_FRAME)


def test_fingers_near_each_other_are_in_one_window() -> None:
    window = find_window(_frame(2000, (300, 300), (300, 600)), 1.0)
    assert _holds(window.columns, 300, 556)
    assert not window.another


def test_a_finger_far_from_the_other_is_reported() -> None:
    assert find_window(_frame(3000, (100, 100), (2500, 2500)), 1.0).another


def test_a_small_or_faint_piece_far_from_the_finger_is_not_another_finger() -> None:
    frame = _frame(3000, (100, 100))
    frame[2500:2560, 2500:2560] = impression_of(1, 1)[100:160, 100:160]
    frame[2000:2288, 200:456] = 220 - (220 - impression_of(2, 1).clip(0, 220)) // 5
    window = find_window(frame, 1.0)
    assert _holds(window.rows, 100, 288)
    assert not window.another


@pytest.mark.parametrize(("factor", "scale"), [(0.5, 2), (0.25, 4)])
def test_the_resolution_of_the_frame_is_taken_into_account(factor: float, scale: int) -> None:
    frame = _frame(1100, (700, 800)).repeat(scale, 0).repeat(scale, 1)
    window = find_window(frame, factor)
    assert _holds(window.rows, 700 * scale, 288 * scale)
    assert _holds(window.columns, 800 * scale, 256 * scale)
