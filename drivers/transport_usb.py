"""USB devices of this machine by pyusb and libusb: finding them, claiming an interface, moving transfers."""

from drivers.errors import Stalled, TransferTimeout
from drivers.usb_link import Inbox, PendingRead, UsbIdentity, UsbLink
from drivers.usb_url import UsbIpUrl, UsbUrl

__all__ = ["Inbox", "PendingRead", "Stalled", "TransferTimeout", "UsbIdentity", "UsbIpUrl", "UsbLink", "UsbUrl"]


def open_usb(url: UsbUrl, interface: int) -> UsbLink:
    """Find the device and claim one of its interfaces. LinkLost (DeviceTaken is one) says why not."""
    raise NotImplementedError
