"""The UsbLink interface: the claimed interfaces of one USB device, as a driver uses them."""

from dataclasses import dataclass
from typing import Protocol

from drivers.printable import printable

CONTROL_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class UsbIdentity:
    """Which device. `port` as the kernel writes it (1-4.2); `serial` is empty if the kernel does not know it."""

    vendor: int
    product: int
    serial: str = ""
    port: str = ""
    bcd_device: int = 0
    speed: str = ""  # "low", "full", "high", "super", or "" if not known

    def __post_init__(self) -> None:
        for name in ("serial", "port"):  # as the device, or another computer, says
            object.__setattr__(self, name, printable(getattr(self, name)))

    def __str__(self) -> str:
        """The device as it is named in messages."""
        return f"{self.vendor:04x}:{self.product:04x} at {self.port or 'an unknown port'}"


class PendingRead(Protocol):
    """A read that has been submitted and not fetched."""

    def result(self, timeout: float) -> bytes:
        """Waits for the data. TransferTimeout (the transfer is then cancelled), Stalled, LinkLost, Cancelled."""

    def abandon(self) -> None:
        """Cancels the transfer; data that have arrived are lost."""


class Inbox(Protocol):
    """Messages of an interrupt endpoint, on which a read is always pending."""

    def next(self, timeout: float) -> bytes | None:
        """Returns the oldest message not yet fetched; None if none came in time. Stalled, LinkLost, Cancelled."""

    def close(self) -> None:
        """Cancels the pending read. Never raises."""


class UsbLink(Protocol):
    """One claimed interface of one device, and those that claim() adds.

    One thread uses it; any thread may call cancel() and now().
    """

    identity: UsbIdentity
    configuration: bytes  # the raw active configuration descriptor, class descriptors included

    def now(self) -> float:
        """The monotonic time in seconds. A driver uses no other clock."""

    def pause(self, seconds: float) -> None:
        """Waits. cancel() ends the wait with Cancelled."""

    def control_in(
        self, request_type: int, request: int, value: int, index: int, length: int, timeout: float = CONTROL_TIMEOUT_S
    ) -> bytes:
        """Sends a control request that returns up to `length` bytes. TransferTimeout, Stalled, LinkLost, Cancelled."""

    def control_out(
        self,
        request_type: int,
        request: int,
        value: int,
        index: int,
        data: bytes = b"",
        timeout: float = CONTROL_TIMEOUT_S,
    ) -> None:
        """Sends a control request with `data`. TransferTimeout, Stalled, LinkLost, Cancelled."""

    def read(self, endpoint: int, size: int, timeout: float) -> bytes:
        """Reads up to `size` bytes in one bulk or interrupt transfer. TransferTimeout, Stalled, LinkLost, Cancelled."""

    def write(self, endpoint: int, data: bytes, timeout: float) -> None:
        """Writes `data` in one bulk or interrupt transfer. TransferTimeout, Stalled, LinkLost, Cancelled."""

    def begin_read(self, endpoint: int, size: int, timeout: float) -> PendingRead:
        """Submits a read and returns. `timeout` limits its total time, including the wait in result().

        UsbMemoryFull if the host has no memory for it.
        """

    def listen(self, endpoint: int, size: int) -> Inbox:
        """Keeps a read of `size` bytes pending on an interrupt endpoint until the inbox is closed."""

    def claim(self, interface: int) -> None:
        """Claims another interface until close(). LinkLost, DeviceBusy or PermissionDenied if that is not possible."""

    def clear_halt(self, endpoint: int) -> None:
        """Clears the halt of an endpoint that stalled."""

    def cancel(self) -> None:
        """Ends the running wait with Cancelled, or the next one if none is running. Any thread may call it."""

    def close(self) -> None:
        """Releases the interfaces. Never raises; may be called twice."""
