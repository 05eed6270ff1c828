"""The system clock gives UTC for records, and seconds that only grow for waiting."""

import time
from datetime import UTC, datetime, timedelta

from agent.clock import SystemClock


def test_wall_time_is_aware_and_in_utc() -> None:
    now = SystemClock().now()
    assert now.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - now) < timedelta(minutes=1)


def test_monotonic_time_is_that_of_the_process() -> None:
    before = time.monotonic()
    assert before <= SystemClock().monotonic() <= time.monotonic()
