"""Ctrl-C, SIGTERM and SIGHUP end in good order what a technician's command does with a sensor."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from drivers.sensor import Sensor

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def cancelled_by_signals(sensor: Sensor) -> Iterator[None]:
    """Let the first signal cancel the sensor: its open() or capture() ends with Cancelled, and it can be closed.

    A second one of the same kind does what it did before: it ends the process at once. One that is ignored (as by
    nohup) stays so. In the main thread only.
    """
    asked, over = threading.Event(), threading.Event()

    def cancel() -> None:
        asked.wait()
        if not over.is_set():
            sensor.cancel()

    def on_signal(number: int, _frame: object) -> None:
        signal.signal(number, before[signal.Signals(number)])
        asked.set()  # a thread cancels: here locks of the driver may be held

    before = {number: old for number in SIGNALS if (old := signal.getsignal(number)) not in (signal.SIG_IGN, None)}
    thread = threading.Thread(target=cancel, name="cancels", daemon=True)
    thread.start()
    for number in before:
        signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        over.set()
        asked.set()
        thread.join()
