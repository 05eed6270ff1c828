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


# The usual adapters from USB to a serial line, for sensors that have no USB of their own.
SERIAL_ADAPTERS = (
    UsbMatch(0x10C4, 0xEA60, "Silicon Labs CP210x", "tty"),
    UsbMatch(0x1A86, 0x7523, "WCH CH340", "tty"),
    UsbMatch(0x1A86, 0x5523, "WCH CH341", "tty"),
    UsbMatch(0x0403, 0x6001, "FTDI FT232R", "tty"),
    UsbMatch(0x0403, 0x6015, "FTDI FT-X", "tty"),
)
