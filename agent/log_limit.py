"""Log lines about what others send, however much that is: one of a kind in a minute, and the number of the rest."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable

EVERY_S = 60.0


class LimitedLog:
    """Warns at most once in EVERY_S about each kind of event, and counts all. May be used from any thread.

    A kind is a fixed text of ours, so that a stranger cannot make new ones.
    """

    def __init__(self, log: logging.Logger, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._log, self._monotonic = log, monotonic
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._silent: Counter[str] = Counter()  # counted since the last line
        self._next_at: dict[str, float] = {}

    def warning(self, kind: str, text: str, error: BaseException | None = None) -> None:
        """Count one event of a kind, and log it, with an error's traceback, unless that was done a short time ago."""
        with self._lock:
            self._counts[kind] += 1
            now = self._monotonic()
            if now < self._next_at.get(kind, now):
                self._silent[kind] += 1
                return
            self._next_at[kind] = now + EVERY_S
            more = self._silent.pop(kind, 0)
        self._log.warning("%s%s", text, f" (and {more} times more before)" if more else "", exc_info=error)

    def flush(self) -> None:
        """Log how many events were left out, once the minute is over. Call it now and then."""
        with self._lock:
            now = self._monotonic()
            due = {kind: count for kind, count in self._silent.items() if now >= self._next_at[kind]}
            for kind in due:
                del self._silent[kind]
        for kind, count in due.items():
            self._log.warning("%s: %d times more", kind, count)

    @property
    def counts(self) -> dict[str, int]:
        """How many events of each kind there were."""
        with self._lock:
            return dict(self._counts)
