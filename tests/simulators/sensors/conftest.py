"""A simulated sensor that stops immediately, and the signal handlers as they were."""

import signal
import threading
from collections.abc import Iterator

import pytest

from simulators.sensors.common import touch_options
from simulators.sensors.uvc import cli as uvc_cli


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that runs a sensor in this process ends after its introduction, as after Ctrl-C."""
    stop = threading.Event()
    stop.set()
    for module in (touch_options, uvc_cli):
        monkeypatch.setattr(module, "stop_signal", lambda: stop)


@pytest.fixture
def signals() -> Iterator[None]:
    """Puts the signal handlers of the test run back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
