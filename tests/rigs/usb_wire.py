"""A UsbWire that stores what a device model sends."""

from collections.abc import Callable

from simulators.transports.usb.device import UsbWire


class SentTransfers:
    """The host's end of a device model in the same thread. Its time stands still; delayed actions run immediately."""

    def __init__(self) -> None:
        self._sent: list[tuple[int, bytes]] = []

    def take(self) -> list[tuple[int, bytes]]:
        """What was sent since the last call: endpoint and data."""
        sent, self._sent = self._sent, []
        return sent

    def now(self) -> float:
        return 0.0

    def send(self, endpoint: int, data: bytes, after: float = 0.0) -> None:  # noqa: ARG002 - time stands still
        self._sent.append((endpoint, data))

    def later(self, seconds: float, action: Callable[[], None]) -> None:  # noqa: ARG002 - time stands still
        action()

    def stall(self, endpoint: int) -> None:
        raise AssertionError(endpoint)

    def drop(self, endpoint: int) -> None:
        self._sent = [transfer for transfer in self._sent if transfer[0] != endpoint]

    def pending(self, _endpoint: int) -> int:
        return 0

    def unplug(self) -> None:
        raise AssertionError


_: type[UsbWire] = SentTransfers
