"""The port of a simulated USB device: queues, halts, the transfer rate, the cable and the faults of transfers."""

from dataclasses import dataclass, field

import pytest

from simulators.transports.usb.device import Setup
from simulators.transports.usb.port import End, HostTransfer, UsbPort
from simulators.transports.usb.standard import CLEAR_FEATURE, DEVICE, GET_DESCRIPTOR
from tests.rigs.usb_echo import BELL, IN, OUT, VENDOR_IN, VENDOR_OUT, Echo
from tests.rigs.virtual_usb import VirtualTime

SOON_S = 1.0
READ_DEVICE = Setup(0x80, GET_DESCRIPTOR, DEVICE << 8, 0, 18)
READ_REGISTER = Setup(VENDOR_IN, 4, 0, 0, 64)
Ended = list[tuple[End, bytes]]


@dataclass
class Host:
    """The host's side of a port, with the time that passes for the device."""

    echo: Echo = field(default_factory=lambda: Echo(delay=0.0))
    bytes_per_s: float | None = None
    unplugged: int = 0

    def __post_init__(self) -> None:
        self.time = VirtualTime()
        self.port = UsbPort(
            self.echo, self.time.now, self.time.later, bytes_per_s=self.bytes_per_s, on_unplug=self._count
        )
        self.port.plug()

    def _count(self) -> None:
        self.unplugged += 1

    def submit(self, endpoint: int, *, length: int = 64, data: bytes = b"", setup: Setup | None = None) -> Ended:
        """Submit a transfer; its end is added to the list that is returned."""
        _, ended = self.begin(endpoint, length=length, data=data, setup=setup)
        return ended

    def begin(
        self, endpoint: int, *, length: int = 64, data: bytes = b"", setup: Setup | None = None
    ) -> tuple[HostTransfer, Ended]:
        ended: Ended = []
        transfer = HostTransfer(endpoint, length, lambda end, answer: ended.append((end, answer)), data, setup)
        self.port.submit(transfer)
        return transfer, ended

    def pass_time(self, seconds: float = SOON_S) -> None:
        self.time.run(lambda: False, seconds)


@pytest.fixture(name="host")
def _host() -> Host:
    return Host()


# Transfers


def test_a_read_waits_until_the_device_sends(host: Host) -> None:
    ended = host.submit(IN)
    host.pass_time()
    assert ended == []
    assert host.echo.asks == 1
    assert host.submit(OUT, data=b"hello") == [(End.DONE, b"")]
    host.pass_time()
    assert ended == [(End.DONE, b"hello")]


def test_what_a_read_does_not_hold_goes_into_the_next_one(host: Host) -> None:
    host.submit(OUT, data=b"hello")
    host.pass_time()
    assert host.submit(IN, length=3) == [(End.DONE, b"hel")]
    assert host.submit(IN, length=3) == [(End.DONE, b"lo")]


def test_a_cancelled_read_takes_no_data(host: Host) -> None:
    transfer, ended = host.begin(IN)
    assert host.port.unlink(transfer)
    assert not host.port.unlink(transfer)
    host.submit(OUT, data=b"hello")
    host.pass_time()
    assert ended == []
    assert host.submit(IN) == [(End.DONE, b"hello")]


def test_bytes_take_time_at_a_limited_rate() -> None:
    host = Host(bytes_per_s=10.0)
    ended = host.submit(IN), host.submit(IN)
    host.submit(OUT, data=bytes(5))
    host.submit(OUT, data=bytes(10))
    for seconds, count in ((0.4, 0), (0.2, 1), (0.8, 1), (0.2, 2)):
        host.pass_time(seconds)
        assert sum(map(len, ended)) == count
    assert host.port.bytes_sent == 15


def test_the_device_counts_reads_and_discards_what_waits(host: Host) -> None:
    wire = host.echo.wire
    assert wire is not None
    wire.send(IN, b"old")
    wire.send(IN, b"later", 0.5)
    host.pass_time(0.1)
    wire.drop(IN)
    host.pass_time()
    ended = host.submit(IN)
    assert ended == []
    assert wire.pending(IN) == 1
    wire.send(IN, b"new")
    host.pass_time()
    assert ended == [(End.DONE, b"new")]
    assert wire.pending(IN) == 0


def test_a_timer_of_the_device_runs_when_it_is_due(host: Host) -> None:
    wire = host.echo.wire
    assert wire is not None
    rung: list[float] = []
    wire.later(0.5, lambda: rung.append(wire.now()))
    host.pass_time(0.4)
    assert rung == []
    host.pass_time(0.2)
    assert rung == [0.5]


# Control requests


def test_the_port_answers_standard_requests_and_the_model_the_others(host: Host) -> None:
    found = host.submit(0, setup=READ_DEVICE)
    assert host.submit(0, setup=Setup(VENDOR_OUT, 4, 0, 0, 1), data=b"\x07") == [(End.DONE, b"")]
    answered = host.submit(0, setup=READ_REGISTER)
    host.pass_time()
    assert [(end, len(data)) for end, data in found] == [(End.DONE, 18)]
    assert answered == [(End.DONE, b"\x07")]
    assert host.submit(0, setup=Setup(VENDOR_IN, 9, 0, 0, 1)) == [(End.STALLED, b"")]


def test_an_answer_is_cut_to_the_length_that_was_requested(host: Host) -> None:
    found = host.submit(0, setup=Setup(0x80, GET_DESCRIPTOR, DEVICE << 8, 0, 8))
    host.pass_time()
    assert [(end, len(data)) for end, data in found] == [(End.DONE, 8)]


