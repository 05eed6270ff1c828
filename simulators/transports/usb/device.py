"""What every simulated USB device is made of, seen from the model's side of the plug.

    a model (one file a device)
      <-> UsbPort (port.py): queues, halts, standard requests, faults of the wire
      <-> a binding: usbip.py (TCP), tests/rigs/umockdev.py (the real libusb), a test's virtual link

Standard library only: Debian's own Python runs it too.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from simulators.transports.faults import Faults

IN = 0x80  # the bit of an endpoint or request type that says: towards the host


@dataclass(frozen=True, slots=True)
class Setup:
    """The eight bytes that begin a control transfer."""

    request_type: int
    request: int
    value: int
    index: int
    length: int

    @classmethod
    def from_bytes(cls, data: bytes) -> "Setup":
        """Read the eight bytes of the wire."""
        return cls(*struct.unpack("<BBHHH", data))


class Stall(Exception):
    """The device refuses a request. Raised by UsbModel.control()."""


@dataclass(frozen=True, slots=True)
class UsbDescription:
    """What a device says of itself. `configuration` is the whole descriptor, class descriptors included."""

    vendor: int
    product: int
    bcd_device: int
    manufacturer: str
    name: str
    serial: str
    device_class: tuple[int, int, int]
    configuration: bytes
    speed: str = "full"  # "full", "high" or "super"


class UsbWire(Protocol):
    """What the port gives to a model while it is plugged in. Every method may be called from any thread."""

    def now(self) -> float:
        """Seconds, monotonic."""

    def send(self, endpoint: int, data: bytes, after: float = 0.0) -> None:
        """Send ONE transfer, `after` seconds from now, behind all that was sent on this endpoint before.

        It completes the oldest pending transfer (cut at its length; the rest is the next transfer's unless a short
        packet ended it) or waits for one.
        """

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """A timer of the device: do it then, unless the cable is out. Whatever is sent meanwhile goes first."""

    def stall(self, endpoint: int) -> None:
        """Refuse transfers until the host clears the halt."""

    def drop(self, endpoint: int) -> None:
        """Forget what waits to be sent."""

    def pending(self, endpoint: int) -> int:
        """How many transfers from this endpoint the host has in flight."""

    def unplug(self) -> None:
        """Pull the cable."""


class UsbModel(Protocol):
    """A device. Every method may be called from any thread; none is called while the port holds a lock."""

    faults: Faults

    @property
    def description(self) -> UsbDescription:
        """What the device says of itself."""

    def attach(self, wire: UsbWire, now: float, /) -> None:
        """Plugged in: power on afresh."""

    def control(self, setup: Setup, data: bytes, /) -> bytes:
        """Obey a class or vendor request with the data of an OUT one; return the answer of an IN one. Raises Stall."""

    def received(self, endpoint: int, data: bytes, /) -> None:
        """A transfer to the device came."""

    def asked(self, endpoint: int, length: int, /) -> None:
        """The host wants a transfer: it is pending. Answer now or later with wire.send()."""

    def detach(self) -> None:
        """Unplugged."""
