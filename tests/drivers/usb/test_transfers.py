"""A link over a backend that refuses, or is dead: what its driver hears, and how long it waits."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from drivers.errors import Cancelled, LinkLost, ProtocolError, SensorError, Stalled, TransferTimeout
from drivers.usb.link import UsbIdentity
from drivers.usb.transfers import Link, Outcome, ThreadedBackend, Transfer, memory_full

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


def answer(backend: FakeBackend, outcome: Outcome, data: bytes = b"") -> None:
    """The next wait ends the last transfer."""
    backend.when_waiting = lambda: backend.finish(backend.submitted[-1], outcome, data)


def test_a_control_request_carries_its_setup_packet_and_returns_the_data(backend: FakeBackend) -> None:
    link = Link(backend)
    answer(backend, Outcome.DONE, b"ab")
    assert link.control_in(0x40, 4, 0x0007, 1, 2) == b"ab"
    sent = backend.submitted[-1]
    assert (sent.setup, sent.is_in) == (bytes([0xC0, 4, 7, 0, 1, 0, 2, 0]), True)
    answer(backend, Outcome.DONE)
    link.control_out(0x40, 4, 0x004E, 0, b"p")
    sent = backend.submitted[-1]
    assert (sent.setup, sent.payload, sent.is_in) == (bytes([0x40, 4, 0x4E, 0, 0, 0, 1, 0]), b"p", False)


def test_a_write_goes_to_the_endpoint_that_is_named(backend: FakeBackend) -> None:
    answer(backend, Outcome.DONE)
    Link(backend).write(0x02, b"abc", 1.0)
    assert (backend.submitted[-1].endpoint, backend.submitted[-1].payload) == (0x02, b"abc")


@pytest.mark.parametrize(
    ("outcome", "error", "complaint"),
    [
        (Outcome.STALLED, Stalled, "reading endpoint 0x82 was refused"),
        (Outcome.GONE, LinkLost, "unplugged"),
        (Outcome.FAILED, ProtocolError, "failed on the bus; check cable and hub"),
        (Outcome.CANCELLED, TransferTimeout, "did not end within 1 s"),
    ],
)
def test_every_outcome_has_its_error(
    backend: FakeBackend, outcome: Outcome, error: type[SensorError], complaint: str
) -> None:
    answer(backend, outcome)
    with pytest.raises(error, match=complaint):
        Link(backend).read(0x82, 64, 1.0)


def test_a_pause_takes_its_time_and_a_closed_link_is_lost(backend: FakeBackend) -> None:
    link = Link(backend)
    link.pause(0.5)
    link.claim(1)
    link.clear_halt(0x82)
    assert link.now() == 0.5
    link.close()
    link.close()
    with pytest.raises(LinkLost, match="closed"):
        link.pause(0.5)


def test_a_closed_inbox_starts_no_other_read(backend: FakeBackend) -> None:
    inbox = Link(backend).listen(0x81, 64)
    backend.when_waiting = lambda: backend.finish(backend.submitted[-1], Outcome.DONE, b"late")
    inbox.close()
    assert len(backend.submitted) == 1


def test_a_backend_with_threads_wakes_who_waits() -> None:
    waiting = ThreadedBackend()
    done = list[Transfer]()
    transfer = Transfer(0x82, 64, on_done=done.append)
    before = waiting.now()
    thread = threading.Thread(target=waiting.finish, args=(transfer, Outcome.DONE, b"x"))
    thread.start()
    waiting.wait(lambda: transfer.ended, 5.0)
    thread.join()
    assert (transfer.data, done) == (b"x", [transfer])
    assert before <= waiting.now() < before + 5.0


@pytest.mark.parametrize(
    ("text", "said"),
    [("64\n", "64 MiB in flight"), ("", "usually 16 MiB in flight"), (None, "usually 16 MiB in flight")],
)
def test_the_error_of_full_memory_names_limit_setting_and_command(tmp_path: Path, text: str | None, said: str) -> None:
    setting = tmp_path / "usbfs_memory_mb"
    if text is not None:
        setting.write_text(text)
    message = str(memory_full(UsbIdentity(0x1209, 1, port="1-4"), setting))
    for part in ("1209:0001 at 1-4", said, f"sudo tee {setting}", "usbcore.usbfs_memory_mb=128"):
        assert part in message
