"""Timers of simulated devices that run in real time. One thread runs all their actions."""

import heapq
import itertools
import threading
import time
from collections.abc import Callable


class Ticker:
    """Runs actions later, until close(). An action that is due now runs immediately, in the calling thread."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._order = itertools.count()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._open = True
        self._thread = threading.Thread(target=self._run, name="ticker", daemon=True)
        self._thread.start()

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Run `action` after `seconds`."""
        if seconds <= 0:
            action()
            return
        with self._condition:
            heapq.heappush(self._due, (time.monotonic() + seconds, next(self._order), action))
            self._condition.notify()

    def close(self) -> None:
        """Discard the pending actions and end the thread."""
        with self._condition:
            self._open = False
            self._condition.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        while (action := self._next()) is not None:
            action()

    def _next(self) -> Callable[[], None] | None:
        with self._condition:
            while self._open:
                left = self._due[0][0] - time.monotonic() if self._due else None
                if left is not None and left <= 0:
                    return heapq.heappop(self._due)[2]
                self._condition.wait(left)
            return None
