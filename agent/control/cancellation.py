"""Cancels a request when the client that made it disconnects."""

import threading
from collections.abc import Callable


class CancellationToken:
    """Stands for one request. cancel() may be called from any thread; later calls do nothing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cancelled = False
        self._callbacks: list[Callable[[], None]] = []

    def cancel(self) -> None:
        """Call everything registered with on_cancel()."""
        with self._lock:
            self._cancelled, callbacks, self._callbacks = True, self._callbacks, []
        for callback in callbacks:
            callback()

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """Call this when the request is cancelled; immediately if it already was."""
        with self._lock:
            if not self._cancelled:
                self._callbacks.append(callback)
                return
        callback()
