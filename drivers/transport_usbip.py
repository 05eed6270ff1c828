"""USB devices that a USB/IP server exports: a backend of pyusb over TCP, no kernel and no root needed."""

from drivers.usb_link import UsbLink
from drivers.usb_url import UsbIpUrl


def open_usbip(url: UsbIpUrl, interface: int) -> UsbLink:
    """Import the device and claim one of its interfaces. LinkLost (DeviceTaken is one) says why not."""
    raise NotImplementedError
