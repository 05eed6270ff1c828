"""The system clock gives UTC for records, and seconds that only grow for waiting."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent import clock
from agent.clock import SystemClock, kernel_clock_state


def test_wall_time_is_aware_and_in_utc() -> None:
    now = SystemClock().now()
    assert now.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - now) < timedelta(minutes=1)


def test_monotonic_time_is_that_of_the_process() -> None:
    before = time.monotonic()
    assert before <= SystemClock().monotonic() <= time.monotonic()


@pytest.mark.parametrize(
    ("state", "file", "synchronised"), [(0, False, True), (5, True, False), (-1, True, True), (-1, False, False)]
)
def test_the_kernel_says_whether_the_clock_is_synchronised_or_else_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: int, file: object, synchronised: object
) -> None:
    monkeypatch.setattr(clock, "kernel_clock_state", lambda: state)
    monkeypatch.setattr(clock, "TIMESYNCD", tmp_path / "synchronized")
    if file:
        (tmp_path / "synchronized").touch()
    assert SystemClock().synchronised() == synchronised


def test_the_kernel_answers() -> None:
    assert -1 <= kernel_clock_state() <= 5
