"""The clock of the agent, which tests replace. Wall time is for records, monotonic time for waiting."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What the agent needs of a clock."""

    def now(self) -> datetime:
        """Wall time in UTC, as an aware datetime."""

    def monotonic(self) -> float:
        """Seconds of a monotonic clock, which never jumps."""


class SystemClock:
    """The clock of the operating system."""

    def now(self) -> datetime:
        """Wall time in UTC, as an aware datetime."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds of a monotonic clock, which never jumps."""
        return time.monotonic()


_: type[Clock] = SystemClock
