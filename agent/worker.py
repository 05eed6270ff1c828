"""A thread that can be stopped. A crash is reported once and never suppressed: the daemon then ends the process."""

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable

log = logging.getLogger(__name__)

JOIN_S = 1.5  # the process must be gone 2 s after SIGTERM

OnCrash = Callable[[str, BaseException], None]


class Worker(ABC):
    """Subclasses have run(), which returns soon after `stopping` is set, and interrupt(), which ends its waiting."""

    patience_s = 30.0  # a worker with no beat for longer is stuck

    def __init__(self, name: str, on_crash: OnCrash) -> None:
        self.name = name
        self.stopping = threading.Event()
        self._on_crash = on_crash
        self._last_beat = time.monotonic()
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)

    @abstractmethod
    def run(self) -> None:
        """Do the work, in this worker's thread."""

    def interrupt(self) -> None:  # noqa: B027 - optional: a worker that waits only on `stopping` needs none
        """End a blocking call of run() from another thread."""

    def beat(self) -> None:
        """Record that run() makes progress. The systemd watchdog is fed only while every worker does."""
        self._last_beat = time.monotonic()

    @property
    def silent_for(self) -> float:
        """Seconds since the last beat."""
        return time.monotonic() - self._last_beat

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread."""
        self.beat()
        self._thread.start()

    def stop(self, within: float = JOIN_S) -> bool:
        """Ask the thread to end and wait up to `within` seconds. False if it did not end."""
        self.stopping.set()
        if not self._thread.is_alive():
            return True
        self.interrupt()
        self._thread.join(within)
        if self._thread.is_alive():
            log.error("worker %s did not stop within %.1f s", self.name, within)
            return False
        return True

    def _main(self) -> None:
        try:
            self.run()
        except BaseException as error:
            log.exception("worker %s crashed", self.name)
            self._on_crash(self.name, error)
