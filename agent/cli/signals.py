"""Cancels a technician's command on Ctrl-C, SIGTERM or SIGHUP, so that the sensor is closed properly."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from drivers.sensor import Sensor

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def cancel_on_signals(sensor: Sensor) -> Iterator[None]:
    """Cancel the sensor on the first signal: its open() or capture() raises Cancelled, and it can then be closed.

    A second signal of the same kind has its previous effect: it ends the process immediately. A signal that was ignored
    before (by nohup, for example) stays ignored. For the main thread only.
    """
    signalled, finished = threading.Event(), threading.Event()

    def cancel() -> None:
        signalled.wait()
        if not finished.is_set():
            sensor.cancel()

    def on_signal(number: int, _frame: object) -> None:
        signal.signal(number, before[signal.Signals(number)])
        signalled.set()  # another thread cancels: the interrupted code may hold locks of the driver

    before = {number: old for number in SIGNALS if (old := signal.getsignal(number)) not in (signal.SIG_IGN, None)}
    thread = threading.Thread(target=cancel, name="cancel on signal", daemon=True)
    thread.start()
    for number in before:
        signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        finished.set()
        signalled.set()
        thread.join()
