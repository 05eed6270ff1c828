"""The device model and the cable of a simulated USB host, controlled from outside through its control socket."""

import threading

from simulators.transports.faults import Value
from simulators.transports.usb.machine import SimulatedUsbHost


class RemoteFaults:
    """The faults of the device on a simulated USB host."""

    def __init__(self, usb_host: SimulatedUsbHost) -> None:
        self._usb_host = usb_host

    def pending(self) -> dict[str, int]:
        """Name and remaining times of each pending fault."""
        faults: dict[str, int] = self._usb_host.remote.status()["faults"]
        return faults

    @property
    def has(self) -> tuple[str, ...]:
        """Names of the faults that the device supports."""
        return tuple(self._usb_host.remote.faults())


class RemoteModel:
    """The device on a simulated USB host."""

    def __init__(self, usb_host: SimulatedUsbHost) -> None:
        self.usb_host = usb_host
        self.faults = RemoteFaults(usb_host)

    def inject(self, name: str, *, times: int | None = None, **params: Value) -> None:
        """Add a pending fault."""
        self.usb_host.remote.fault(name, times=times, **params)

    def clear_faults(self) -> None:
        """Remove all pending faults."""
        self.usb_host.remote.clear()


class RemoteConnection:
    """The cable of the device. Its context runs the simulated USB host, where the device is plugged in at start."""

    def __init__(self, usb_host: SimulatedUsbHost) -> None:
        self._usb_host = usb_host
        self._unplugged = threading.Event()

    def __enter__(self) -> object:
        return self._usb_host.__enter__()

    def __exit__(self, *why: object) -> None:
        self._usb_host.__exit__(None, None, None)

    @property
    def unplugged(self) -> threading.Event:
        """Set while the cable is unplugged. The event is updated only here, so ask again for the current state."""
        if self._usb_host.remote.status()["plugged"]:
            self._unplugged.clear()
        else:
            self._unplugged.set()
        return self._unplugged

    def unplug_after(self, count: int) -> None:
        """Unplug the cable after `count` more bytes to the host."""
        self._usb_host.remote.unplug(count)

    def replug(self) -> None:
        """Plug the cable in again."""
        self._usb_host.remote.replug()
