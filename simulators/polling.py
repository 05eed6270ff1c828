"""Waiting for what nothing can notify us of."""

import threading
import time
from collections.abc import Callable


def wait_until(condition: Callable[[], bool], timeout: float) -> bool:
    """Poll a condition that nothing can notify us of, every 10 ms. Whether it came true in time."""
    pause, deadline = threading.Event(), time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        pause.wait(0.01)
    return True
