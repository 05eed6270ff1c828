"""A UsbLink straight into a simulated device, in one thread and with a clock that moves only when the driver waits."""

import heapq
import itertools
from collections.abc import Callable

from drivers.errors import LinkLost
from drivers.usb.link import UsbIdentity
from drivers.usb.transfers import Link, Outcome, Transfer
from simulators.transports.usb.device import Setup, UsbModel
from simulators.transports.usb.port import End, HostTransfer, UsbPort

OUTCOMES = {End.DONE: Outcome.DONE, End.STALLED: Outcome.STALLED, End.GONE: Outcome.GONE}


class VirtualTime:
    """Actions in the order of their time; nothing happens in between."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._order = itertools.count()
        self._due: list[tuple[float, int, Callable[[], object]]] = []

    def now(self) -> float:
        return self.seconds

    def later(self, seconds: float, action: Callable[[], object]) -> None:
        """Do `action` when so much time has passed; a person who presses or lifts, for instance."""
        heapq.heappush(self._due, (self.seconds + seconds, next(self._order), action))

    def run(self, ready: Callable[[], bool], timeout: float) -> None:
        """Let time pass until ready() or `timeout`."""
        end = self.seconds + max(timeout, 0.0)
        while not ready():
            if not self._due or self._due[0][0] > end:
                self.seconds = end
                return
            due, _, action = heapq.heappop(self._due)
            self.seconds = max(self.seconds, due)
            action()


class VirtualUsb:
    """A simulated device that can be plugged in and unplugged. Pass `open_link` to a driver.

    `bytes_per_s` is the pace of the wire. A link made before an unplugging stays dead after it.
    """

    def __init__(self, model: UsbModel, *, bytes_per_s: float | None = None) -> None:
        self.time = VirtualTime()
        self.port = UsbPort(model, self.time.now, self.time.later, bytes_per_s=bytes_per_s)
        self.links = 0  # open at the moment
        self.port.plug()

    def open_link(self, *_: object) -> Link:
        """Claim the device, as the `open` of a URL does."""
        if not self.port.plugged:
            raise LinkLost("virtual: no such device")
        return Link(_VirtualTransfers(self))

    def unplug(self) -> None:
        self.port.unplug()

    def replug(self) -> None:
        self.port.plug()


class _VirtualTransfers:
    def __init__(self, usb: VirtualUsb) -> None:
        self._usb = usb
        self._port = usb.port
        self._plugs = usb.port.plugs
        about = usb.port.model.description
        self.identity = UsbIdentity(about.vendor, about.product, about.serial, "1-1", about.bcd_device, about.speed)
        self.configuration = about.configuration
        self._in_flight: dict[Transfer, HostTransfer] = {}
        self._open = True
        usb.links += 1

    def now(self) -> float:
        return self._usb.time.now()

    def wait(self, ready: Callable[[], bool], timeout: float) -> None:
        self._usb.time.run(ready, timeout)

    def wake(self) -> None:
        """One thread: whoever waits looks after each action anyway."""

    def submit(self, transfer: Transfer) -> None:
        if not self.present():
            raise LinkLost("virtual: unplugged")
        setup = Setup.from_bytes(transfer.setup) if transfer.setup else None

        def complete(end: End, data: bytes) -> None:
            self._usb.time.later(0.0, lambda: self._finish(transfer, OUTCOMES[end], data))

        host = HostTransfer(transfer.endpoint, transfer.size, complete, transfer.payload, setup)
        self._in_flight[transfer] = host
        self._port.submit(host)

    def _finish(self, transfer: Transfer, outcome: Outcome, data: bytes) -> None:
        del self._in_flight[transfer]
        transfer.data, transfer.outcome = data, outcome
        if transfer.on_done and self._open:
            transfer.on_done(transfer)

    def cancel_transfer(self, transfer: Transfer) -> None:
        if self._port.unlink(self._in_flight[transfer]):
            self._finish(transfer, Outcome.CANCELLED, b"")

    def claim(self, interface: int) -> None:
        """Every interface is the link's."""

    def clear_halt(self, endpoint: int) -> None:
        self._port.clear_halt(endpoint)

    def present(self) -> bool:
        return self._port.plugged and self._port.plugs == self._plugs

    def close(self) -> None:
        self._open = False
        for transfer in tuple(self._in_flight):
            self.cancel_transfer(transfer)
        self._usb.links -= 1
