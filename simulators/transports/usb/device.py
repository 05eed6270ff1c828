"""The interface between the model of a simulated USB device and the port it is plugged into.

    a model (one file for each device)
      <-> UsbPort (port.py): queues, halts, standard requests, transfer faults
      <-> a binding: usbip.py (TCP), umockdev.py (the real libusb), a virtual link in tests

Standard library only: Debian's own Python runs it too.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from simulators.transports.faults import Faults

IN = 0x80  # the direction bit of an endpoint address or request type: set towards the host


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
        """Parse the eight bytes."""
        return cls(*struct.unpack("<BBHHH", data))


class Stall(Exception):
    """The device refuses a request. Raised by UsbModel.control()."""


@dataclass(frozen=True, slots=True)
class UsbDescription:
    """The descriptors of a device. `configuration` is the whole descriptor, class descriptors included."""

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
    """The port as the model uses it while it is plugged in. Every method may be called from any thread."""

    def now(self) -> float:
        """Seconds, monotonic."""

    def send(self, endpoint: int, data: bytes, after: float = 0.0) -> None:
        """Send ONE transfer, `after` seconds from now, after everything sent earlier on this endpoint.

        It completes the oldest pending transfer, or waits for one. What exceeds the length of that transfer goes into
        the next one.
        """

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """A timer of the device: run `action` then, unless the cable is out. Data sent before that time goes first."""

    def stall(self, endpoint: int) -> None:
        """Refuse transfers until the host clears the halt."""

    def drop(self, endpoint: int) -> None:
        """Discard the data that waits to be sent."""

    def pending(self, endpoint: int) -> int:
        """The number of transfers from this endpoint that the host has in flight."""

    def unplug(self) -> None:
        """Pull the cable."""


class UsbModel(Protocol):
    """A device. Every method may be called from any thread; none is called while the port holds a lock."""

    faults: Faults

    @property
    def description(self) -> UsbDescription:
        """The descriptors."""

    def attach(self, wire: UsbWire, now: float, /) -> None:
        """The device was plugged in: it powers on with its initial state."""

    def control(self, setup: Setup, data: bytes, /) -> bytes:
        """Execute a class or vendor request. `data` is that of an OUT request; returns the answer to an IN request.

        Raises Stall.
        """

    def received(self, endpoint: int, data: bytes, /) -> None:
        """A transfer to the device arrived."""

    def read_submitted(self, endpoint: int, length: int, /) -> None:
        """The host has submitted an IN transfer, which is pending. Answer now or later with wire.send()."""

    def detach(self) -> None:
        """The device was unplugged."""
