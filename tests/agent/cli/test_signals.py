"""The first signal cancels the sensor; afterwards every signal has its previous effect again."""

import os
import signal
import threading

import pytest

from agent.cli.signals import SIGNALS, cancel_on_signals
from drivers.errors import Cancelled
from tests.rigs.scripted_sensor import ScriptedSensor


class WaitingSensor(ScriptedSensor):
    """Captures nothing until it is cancelled."""

    def __init__(self) -> None:
        super().__init__([])
        self.cancelled = threading.Event()

    def cancel(self) -> None:
        self.cancelled.set()


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_cancels_the_sensor_and_the_handler_is_restored(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    sensor = WaitingSensor()
    with cancel_on_signals(sensor):
        assert signal.getsignal(number) is not before
        os.kill(os.getpid(), number)
        assert sensor.cancelled.wait(10)
        assert signal.getsignal(number) is before  # a second signal ends the process as usual
    assert signal.getsignal(number) is before


def test_without_a_signal_nothing_is_cancelled() -> None:
    sensor = WaitingSensor()
    with cancel_on_signals(sensor):
        pass
    assert not sensor.cancelled.is_set()
    assert "cancel on signal" not in [thread.name for thread in threading.enumerate()]


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with cancel_on_signals(WaitingSensor()):
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_an_error_in_the_block_restores_the_handlers_too() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Cancelled), cancel_on_signals(WaitingSensor()):
        raise Cancelled("by somebody else")
    assert signal.getsignal(signal.SIGTERM) is before
