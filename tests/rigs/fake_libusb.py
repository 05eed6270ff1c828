"""A libusb of one process: the calls of pyusb's backend and of LibusbFunctions, for one device. It keeps what was done.

A transfer is written into a real struct libusb_transfer and completed through its callback, as libusb does it.
"""

import ctypes
import errno
import threading
from dataclasses import dataclass, field

from usb.core import USBError

from drivers.usb.libusb import LibusbTransfer

COMPLETED, CANCELLED, STALL, NO_DEVICE = 0, 3, 4, 5  # enum libusb_transfer_status


@dataclass
class FakeLibusb:
    """One device at bus 1. `fail[call]` is the libusb code with which the next such call fails."""

    address: int = 5
    active_configuration: int = 1
    kernel_drivers: set[int] = field(default_factory=set)
    fail: dict[str, int] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    submit_code: int = 0
    transfers: dict[int, LibusbTransfer] = field(default_factory=dict)
    event_thread: threading.Thread = field(default_factory=threading.Thread)  # of the last cancel

    bus = 1
    handle = 0

    def _do(self, call: str, *arguments: int) -> None:
        if code := self.fail.pop(call, 0):
            raise USBError("refused", code, errno.EIO)
        self.done.append(" ".join([call, *map(str, arguments)]))

    # pyusb's backend

    def enumerate_devices(self) -> list["FakeLibusb"]:
        return [self]

    def get_device_descriptor(self, _: object) -> "FakeLibusb":
        return self

    def open_device(self, _: object) -> "FakeLibusb":
        self._do("open")
        return self

    def close_device(self, _: object) -> None:
        self._do("close")

    def get_configuration(self, _: object) -> int:
        return self.active_configuration

    def set_configuration(self, _: object, value: int) -> None:
        self._do("configure", value)

    def is_kernel_driver_active(self, _: object, interface: int) -> bool:
        return interface in self.kernel_drivers

    def detach_kernel_driver(self, _: object, interface: int) -> None:
        self._do("detach", interface)

    def attach_kernel_driver(self, _: object, interface: int) -> None:
        self._do("attach", interface)

    def claim_interface(self, _: object, interface: int) -> None:
        self._do("claim", interface)

    def release_interface(self, _: object, interface: int) -> None:
        self._do("release", interface)

    def clear_halt(self, _: object, endpoint: int) -> None:
        self._do("clear_halt", endpoint)

    # LibusbFunctions

    def alloc(self, _: int) -> int:
        transfer = LibusbTransfer()
        address = ctypes.addressof(transfer)
        self.transfers[address] = transfer
        return address

    def free(self, address: int) -> None:
        del self.transfers[address]

    def submit(self, _: int) -> int:
        return self.submit_code

    def cancel(self, address: int) -> None:
        """Complete the transfer in another thread, as libusb does."""
        self.done.append("cancel")
        self.event_thread = threading.Thread(target=self.complete, args=(address, CANCELLED))
        self.event_thread.start()

    # What the device does

    @property
    def only(self) -> int:
        """The address of the only transfer in flight."""
        (address,) = self.transfers
        return address

    def complete(self, address: int, status: int, data: bytes = b"") -> None:
        """End a transfer; of a control transfer the data come after its setup packet."""
        transfer = self.transfers[address]
        start = transfer.buffer + (8 if transfer.type == 0 else 0)
        ctypes.memmove(start, data, len(data))
        transfer.actual_length, transfer.status = len(data), status
        transfer.callback(address)
