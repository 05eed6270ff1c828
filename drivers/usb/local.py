"""USB devices of this machine through pyusb and libusb: finds a device, claims its interfaces, submits transfers."""

import errno
import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

import usb.backend.libusb1
from usb.core import USBError

from drivers.errors import (
    GRANT_ACCESS_COMMAND,
    POLICY_ADVICE,
    DeviceBusy,
    LinkLost,
    PermissionDenied,
    PolicyDenied,
    ProtocolError,
)
from drivers.usb.configuration import WantedInterface, endpoint_types, interface_number
from drivers.usb.libusb import BULK, CONTROL, NO_DEVICE, EventThread, LibusbFunctions, SubmittedTransfer
from drivers.usb.link import UsbIdentity, UsbLink
from drivers.usb.sysfs import PluggedInDevice, plugged_in, raw_configuration
from drivers.usb.transfers import CANCEL_TIMEOUT_S, Link, Outcome, ThreadedBackend, Transfer, memory_full
from drivers.usb.url import UsbUrl

ACCESS, BUSY, NO_MEMORY = -3, -6, -11  # error codes of libusb
NO_PERMISSION = f"no permission; to grant it to this account, run: {GRANT_ACCESS_COMMAND}"
IN_USE = "another program holds the device"

log = logging.getLogger(__name__)

PyusbBackend = Any  # pyusb has no types
Handle = Any


def find_usb() -> list[UsbIdentity]:
    """Returns every attached USB device, in the order of the ports. Sends nothing to a device."""
    return [device.identity for device in plugged_in()]


def open_usb(url: UsbUrl, interface: WantedInterface = 0) -> UsbLink:
    """Finds the device and claims one of its interfaces.

    LinkLost, DeviceBusy or PermissionDenied if that is not possible. ProtocolError if it has no such interface.
    """
    device = _choose(url, [device for device in plugged_in() if _has_ids(device, url)])
    backend = _backend()
    try:
        return Link(_LibusbTransfers(backend, _handle(backend, device), device, interface))
    except USBError as error:
        raise _lost(device, error) from error


def _has_ids(device: PluggedInDevice, url: UsbUrl) -> bool:
    return (device.identity.vendor, device.identity.product) == (url.vendor, url.product)


def _choose(url: UsbUrl, found: list[PluggedInDevice]) -> PluggedInDevice:
    """Returns the device that the URL names, never another one with the same ids."""
    named = [device for device in found if _is_named(device, url)]
    if not named:
        others = f"; one with the same ids is at {', '.join(map(_where, found))}" if found else ""
        raise LinkLost(f"{url}: not plugged in{others}")
    if len(named) > 1:
        places = [_where(device) for device in named]
        raise LinkLost(
            f"{url}: {len(named)} such devices are plugged in, at {', '.join(places)}: name one, as in "
            f"{lasting_url(named[0])}"
        )
    if url.port and named[0].path:
        _warn_of_bus_number(url, lasting_url(named[0]))
    return named[0]


def _is_named(device: PluggedInDevice, url: UsbUrl) -> bool:
    known = device.identity
    return url.path in ("", device.path) and url.port in ("", known.port) and url.serial in ("", known.serial)


def _where(device: PluggedInDevice) -> str:
    return device.path or device.identity.port


def lasting_url(device: PluggedInDevice) -> UsbUrl:
    """The URL of a device by its socket. It names the same socket after a restart, if sysfs shows the controller."""
    port = "" if device.path else device.identity.port
    return UsbUrl(device.identity.vendor, device.identity.product, port=port, path=device.path)


@cache
def _warn_of_bus_number(url: UsbUrl, better: UsbUrl) -> None:
    """Warn once: the device is opened again after each fault."""
    log.warning("%s: the number of the bus can change at the next start of the computer; write %s", url, better)


@cache
def _backend() -> PyusbBackend:
    """The libusb backend of pyusb, loaded once. LinkLost if libusb is not installed."""
    backend = usb.backend.libusb1.get_backend()
    if backend is None:
        raise LinkLost("libusb 1.0 is not installed; on Debian: apt install libusb-1.0-0")
    # pyusb calls libusb_exit when the program ends. While a link is open, the event thread still uses what that frees,
    # and libusb aborts the process (exit status 134). The kernel frees all of it anyway.
    backend._finalizer.detach()  # noqa: SLF001 - pyusb has no other way
    return backend


@cache
def _functions() -> LibusbFunctions:
    return LibusbFunctions(_backend().lib)


@cache
def _events() -> EventThread:
    return EventThread(_functions(), _backend().ctx)


def _handle(backend: PyusbBackend, device: PluggedInDevice) -> Handle:
    for candidate in backend.enumerate_devices():
        descriptor = backend.get_device_descriptor(candidate)
        if (descriptor.bus, descriptor.address) == (device.bus, device.address):
            return backend.open_device(candidate)
    raise LinkLost(f"{device.identity}: just unplugged")


