"""Which simulated USB devices are plugged in where: what a factory hands to the umockdev binding."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from simulators.transports.remote import Answer
from simulators.transports.usb.device import UsbModel


@dataclass(frozen=True)
class Device:
    """A model and the socket that it is plugged into (1-1 to 1-15)."""

    model: UsbModel
    port: str = "1-1"
    bytes_per_s: float | None = None  # the pace of the wire; None: as fast as it goes


@dataclass(frozen=True)
class Bench:
    """The devices of a simulated machine, and the orders that they understand: press, lift and so on."""

    devices: tuple[Device, ...]
    orders: Mapping[str, Callable[..., Answer | None]] = field(default_factory=dict)
