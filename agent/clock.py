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
        """Whether systemd-timesyncd, or the kernel, says that the wall clock is synchronised."""
        return TIMESYNCD.exists() or kernel_says_synchronised()


def kernel_says_synchronised() -> bool:
    """What adjtimex(2) says, for chrony and ntpd. False where the call is not allowed (ProtectClock= of the unit)."""
    # struct timex begins with `modes`, 0 here: read only. It has 208 bytes on 64-bit computers.
    state: int = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))
    return 0 <= state < TIME_ERROR


_: type[Clock] = SystemClock