def _lost(device: PluggedInDevice, error: USBError) -> LinkLost:
    if error.backend_error_code == BUSY:
        return DeviceBusy(f"{device.identity}: {IN_USE}")
    if error.backend_error_code == ACCESS:
        return PermissionDenied(f"{device.identity}: {NO_PERMISSION}")
    if _forbidden_by_policy(device):  # libusb reports that as an error of input and output
        return PolicyDenied(f"{device.identity}: {POLICY_ADVICE}")
    return LinkLost(f"{device.identity}: {error.strerror}")


def _forbidden_by_policy(device: PluggedInDevice) -> bool:
    """Whether the kernel refuses to open the device file with EPERM, which is not about the account."""
    try:
        os.close(os.open(device.node, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return error.errno == errno.EPERM
    return False


class _LibusbTransfers(ThreadedBackend):
    """A TransferBackend on libusb."""

    def __init__(
        self, backend: PyusbBackend, handle: Handle, device: PluggedInDevice, interface: WantedInterface
    ) -> None:
        super().__init__()
        self._backend = backend
        self._handle = handle
        self._device = device
        self._node = device.node
        self._claimed: list[int] = []
        self._detached: list[int] = []  # from a kernel driver, which gets them back
        self._in_flight = set[SubmittedTransfer]()
        self._lock = threading.Lock()
        self.identity = device.identity
        try:
            self.configuration = raw_configuration(device.identity.port, self._configure())
            self._claim(self._numbered(interface))
        except BaseException:
            self._release()
            backend.close_device(handle)
            raise
        _events().acquire()
        self._types = endpoint_types(self.configuration)

    def _configure(self) -> int:
        """The active configuration; sets the first one if none is active.

        umockdev refuses these requests when it plays a recording; that does no harm.
        """
        with suppress(USBError):
            active = int(self._backend.get_configuration(self._handle))
            if active:
                return active
            self._backend.set_configuration(self._handle, 1)
        return 1

    def _numbered(self, wanted: WantedInterface) -> int:
        number = interface_number(self.configuration, wanted)
        if number is None:
            raise ProtocolError(
                f"{self.identity}: has no interface of class {wanted}; is it the device that its id names?"
            )
        return number

    def claim(self, interface: int) -> None:
        """Claims another interface until close()."""
        if interface in self._claimed:
            return
        try:
            self._claim(interface)
        except USBError as error:
            raise _lost(self._device, error) from error

    def _claim(self, interface: int) -> None:
        with suppress(USBError):  # the kernel may have no driver, or not support the question
            if self._backend.is_kernel_driver_active(self._handle, interface):
                self._backend.detach_kernel_driver(self._handle, interface)
                self._detached.append(interface)
        self._backend.claim_interface(self._handle, interface)
        self._claimed.append(interface)

    def _release(self) -> None:
        """Releases all interfaces before the kernel gets one back, because its driver may need the others too.

        The last one claimed is released first.
        """
        for interface in reversed(self._claimed):
            with suppress(USBError):
                self._backend.release_interface(self._handle, interface)
        for interface in reversed(self._detached):
            with suppress(USBError):
                self._backend.attach_kernel_driver(self._handle, interface)

    def submit(self, transfer: Transfer) -> None:
        """Submits a transfer."""
        kind = CONTROL if transfer.setup else self._types.get(transfer.endpoint, BULK)
        submitted = SubmittedTransfer(_functions(), self._handle.handle, transfer, kind, self)
        with self._lock:
            self._in_flight.add(submitted)
            code = submitted.submit()
            if code:
                self._in_flight.discard(submitted)
        if code == NO_DEVICE or (code and not self.present()):
            raise LinkLost(f"{self.identity}: unplugged")
        if code == NO_MEMORY:
            raise memory_full(self.identity)
        if code:
            raise ProtocolError(f"{self.identity}: libusb refuses a transfer (code {code}); check cable and hub")

    def cancel_transfer(self, transfer: Transfer) -> None:
        """Cancels a transfer; it ends later."""
        self._cancel(lambda submitted: submitted.transfer is transfer)

    def _cancel(self, chosen: Callable[[SubmittedTransfer], bool]) -> None:
        with self._lock:  # libusb must not be asked to cancel a transfer that has completed
            for submitted in filter(chosen, self._in_flight):
                submitted.cancel()

    def completed(self, submitted: SubmittedTransfer, outcome: Outcome, data: bytes) -> None:
        """A transfer has ended. Called in the event thread."""
        with self._lock:
            self._in_flight.discard(submitted)
            submitted.free()
        self.finish(submitted.transfer, outcome, data)

    def clear_halt(self, endpoint: int) -> None:
        """Clears the halt of an endpoint that stalled."""
        try:
            self._backend.clear_halt(self._handle, endpoint)
        except USBError as error:
            if error.backend_error_code == NO_DEVICE or not self.present():
                raise LinkLost(f"{self.identity}: unplugged") from error

    def present(self) -> bool:
        """Whether the device file still exists."""
        return self._node.exists()

    def close(self) -> None:
        """Cancels all transfers and releases the interfaces."""
        self._cancel(lambda _: True)
        self.wait(lambda: not self._in_flight, CANCEL_TIMEOUT_S)
        self._release()
        self._backend.close_device(self._handle)
        _events().release()
