"""Opens the USB device that a URL names: with libusb on this machine, or over USB/IP."""

from collections.abc import Callable

from drivers.usb.configuration import WantedInterface
from drivers.usb.link import UsbLink
from drivers.usb.url import AnyUsbUrl, UsbIpUrl
from drivers.usb.usbip import begin_usbip, open_usbip

OpenLink = Callable[[AnyUsbUrl, WantedInterface], UsbLink]
"""Opens a device and claims one of its interfaces."""


def open_link(url: AnyUsbUrl, interface: WantedInterface = 0) -> UsbLink:
    """Opens the device and claims one of its interfaces.

    LinkLost if that is not possible: DeviceBusy if another program holds the device, PermissionDenied if this account
    may not open it. ProtocolError if the device has no such interface.
    """
    if isinstance(url, UsbIpUrl):
        return open_usbip(url, interface)
    from drivers.usb.local import open_usb  # noqa: PLC0415 - a kiosk without USB sensors needs no libusb

    return open_usb(url, interface)


def begin_link(url: AnyUsbUrl, interface: WantedInterface = 0) -> UsbLink:
    """Like open_link(), but does not wait for a USB/IP server.

    If the server refuses, the first use of the link raises the error. cancel() can end that wait.
    """
    if isinstance(url, UsbIpUrl):
        return begin_usbip(url, interface)
    return open_link(url, interface)  # takes no time on this machine
