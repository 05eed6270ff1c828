"""Bytes to and from a device: the contract, and open_transport(url) for the ends we have."""

from typing import Protocol


class Transport(Protocol):
    """A byte stream. One thread reads and writes; cancel() may come from any thread. Raises LinkLost and Cancelled."""

    def read(self, timeout: float) -> bytes:
        """What has arrived, waiting at most `timeout` seconds for the first byte. Empty bytes: nothing yet."""

    def write(self, data: bytes) -> None:
        """Send everything."""

    def cancel(self) -> None:
        """End the running read or, when none runs, the next one with Cancelled. Remembered until it has ended one."""

    def close(self) -> None:
        """Give the port back. Never raises; may be called twice."""
