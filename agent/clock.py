"""The clock of the agent, which tests replace. Wall time is for records, monotonic time for waiting."""

import ctypes
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

TIMESYNCD = Path("/run/systemd/timesync/synchronized")  # made when it has synchronised the clock since the boot
TIME_ERROR = 5  # the answer of adjtimex(2) for a clock that is not synchronised


class Clock(Protocol):
    """What the agent needs of a clock."""

    def now(self) -> datetime:
        """Wall time in UTC, as an aware datetime."""

    def monotonic(self) -> float:
        """Seconds of a monotonic clock, which never jumps."""

    def synchronised(self) -> bool:
        """Whether the wall clock follows time servers (NTP) now. False if nobody can say."""


class SystemClock:
    """The clock of the operating system."""

    def now(self) -> datetime:
        """Wall time in UTC, as an aware datetime."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds of a monotonic clock, which never jumps."""
        return time.monotonic()

    def synchronised(self) -> bool:
        """Whether the kernel says that the wall clock is synchronised; where it may not be asked, systemd-timesyncd."""
        state = kernel_clock_state()
        return TIMESYNCD.exists() if state < 0 else state != TIME_ERROR


def kernel_clock_state() -> int:
    """The answer of adjtimex(2); below 0 where the call is not allowed, as with ProtectClock= of the unit."""
    # struct timex begins with `modes`, 0 here: read only. It has 208 bytes on 64-bit computers.
    return int(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512)))


_: type[Clock] = SystemClock
