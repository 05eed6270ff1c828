"""Types with which a driver declares its devices. udev.py makes the udev rules from them."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class UsbMatch:
    """A USB device, by vendor and product id.

    subsystem `tty`: a serial adapter, opened as a tty. `usb`: the device itself, opened through usbfs.
    """

    vendor: int
    product: int
    name: str
    subsystem: Literal["tty", "usb"]


@dataclass(frozen=True, slots=True)
class ClassMatch:
    """Every USB device that has an interface of this class and subclass, from any manufacturer.

    subsystem `usb`: the device itself. `video4linux`: the video devices that the kernel creates for it.
    """

    interface_class: int
    subclass: int
    name: str
    subsystem: Literal["usb", "video4linux"]


Match = UsbMatch | ClassMatch


# Common USB-to-serial adapters, for sensors without USB.
SERIAL_ADAPTERS = (
    UsbMatch(0x10C4, 0xEA60, "Silicon Labs CP210x", "tty"),
    UsbMatch(0x1A86, 0x7523, "WCH CH340", "tty"),
    UsbMatch(0x1A86, 0x5523, "WCH CH341", "tty"),
    UsbMatch(0x0403, 0x6001, "FTDI FT232R", "tty"),
    UsbMatch(0x0403, 0x6015, "FTDI FT-X", "tty"),
)
