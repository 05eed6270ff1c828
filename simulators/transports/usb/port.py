"""The port that a simulated USB device is plugged into: serves any UsbModel to any binding.

A binding submits HostTransfers, provides the clock, and is called back when a transfer ends. This module holds the
queues of every endpoint, halts, the standard requests, the transfer rate, and the faults that need no knowledge of the
device.
"""

import threading
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial

from simulators.transports.usb.device import IN, Setup, Stall, UsbModel, UsbWire
from simulators.transports.usb.faults import TransferFaults
from simulators.transports.usb.standard import StandardRequests


class End(Enum):
    """How a transfer ended, as a host sees it."""

    DONE = "done"
    STALLED = "stalled"
    GONE = "gone"


@dataclass(eq=False)
class HostTransfer:
    """One transfer of the host. `complete` is called once, under the port's lock, unless the transfer was unlinked."""

    endpoint: int
    length: int  # bytes requested, or the length of `data`
    complete: Callable[[End, bytes], None]
    data: bytes = b""
    setup: Setup | None = None


Later = Callable[[float, Callable[[], None]], None]
"""(seconds, action): runs the action then, in any thread. With 0 seconds it may run immediately."""


class UsbPort:
    """One model, plugged in or not. `on_unplug` is called after the cable was pulled."""

    def __init__(
        self,
        model: UsbModel,
        now: Callable[[], float],
        later: Later,
        *,
        bytes_per_s: float | None = None,
        on_unplug: Callable[[], None] = lambda: None,
    ) -> None:
        self.model = model
        self.now = now
        self.plugged = False
        self.bytes_sent = 0  # bytes sent to the host since the start
        self._later = later
        self._rate = bytes_per_s
        self._on_unplug = on_unplug
        self._lock = threading.RLock()
        self._faults = TransferFaults(model)
        self.plugs = 0  # how many times it was plugged in
        self._unplug_at: int | None = None
        self._forget()

    def _forget(self) -> None:
        self._waiting = defaultdict[int, deque[HostTransfer]](deque)  # the host's, by endpoint
        self._sent = defaultdict[int, deque[bytes]](deque)  # the device's, by endpoint
        self._in_transit = defaultdict[int, deque[bytes]](deque)  # sent, and due later
        self._free_at = defaultdict[int, float](float)  # when the last byte of an endpoint has been sent
        self._drops = defaultdict[int, int](int)  # how many times the device dropped what an endpoint had to send
        self._halted = set[int]()
        self._standard = StandardRequests(self.model.description)

    # The cable

    def plug(self) -> None:
        """Put the cable in: the device powers on."""
        with self._lock:
            if self.plugged:
                return
            self._forget()
            self.plugs += 1
            self._unplug_at = None
            self.plugged = True
            wire = _Wire(self, self.plugs)
        self.model.attach(wire, self.now())

    def unplug(self) -> None:
        """Pull the cable: all transfers in flight end."""
        with self._lock:
            if not self.plugged:
                return
            self.plugged = False
            lost = [transfer for queue in self._waiting.values() for transfer in queue]
            self._forget()
            for transfer in lost:
                transfer.complete(End.GONE, b"")
        self.model.detach()
        self._on_unplug()

    def unplug_after(self, count: int) -> None:
        """Pull the cable automatically after `count` more bytes were sent to the host."""
        if count <= 0:
            self.unplug()
        else:
            self._unplug_at = self.bytes_sent + count

    def notice_faults(self) -> None:
        """Apply a fault that pulls the cable now, without waiting for the next transfer of the host."""
        self._take_unplug_fault()

    # The host's side

    def submit(self, transfer: HostTransfer) -> None:
        """Take a transfer of the host. Do not call this while holding a lock that `complete` needs."""
        self._take_unplug_fault()
        if not self.plugged:
            transfer.complete(End.GONE, b"")
        elif transfer.setup is not None:
            self._control(transfer, transfer.setup)
        elif transfer.endpoint & IN:
            self._ask(transfer)
        else:
            self._receive(transfer)

    def unlink(self, transfer: HostTransfer) -> bool:
        """Cancel a transfer. False if it has already ended."""
        with self._lock:
            queue = self._waiting[transfer.endpoint]
            if transfer not in queue:
                return False
            queue.remove(transfer)
            return True

    def clear_halt(self, endpoint: int) -> None:
        """The host clears the halt of an endpoint."""
        with self._lock:
            self._halted.discard(endpoint)
        self._deliver(endpoint)

    def _ask(self, transfer: HostTransfer) -> None:
        endpoint = transfer.endpoint
        if self._refused(endpoint):
            transfer.complete(End.STALLED, b"")
            return
        self._park(transfer)
        self._deliver(endpoint)
        if not self._faults.silent():
            self.model.read_submitted(endpoint, transfer.length)

    def _receive(self, transfer: HostTransfer) -> None:
        if self._refused(transfer.endpoint):
            transfer.complete(End.STALLED, b"")
        elif self._faults.silent():
            self._park(transfer)
        else:
            with self._lock:
                transfer.complete(End.DONE, b"")
            if not self._faults.wrong_device():
                self.model.received(transfer.endpoint, transfer.data)

    def _park(self, transfer: HostTransfer) -> None:
        """Keep a transfer pending."""
        with self._lock:
            if self.plugged:
                self._waiting[transfer.endpoint].append(transfer)
            else:
                transfer.complete(End.GONE, b"")

    def _refused(self, endpoint: int) -> bool:
        if self._faults.stalls(self._standard.is_bulk(endpoint)):
            self.stall(endpoint)
        return endpoint in self._halted

    def _control(self, transfer: HostTransfer, setup: Setup) -> None:
        # The host read the descriptors when the device was plugged in: a silent device does not hide them.
        if not self._standard.answers(setup) and self._faults.silent():
            self._park(transfer)
            return
        try:
            answer = self._execute(setup, transfer.data)[: setup.length]
        except Stall:
            transfer.complete(End.STALLED, b"")
            return
        if not setup.request_type & IN:
            transfer.complete(End.DONE, b"")
            return
        answers = [answer] if self._standard.answers(setup) else self._faults.corrupt(answer, bulk=False)
        self._park(transfer)
        if answers:
            delay = 0.0 if self._standard.answers(setup) else self._faults.delay(bulk=False)
            self._schedule(delay, lambda: self._finish_control(transfer, answers[0][: setup.length]))

    def _finish_control(self, transfer: HostTransfer, data: bytes) -> None:
        with self._lock:
            if transfer in self._waiting[transfer.endpoint]:
                self._waiting[transfer.endpoint].remove(transfer)
                self._complete(transfer, data)
        self._pull_if_due()

    def _execute(self, setup: Setup, data: bytes) -> bytes:
        halt = self._standard.cleared_halt(setup)
        if halt is not None:
            self.clear_halt(halt)
            return b""
        if self._standard.answers(setup):
            return self._standard.answer(setup)
        if self._faults.stalls(bulk=False) or self._faults.wrong_device():
            raise Stall
        return self.model.control(setup, data)

    # The device's side, called by _Wire

    def send(self, endpoint: int, data: bytes, after: float) -> None:
        """Send one transfer of the device, with the faults that are pending for it."""
        if self._faults.silent():
            return
        bulk = self._standard.is_bulk(endpoint)
        for part in self._faults.corrupt(data, bulk=bulk):
            with self._lock:
                start = max(self.now() + after + self._faults.delay(bulk=bulk), self._free_at[endpoint])
                due = start + (len(part) / self._rate if self._rate else 0.0)
                self._free_at[endpoint] = due
                self._in_transit[endpoint].append(part)
                drops = self._drops[endpoint]
            self._schedule(due - self.now(), partial(self._arrive, endpoint, drops))

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Run an action of the device later, unless it has been unplugged by then."""
        self._schedule(seconds, action)

    def stall(self, endpoint: int) -> None:
        """Refuse transfers until the host clears the halt. Those in flight end."""
        with self._lock:
            self._halted.add(endpoint)
            refused, self._waiting[endpoint] = self._waiting[endpoint], deque()
            for transfer in refused:
                transfer.complete(End.STALLED, b"")

    def drop(self, endpoint: int) -> None:
        """Discard what waits to be sent, and what is in transit."""
        with self._lock:
            self._sent[endpoint].clear()
            self._in_transit[endpoint].clear()
            self._free_at.pop(endpoint, None)
            self._drops[endpoint] += 1

    def pending(self, endpoint: int) -> int:
        """The number of transfers from this endpoint that the host has in flight."""
        with self._lock:
            return len(self._waiting[endpoint])

    def _schedule(self, seconds: float, action: Callable[[], None]) -> None:
        plugs = self.plugs

        def act() -> None:
            if self.plugged and self.plugs == plugs:
                action()

        self._later(max(seconds, 0.0), act)

    def _arrive(self, endpoint: int, drops: int) -> None:
        """One more transfer has arrived: the oldest, as actions due at nearly the same time may be swapped."""
        with self._lock:
            if drops != self._drops[endpoint]:
                return
            self._sent[endpoint].append(self._in_transit[endpoint].popleft())
        self._deliver(endpoint)

    def _deliver(self, endpoint: int) -> None:
        """Complete pending transfers with the data that has been sent."""
        with self._lock:
            asked, sent = self._waiting[endpoint], self._sent[endpoint]
            while asked and sent and endpoint not in self._halted and not self._due_within(sent[0]):
                transfer, data = asked.popleft(), sent.popleft()
                if len(data) > transfer.length:
                    sent.appendleft(data[transfer.length :])
                self._complete(transfer, data[: transfer.length])
            pull = bool(asked and sent and self._due_within(sent[0]))
        if pull:
            self.unplug()
        else:
            self._pull_if_due()

    def _due_within(self, data: bytes) -> bool:
        """True if the cable is pulled while these bytes are sent."""
        return self._unplug_at is not None and self.bytes_sent + len(data) > self._unplug_at

    def _complete(self, transfer: HostTransfer, data: bytes) -> None:
        self.bytes_sent += len(data)
        transfer.complete(End.DONE, data)

    def _pull_if_due(self) -> None:
        self._take_unplug_fault()
        if self._unplug_at is not None and self.bytes_sent >= self._unplug_at:
            self.unplug()

    def _take_unplug_fault(self) -> None:
        if self.plugged and (params := self.model.faults.take("unplug")):
            self.unplug_after(int(params["after"]))


class _Wire:
    """The connection from plugging in to unplugging. Afterwards its methods do nothing."""

    def __init__(self, port: UsbPort, plug: int) -> None:
        self._port = port
        self._plug = plug

    def _alive(self) -> bool:
        return self._port.plugged and self._port.plugs == self._plug

    def now(self) -> float:
        """Seconds, monotonic."""
        return self._port.now()

    def send(self, endpoint: int, data: bytes, after: float = 0.0) -> None:
        """Send one transfer."""
        if self._alive():
            self._port.send(endpoint, bytes(data), after)

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """A timer of the device."""
        if self._alive():
            self._port.later(seconds, action)

    def stall(self, endpoint: int) -> None:
        """Refuse transfers until the host clears the halt."""
        if self._alive():
            self._port.stall(endpoint)

    def drop(self, endpoint: int) -> None:
        """Discard what waits to be sent."""
        if self._alive():
            self._port.drop(endpoint)

    def pending(self, endpoint: int) -> int:
        """The number of transfers from this endpoint that the host has in flight."""
        return self._port.pending(endpoint) if self._alive() else 0

    def unplug(self) -> None:
        """Pull the cable."""
        if self._alive():
            self._port.unplug()


_: type[UsbWire] = _Wire
