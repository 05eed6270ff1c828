"""The claimed interfaces of one USB device: all that a driver sees of it. transfers.py keeps the contract."""

from dataclasses import dataclass
from typing import Protocol

CONTROL_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class UsbIdentity:
    """Which device: `port` as the kernel writes it (1-4.2), `serial` empty where it is not known without asking."""

    vendor: int
    product: int
    serial: str = ""
    port: str = ""
    bcd_device: int = 0
    speed: str = ""  # "low", "full", "high", "super", or "" when not known

    def __str__(self) -> str:
        """As messages name it."""
        return f"{self.vendor:04x}:{self.product:04x} at {self.port or 'an unknown port'}"


class PendingRead(Protocol):
    """A transfer from the device that is in flight."""

    def result(self, timeout: float) -> bytes:
        """The data. TransferTimeout (the transfer is then taken back), Stalled, LinkLost, Cancelled."""

    def abandon(self) -> None:
        """Take the transfer back; what has arrived of it is lost."""


class Inbox(Protocol):
    """Messages of an interrupt endpoint; a read is always pending there."""

    def next(self, timeout: float) -> bytes | None:
        """The oldest message not yet fetched; None when none came in time. Stalled, LinkLost, Cancelled."""

    def close(self) -> None:
        """Take the pending read back. Never raises."""


class UsbLink(Protocol):
    """One claimed interface of one device, and those that claim() adds.

    One thread uses it; cancel() and now() may come from any thread.
    """

    identity: UsbIdentity
    configuration: bytes  # the raw active configuration descriptor, class descriptors included

    def now(self) -> float:
        """Seconds, monotonic: the clock that a driver goes by."""

    def pause(self, seconds: float) -> None:
        """Wait; cancel() ends it with Cancelled."""

    def control_in(
        self, request_type: int, request: int, value: int, index: int, length: int, timeout: float = CONTROL_TIMEOUT_S
    ) -> bytes:
        """A control request that answers at most `length` bytes. TransferTimeout, Stalled, LinkLost, Cancelled."""

    def control_out(
        self,
        request_type: int,
        request: int,
        value: int,
        index: int,
        data: bytes = b"",
        timeout: float = CONTROL_TIMEOUT_S,
    ) -> None:
        """A control request with `data`. TransferTimeout, Stalled, LinkLost, Cancelled."""

    def read(self, endpoint: int, size: int, timeout: float) -> bytes:
        """One bulk or interrupt transfer of at most `size` bytes. TransferTimeout, Stalled, LinkLost, Cancelled."""

    def write(self, endpoint: int, data: bytes, timeout: float) -> None:
        """One bulk or interrupt transfer to the device. TransferTimeout, Stalled, LinkLost, Cancelled."""

    def begin_read(self, endpoint: int, size: int, timeout: float) -> PendingRead:
        """A read that is in flight when this returns; `timeout` bounds its whole life."""

    def listen(self, endpoint: int, size: int) -> Inbox:
        """Keep a read of `size` bytes pending on an interrupt endpoint until the inbox is closed."""

    def claim(self, interface: int) -> None:
        """One interface more, until close(). LinkLost (DeviceBusy and PermissionDenied are)."""

    def clear_halt(self, endpoint: int) -> None:
        """Let an endpoint that stalled go on."""

    def cancel(self) -> None:
        """End the running wait or, when none runs, the next one with Cancelled. From any thread; remembered."""

    def close(self) -> None:
        """Give the interface back. Never raises; may be called twice."""
