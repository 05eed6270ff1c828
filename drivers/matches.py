"""Types with which a driver declares its devices. udev.py makes the udev rules from them."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class UsbMatch:
    """A USB device, by vendor and product id.

    subsystem `tty`: a serial adapter, opened as a tty that the kernel module `module` creates. `usb`: the device
    itself, opened through usbfs.
    """

    vendor: int
    product: int
    name: str
    subsystem: Literal["tty", "usb"]
    module: str = ""


@dataclass(frozen=True, slots=True)
class ClassMatch:
    """Every USB device that has an interface of this class and subclass, from any manufacturer.

    subsystem `usb`: the device itself. `video4linux`, `tty`: what the kernel creates for it, for `tty` with `module`.
    """

    interface_class: int
    subclass: int
    name: str
    subsystem: Literal["usb", "video4linux", "tty"]
    module: str = ""


Match = UsbMatch | ClassMatch


_ADAPTERS: dict[str, tuple[tuple[int, int, str], ...]] = {  # by the kernel module that makes a tty of them
    "cp210x": (
        (0x10C4, 0xEA60, "Silicon Labs CP210x"),
        (0x10C4, 0xEA70, "Silicon Labs CP2105"),
        (0x10C4, 0xEA71, "Silicon Labs CP2108"),
    ),
    "ch341": (
        (0x1A86, 0x7523, "WCH CH340"),
        (0x1A86, 0x7522, "WCH CH340K"),
        (0x1A86, 0x5523, "WCH CH341"),
    ),
    "cdc_acm": (
        (0x1A86, 0x55D2, "WCH CH342"),
        (0x1A86, 0x55D3, "WCH CH343"),
        (0x1A86, 0x55D4, "WCH CH9102"),
    ),
    "ftdi_sio": (
        (0x0403, 0x6001, "FTDI FT232R"),
        (0x0403, 0x6010, "FTDI FT2232"),
        (0x0403, 0x6011, "FTDI FT4232"),
        (0x0403, 0x6014, "FTDI FT232H"),
        (0x0403, 0x6015, "FTDI FT-X"),
    ),
    "pl2303": (
        (0x067B, 0x2303, "Prolific PL2303"),
        (0x067B, 0x23A3, "Prolific PL2303GC"),
        (0x067B, 0x23B3, "Prolific PL2303GB"),
        (0x067B, 0x23C3, "Prolific PL2303GT"),
        (0x067B, 0x23D3, "Prolific PL2303GL"),
        (0x067B, 0x23E3, "Prolific PL2303GE"),
        (0x067B, 0x23F3, "Prolific PL2303GS"),
    ),
}
COMMUNICATION, ABSTRACT_CONTROL = 0x02, 0x02  # class and subclass of a USB serial port (CDC ACM)

# USB-to-serial adapters, for sensors without USB.
SERIAL_ADAPTERS: tuple[Match, ...] = (
    *(UsbMatch(*row, "tty", module) for module, rows in _ADAPTERS.items() for row in rows),
    ClassMatch(COMMUNICATION, ABSTRACT_CONTROL, "USB serial port (CDC ACM)", "tty", "cdc_acm"),
)
