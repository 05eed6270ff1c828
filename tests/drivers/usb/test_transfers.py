"""A link over a backend that refuses, or is dead: what its driver hears, and how long it waits."""

from collections.abc import Callable

import pytest

from drivers.errors import Cancelled, LinkLost, ProtocolError, SensorError, TransferTimeout
from drivers.usb.link import UsbIdentity
from drivers.usb.transfers import Link, Outcome, ThreadedBackend, Transfer

CANCEL_WITHIN_S = 0.3


class FakeBackend(ThreadedBackend):
    """Ends nothing by itself. `refuse`: what the next submit raises. A cancel comes with the first wait."""

    def __init__(self) -> None:
        super().__init__()
        self.identity = UsbIdentity(1, 2, port="1-1")
        self.configuration = b""
        self.submitted = list[Transfer]()
        self.refuse: SensorError | None = None
        self.when_waiting: Callable[[], None] = lambda: None
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds

    def wait(self, ready: Callable[[], bool], timeout: float) -> None:
        if not ready():
            action, self.when_waiting = self.when_waiting, lambda: None
            action()
        if not ready():
            self.seconds += max(timeout, 0.0)

    def submit(self, transfer: Transfer) -> None:
        if self.refuse is not None:
            raise self.refuse
        self.submitted.append(transfer)

    def cancel_transfer(self, transfer: Transfer) -> None:
        """It is dead."""

    def claim(self, interface: int) -> None:
        """Nothing."""

    def clear_halt(self, endpoint: int) -> None:
        """Nothing."""

    def present(self) -> bool:
        return True

    def close(self) -> None:
        """Nothing."""


@pytest.fixture(name="backend")
def _wire() -> FakeBackend:
    return FakeBackend()


@pytest.mark.parametrize(
    ("refusal", "heard"), [(ProtocolError("refused"), ProtocolError), (LinkLost("gone"), LinkLost)]
)
def test_an_inbox_whose_read_is_refused_says_so_and_goes_on(
    backend: FakeBackend, refusal: SensorError, heard: type[SensorError]
) -> None:
    inbox = Link(backend).listen(0x81, 64)
    backend.refuse = refusal
    backend.finish(
        backend.submitted[0], Outcome.DONE, b"ding"
    )  # what the event thread does: nothing may escape into it
    assert inbox.next(1.0) == b"ding"
    with pytest.raises(heard):
        inbox.next(1.0)
    backend.refuse = None
    assert inbox.next(0.0) is None
    backend.finish(backend.submitted[-1], Outcome.DONE, b"dong")
    assert inbox.next(1.0) == b"dong"


def test_a_dead_device_is_waited_for_once_after_a_cancel(backend: FakeBackend) -> None:
    link = Link(backend)
    pending = link.begin_read(0x82, 64, 5.0)
    backend.when_waiting = link.cancel
    with pytest.raises(Cancelled):
        pending.result(5.0)
    pending.abandon()
    with pytest.raises(TransferTimeout):
        link.control_out(0x40, 4, 0x4E, 0, b"\x70", 0.1)
    assert backend.seconds < CANCEL_WITHIN_S - 0.05


def test_a_device_that_lives_again_is_waited_for_again(backend: FakeBackend) -> None:
    link = Link(backend)
    with pytest.raises(TransferTimeout):
        link.read(0x82, 64, 0.0)
    before = backend.seconds
    backend.when_waiting = lambda: backend.finish(backend.submitted[-1], Outcome.DONE, b"x")
    assert link.read(0x82, 64, 1.0) == b"x"
    backend.when_waiting = lambda: None
    with pytest.raises(TransferTimeout):
        link.read(0x82, 64, 0.0)
    assert backend.seconds == pytest.approx(2 * before)
