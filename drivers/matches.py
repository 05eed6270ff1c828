"""What a driver declares of its devices, so that udev rules can be generated."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class UsbMatch:
    """One USB device by vendor and product id.

    subsystem `tty`: a serial adapter, opened as a tty; `usb`: the device itself, opened through usbfs.
    """

    vendor: int
    product: int
    name: str
    subsystem: Literal["tty", "usb"]


@dataclass(frozen=True, slots=True)
class ClassMatch:
    """Every USB device with an interface of a class and subclass, whoever made it.

    subsystem `usb`: the device itself; `video4linux`: the video nodes that the kernel makes of it.
    """

    interface_class: int
    subclass: int
    name: str
    subsystem: Literal["usb", "video4linux"]


Match = UsbMatch | ClassMatch
