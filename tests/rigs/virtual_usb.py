"""A UsbLink directly to a simulated device, in one thread, on a clock that advances only while the driver waits."""

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass

from drivers.errors import LinkLost
from drivers.usb.link import UsbIdentity
from drivers.usb.transfers import Link, Outcome, Transfer, memory_full
from simulators.transports.usb.device import Setup, UsbModel
from simulators.transports.usb.port import End, HostTransfer, UsbPort

OUTCOMES = {End.DONE: Outcome.DONE, End.STALLED: Outcome.STALLED, End.GONE: Outcome.GONE}


class VirtualTime:
    """A clock that runs planned actions in the order of their time."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._order = itertools.count()
        self._due: list[tuple[float, int, Callable[[], object]]] = []

    def now(self) -> float:
        return self.seconds

    def later(self, seconds: float, action: Callable[[], object]) -> None:
        """Run `action` after this many seconds: for example, a person presses or lifts a finger."""
        heapq.heappush(self._due, (self.seconds + seconds, next(self._order), action))

    def run(self, ready: Callable[[], bool], timeout: float) -> None:
        """Advance the time until ready() is true, or by `timeout` seconds."""
        end = self.seconds + max(timeout, 0.0)
        while not ready():
            if not self._due or self._due[0][0] > end:
                self.seconds = end
                return
            due, _, action = heapq.heappop(self._due)
            self.seconds = max(self.seconds, due)
            action()


@dataclass
class UsbMemory:
    """What Linux allows all programs together to have in flight, bytes. Several devices may share it."""

    limit: int = 16 << 20
    used: int = 0


class VirtualUsb:
    """A simulated device that can be plugged in and unplugged. Pass `open_link` to a driver.

    `bytes_per_s` is the speed of the connection. A link that was opened before an unplugging stays lost after it.
    """

    def __init__(self, model: UsbModel, *, bytes_per_s: float | None = None, memory: "UsbMemory | None" = None) -> None:
        self.time = VirtualTime()
        self.port = UsbPort(model, self.time.now, self.time.later, bytes_per_s=bytes_per_s)
        self.claims = 0  # links that are open
        self.memory = memory or UsbMemory()
        self.port.plug()

    def open_link(self, *_: object) -> Link:
        """Claim the device, as drivers.usb.connect.open_link does."""
        if not self.port.plugged:
            raise LinkLost("virtual: no such device")
        return Link(_VirtualTransfers(self))

    @property
    def power(self) -> int:
        """How often the device was plugged in so far; 0 while it is unplugged."""
        return self.port.plugs if self.port.plugged else 0

    def unplug(self) -> None:
        self.port.unplug()

    def unplug_after(self, count: int) -> None:
        """Unplug after `count` more bytes to the host."""
        self.port.unplug_after(count)

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
        usb.claims += 1

    def now(self) -> float:
        return self._usb.time.now()

    def wait(self, ready: Callable[[], bool], timeout: float) -> None:
        self._usb.time.run(ready, timeout)

    def wake(self) -> None:
        """Does nothing: in one thread, wait() checks after each action."""

    def submit(self, transfer: Transfer) -> None:
        if not self.present():
            raise LinkLost("virtual: unplugged")
        setup = Setup.from_bytes(transfer.setup) if transfer.setup else None

        def complete(end: End, data: bytes) -> None:
            self._usb.time.later(0.0, lambda: self._finish(transfer, OUTCOMES[end], data))

        host = HostTransfer(transfer.endpoint, transfer.size, complete, transfer.payload, setup)
        if self._usb.memory.used + transfer.size > self._usb.memory.limit:
            raise memory_full(self.identity)
        self._usb.memory.used += transfer.size
        self._in_flight[transfer] = host
        self._port.submit(host)

    def _finish(self, transfer: Transfer, outcome: Outcome, data: bytes) -> None:
        del self._in_flight[transfer]
        self._usb.memory.used -= transfer.size
        transfer.data, transfer.outcome = data, outcome
        if transfer.on_done and self._open:
            transfer.on_done(transfer)

    def cancel_transfer(self, transfer: Transfer) -> None:
        if self._port.unlink(self._in_flight[transfer]):
            self._finish(transfer, Outcome.CANCELLED, b"")

    def claim(self, interface: int) -> None:
        """Does nothing: the link has all interfaces."""

    def clear_halt(self, endpoint: int) -> None:
        self._port.clear_halt(endpoint)

    def present(self) -> bool:
        return self._port.plugged and self._port.plugs == self._plugs

    def close(self) -> None:
        self._open = False
        for transfer in tuple(self._in_flight):
            self.cancel_transfer(transfer)
        self._usb.claims -= 1