def test_a_late_answer_does_not_end_a_request_that_was_cancelled(host: Host) -> None:
    host.echo.faults.inject("late", at="answer", seconds=0.5)
    transfer, ended = host.begin(0, setup=READ_REGISTER)
    host.pass_time(0.1)
    assert host.port.unlink(transfer)
    host.pass_time()
    assert ended == []


# Halts


@pytest.mark.parametrize("endpoint", [IN, OUT])
def test_a_halted_endpoint_refuses_transfers_until_the_host_clears_it(host: Host, endpoint: int) -> None:
    host.echo.faults.inject("stall")
    for _ in range(2):
        assert host.submit(endpoint) == [(End.STALLED, b"")]
    assert host.submit(0, setup=Setup(0x02, CLEAR_FEATURE, 0, endpoint, 0)) == [(End.DONE, b"")]
    assert (End.STALLED, b"") not in host.submit(endpoint)


def test_a_halt_by_the_device_ends_the_transfers_in_flight(host: Host) -> None:
    ended = host.submit(BELL), host.submit(BELL)
    assert host.echo.wire is not None
    host.echo.wire.stall(BELL)
    assert ended == ([(End.STALLED, b"")], [(End.STALLED, b"")])


# Faults


def test_a_silent_device_keeps_every_transfer_pending_but_shows_its_descriptors(host: Host) -> None:
    host.echo.faults.inject("silent")
    pending = [host.submit(IN), host.submit(OUT, data=b"hello"), host.submit(0, setup=READ_REGISTER)]
    assert host.echo.wire is not None
    host.echo.wire.send(IN, b"lost")
    found = host.submit(0, setup=READ_DEVICE)
    host.pass_time()
    assert pending == [[], [], []]
    assert host.echo.asks == 0
    assert not host.echo.heard
    assert [end for end, _ in found] == [End.DONE]


def test_another_device_takes_what_it_is_sent_and_refuses_vendor_requests(host: Host) -> None:
    host.echo.faults.inject("wrong_device")
    assert host.submit(OUT, data=b"hello") == [(End.DONE, b"")]
    assert not host.echo.heard
    assert host.submit(0, setup=READ_REGISTER) == [(End.STALLED, b"")]


def test_an_answer_that_is_lost_stays_pending(host: Host) -> None:
    host.echo.faults.inject("lost", at="answer")
    ended = host.submit(0, setup=READ_REGISTER)
    host.pass_time()
    assert ended == []


# The cable


def test_pulling_the_cable_ends_what_is_in_flight_and_what_comes_after(host: Host) -> None:
    ended = host.submit(IN)
    host.port.unplug()
    host.port.unplug()
    assert ended == [(End.GONE, b"")]
    assert host.submit(IN) == [(End.GONE, b"")]
    assert host.unplugged == 1
    assert host.echo.wire is None


def test_a_device_that_was_plugged_in_again_has_forgotten_everything(host: Host) -> None:
    wire = host.echo.wire
    assert wire is not None
    rung: list[str] = []
    wire.later(0.5, lambda: rung.append("the timer of a device without power"))
    host.submit(OUT, data=b"old")
    host.port.unplug()
    host.port.plug()
    host.port.plug()
    host.pass_time()
    assert host.submit(IN) == []
    assert rung == []
    assert host.port.plugs == 2


def test_the_wire_of_an_earlier_plugging_in_does_nothing(host: Host) -> None:
    old = host.echo.wire
    assert old is not None
    host.port.unplug()
    host.port.plug()
    ended, rung = host.submit(IN), list[str]()
    old.send(IN, b"late")
    old.later(0.0, lambda: rung.append("late"))
    old.stall(IN)
    old.unplug()
    host.pass_time()
    assert (ended, rung, old.pending(IN)) == ([], [], 0)
    assert host.port.plugged
    assert host.echo.wire is not None
    host.echo.wire.unplug()
    assert ended == [(End.GONE, b"")]


@pytest.mark.parametrize(("after", "arrived"), [(0, 0), (3, 0), (5, 1), (9, 1), (10, 2)])
def test_the_cable_is_pulled_after_a_number_of_bytes(host: Host, after: int, arrived: int) -> None:
    reads = [host.submit(IN) for _ in range(3)]
    host.port.unplug_after(after)
    for _ in range(2):
        host.submit(OUT, data=b"hello")
    host.pass_time()
    whole, gone = [(End.DONE, b"hello")], [(End.GONE, b"")]
    assert reads == [whole] * arrived + [gone] * (3 - arrived)
    assert not host.port.plugged


def test_the_cable_is_pulled_after_the_bytes_of_an_answer(host: Host) -> None:
    host.port.unplug_after(18)
    ended = host.submit(0, setup=READ_DEVICE)
    host.pass_time()
    assert [(end, len(data)) for end, data in ended] == [(End.DONE, 18)]
    assert not host.port.plugged


def test_the_fault_of_the_cable_acts_on_notice_or_with_the_next_transfer(host: Host) -> None:
    host.echo.faults.inject("unplug")
    host.port.notice_faults()
    assert not host.port.plugged
    host.port.plug()
    host.echo.faults.inject("unplug")
    assert host.submit(IN) == [(End.GONE, b"")]


class Dying(Echo):
    """Pulls its own cable when it is asked for its register."""

    def control(self, _setup: Setup, _data: bytes) -> bytes:
        assert self.wire is not None
        self.wire.unplug()
        return b"too late"


def test_a_request_during_which_the_device_disappears_ends_as_gone() -> None:
    host = Host(Dying())
    assert host.submit(0, setup=READ_REGISTER) == [(End.GONE, b"")]
