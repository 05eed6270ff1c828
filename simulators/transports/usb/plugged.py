"""The simulated USB devices of one host and the ports they are plugged into: what a factory returns to umockdev.py."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from simulators.transports.remote import Answer
from simulators.transports.usb.device import UsbModel


@dataclass(frozen=True)
class Device:
    """A model and the port that it is plugged into (1-1 to 1-15)."""

    model: UsbModel
    port: str = "1-1"
    bytes_per_s: float | None = None  # transfer rate; None: no limit


@dataclass(frozen=True)
class PluggedDevices:
    """The devices of a simulated host, and the handlers of its control socket: press, lift and so on."""

    devices: tuple[Device, ...]
    handlers: Mapping[str, Callable[..., Answer | None]] = field(default_factory=dict)
