"""Emulates the system calls of Linux on the file of a USB device (usbfs), as far as libusb uses them.

The numbers are those of linux/usbdevice_fs.h on a 64-bit machine. This module does not use umockdev: the memory of the
calling process is passed as an Argument.
"""

import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from simulators.transports.usb.device import IN, Setup
from simulators.transports.usb.port import End, HostTransfer, UsbPort
from simulators.transports.usb.standard import descriptors

SETINTERFACE, SETCONFIGURATION, GETDRIVER, CLEAR_HALT = 0x80085504, 0x80045505, 0x41045508, 0x80045515
SUBMITURB, DISCARDURB, REAPURB, REAPURBNDELAY = 0x8038550A, 0x550B, 0x4008550C, 0x4008550D
CLAIM, RELEASE, RESETEP, RESET = 0x8004550F, 0x80045510, 0x80045503, 0x5514
GET_CAPABILITIES, DISCONNECT_CLAIM, GET_SPEED = 0x8004551A, 0x8108551B, 0x551F
OF_DRIVER, DISCONNECT, CONNECT = 0xC0105512, 0x5516, 0x5517  # detach or attach the kernel's driver of an interface
SPEEDS = {"low": 1, "full": 2, "high": 3, "super": 5}  # enum usb_device_speed

ENOENT, EAGAIN, EBUSY, ENODEV, EINVAL, ENOTTY, ENODATA = 2, 11, 16, 19, 22, 25, 61
URB_BYTES = 56
STATUS_AT, BUFFER_AT, ACTUAL_AT = 4, 16, 28
CONTROL_URB = 2
GETDRIVER_BYTES = 260  # number of the interface, name of its driver
INTERFACE, HID, VIDEO = 4, 3, 14  # type of a descriptor, classes of interfaces
VIDEO_STREAMING = bytes([VIDEO, 2])  # class and subclass
DRIVERS = {HID: b"usbhid\0", VIDEO: b"uvcvideo\0"}  # the Linux drivers of keyboards and mice, and of cameras
RECIPIENT, TO_INTERFACE, KIND, VENDOR = 0x1F, 0x01, 0x60, 0x40  # bits of the type of a control request
SETUP_BYTES = 8
URB_STATUS = {End.DONE: 0, End.STALLED: -32, End.GONE: -108}  # EPIPE, ESHUTDOWN
DISCARDED = -2  # ENOENT
# Zero-length packets, no limit on packet size, scatter-gather, reaping after unplugging. Without scatter-gather
# libusb would split reads into pieces of 16 KiB.
CAPABILITIES = 0x1D
NOTHING_S = 0.002  # delay of the answer "no transfer has ended", because libusb asks again without a pause

Reply = Callable[[int, int], None]
"""(result, errno): returns from one system call."""


class Argument(Protocol):
    """The argument of a system call: its bytes, and the memory of the caller that its pointers refer to."""

    def resolve(self, offset: int, length: int) -> "Argument | None":
        """The `length` bytes that the pointer at `offset` refers to."""

    def retrieve(self) -> bytes:
        """Read the bytes."""

    def update(self, offset: int, data: bytes) -> None:
        """Write bytes."""

    def set_ptr(self, offset: int, target: "Argument") -> None:
        """Write the address of `target`."""


class Scheduler(Protocol):
    """The single thread in which system calls are handled."""

    def call_soon(self, action: Callable[[], None]) -> None:
        """Run `action` next."""

    def call_later(self, seconds: float, action: Callable[[], None]) -> None:
        """Run `action` later."""


@dataclass(eq=False)
class _Urb:
    """A transfer that a caller has submitted."""

    caller: object
    address: bytes  # address of the caller's structure: identifies the transfer
    structure: Argument
    buffer: Argument | None
    head: int  # bytes of set-up before the data
    transfer: HostTransfer | None = None
    status: int = 0
    data: bytes = b""


class Usbfs:
    """The file of a device, from plugging in to unplugging. Every method runs in the scheduler's thread."""

    def __init__(self, port: UsbPort, configuration: bytes, scheduler: Scheduler) -> None:
        self._port = port
        self._plugs = port.plugs
        self._scheduler = scheduler
        self._claims: dict[int, object] = {}
        found = [d for d in descriptors(configuration) if d[1] == INTERFACE]
        self._drivers = {d[2]: DRIVERS[d[5]] for d in found if d[5] in DRIVERS}  # by interface
        self._with_kernel = set(self._drivers)
        self._streaming = {d[2] for d in found if d[5:7] == VIDEO_STREAMING}  # the driver takes them with video control
        self._in_flight: dict[bytes, _Urb] = {}
        self._ended: deque[_Urb] = deque()
        self._reaping: dict[object, tuple[Argument, Reply]] = {}
        self._calls: dict[int, Callable[[object, Argument, Reply], None]] = {
            SUBMITURB: self._submit,
            DISCARDURB: self._discard,
            REAPURB: self._reap,
            REAPURBNDELAY: self._reap,
            CLAIM: self._claim,
            DISCONNECT_CLAIM: self._claim,
            RELEASE: self._release,
            CLEAR_HALT: self._clear_halt,
            RESETEP: self._clear_halt,
            GET_CAPABILITIES: self._capabilities,
            GETDRIVER: self._driver,
            OF_DRIVER: self._order_driver,
            SETCONFIGURATION: lambda _caller, _argument, reply: reply(0, 0),
            RESET: lambda _caller, _argument, reply: reply(0, 0),
            SETINTERFACE: self._set_interface,
            GET_SPEED: lambda _caller, _argument, reply: reply(SPEEDS[port.model.description.speed], 0),
        }

    @property
    def _there(self) -> bool:
        return self._port.plugged and self._port.plugs == self._plugs

    def handle(self, caller: object, request: int, argument: Argument, reply: Reply) -> None:
        """Handle one system call."""
        call = self._calls.get(request & 0xFFFFFFFF)
        if call is None:
            reply(-1, ENOTTY)
        elif not self._there and call != self._reap:
            reply(-1, ENODEV)
        else:
            call(caller, argument, reply)

    def closed(self, caller: object) -> None:
        """A caller has closed the file, or died."""
        self._claims = {number: owner for number, owner in self._claims.items() if owner is not caller}
        self._reaping.pop(caller, None)
        self._ended = deque(urb for urb in self._ended if urb.caller is not caller)
        for urb in [urb for urb in self._in_flight.values() if urb.caller is caller]:
            del self._in_flight[urb.address]
            if urb.transfer is not None:
                self._port.unlink(urb.transfer)

    # Claims

    def _claim(self, caller: object, argument: Argument, reply: Reply) -> None:
        number = self._number(argument)
        if number not in self._with_kernel and self._claims.setdefault(number, caller) is caller:
            reply(0, 0)
        else:
            reply(-1, EBUSY)

    def _release(self, caller: object, argument: Argument, reply: Reply) -> None:
        number = self._number(argument)
        if self._claims.get(number) is caller:
            del self._claims[number]
            reply(0, 0)
        else:
            reply(-1, EINVAL)

    def _number(self, argument: Argument) -> int:
        memory = argument.resolve(0, 4)
        return int.from_bytes(memory.retrieve()[:4], "little") if memory else 0

    def _driver(self, _caller: object, argument: Argument, reply: Reply) -> None:
        """Return the name of the kernel driver that serves an interface."""
        memory = argument.resolve(0, GETDRIVER_BYTES)  # once: it cannot be resolved again with another length
        number = int.from_bytes(memory.retrieve()[:4], "little") if memory else 0
        if memory is None or number not in self._with_kernel:
            reply(-1, ENODATA)
            return
        memory.update(4, self._drivers[number])
        reply(0, 0)

    def _order_driver(self, _caller: object, argument: Argument, reply: Reply) -> None:
        """Detach the kernel driver from an interface, or attach it again. The HID driver (keyboard) is not detached."""
        memory = argument.resolve(0, 16)
        number, order = struct.unpack("<II", memory.retrieve()[:8]) if memory else (0, 0)
        driver = self._drivers.get(number)
        if order == DISCONNECT and driver == DRIVERS[VIDEO] and number in self._with_kernel:
            self._with_kernel.discard(number)
            reply(0, 0)
        elif order == CONNECT and driver == DRIVERS[VIDEO] and number not in {*self._claims, *self._streaming}:
            self._with_kernel |= {number, *self._streaming} - set(self._claims)
            reply(0, 0)
        else:
            reply(-1, EBUSY if number in self._with_kernel else ENODATA)

    def _refused(self, caller: object, setup: Setup) -> bool:
        """True if a control request is for an interface that the kernel or another program has claimed.

        An interface that is free is claimed by the request. Vendor requests are not checked.
        """
        if setup.request_type & RECIPIENT != TO_INTERFACE or setup.request_type & KIND == VENDOR:
            return False
        number = setup.index & 0xFF
        return number in self._with_kernel or self._claims.setdefault(number, caller) is not caller

    def _clear_halt(self, _caller: object, argument: Argument, reply: Reply) -> None:
        self._port.clear_halt(self._number(argument))
        reply(0, 0)

    def _capabilities(self, _caller: object, argument: Argument, reply: Reply) -> None:
        memory = argument.resolve(0, 4)
        if memory:
            memory.update(0, CAPABILITIES.to_bytes(4, "little"))
        reply(0, 0)

    def _set_interface(self, _caller: object, argument: Argument, reply: Reply) -> None:
        memory = argument.resolve(0, 8)
        interface, alternate = struct.unpack("<II", memory.retrieve()[:8]) if memory else (0, 0)
        setup = Setup(0x01, 11, alternate, interface, 0)
        self._port.submit(HostTransfer(0, 0, lambda _end, _data: None, b"", setup))
        reply(0, 0)

    # Transfers

    def _submit(self, caller: object, argument: Argument, reply: Reply) -> None:
        address = argument.retrieve()[:8]  # resolving replaces it by an address in this process
        structure = argument.resolve(0, URB_BYTES)
        if structure is None:
            reply(-1, EINVAL)
            return
        fields = structure.retrieve()
        length = int.from_bytes(fields[24:28], "little")
        buffer = structure.resolve(BUFFER_AT, length) if length else None
        content = buffer.retrieve() if buffer else b""
        control = fields[0] == CONTROL_URB
        urb = _Urb(caller, address, structure, buffer, SETUP_BYTES if control else 0)
        urb.transfer = self._transfer(urb, fields[1], length, content, control=control)
        if urb.transfer.setup is not None and self._refused(caller, urb.transfer.setup):
            reply(-1, EBUSY)
            return
        self._in_flight[urb.address] = urb
        reply(0, 0)
        self._port.submit(urb.transfer)

    def _transfer(self, urb: _Urb, endpoint: int, length: int, content: bytes, *, control: bool) -> HostTransfer:
        def complete(end: End, data: bytes) -> None:
            """Called in any thread."""
            self._scheduler.call_soon(lambda: self._end(urb, URB_STATUS[end], data))

        if control:
            setup = Setup.from_bytes(content[:SETUP_BYTES])
            inward = setup.request_type & IN
            return HostTransfer(0, setup.length, complete, b"" if inward else content[SETUP_BYTES:], setup)
        return HostTransfer(endpoint, length, complete, b"" if endpoint & IN else content)

    def _end(self, urb: _Urb, status: int, data: bytes) -> None:
        if self._in_flight.pop(urb.address, None) is urb:
            urb.status, urb.data = status, data
            self._ended.append(urb)
            self._answer_reaping()

    def _discard(self, _caller: object, argument: Argument, reply: Reply) -> None:
        urb = self._in_flight.get(argument.retrieve()[:8])
        if urb is None or urb.transfer is None or not self._port.unlink(urb.transfer):
            reply(-1, EINVAL)
            return
        reply(0, 0)
        self._end(urb, DISCARDED, b"")

    def _reap(self, caller: object, argument: Argument, reply: Reply) -> None:
        self._reaping[caller] = (argument, reply)
        self._answer_reaping()
        if self._reaping.get(caller) == (argument, reply):
            self._scheduler.call_later(NOTHING_S, lambda: self._nothing(caller, argument, reply))

    def _nothing(self, caller: object, argument: Argument, reply: Reply) -> None:
        if self._reaping.get(caller) == (argument, reply):
            del self._reaping[caller]
            reply(-1, EAGAIN if self._there else ENODEV)

    def _answer_reaping(self) -> None:
        for urb in tuple(self._ended):
            if urb.caller in self._reaping:
                argument, reply = self._reaping.pop(urb.caller)
                self._ended.remove(urb)
                self._write_back(urb)
                where = argument.resolve(0, 8)
                if where:
                    where.set_ptr(0, urb.structure)
                reply(0, 0)

    def _write_back(self, urb: _Urb) -> None:
        transfer = urb.transfer
        count = len(urb.data)
        if urb.buffer and urb.data:
            urb.buffer.update(urb.head, urb.data)
        elif transfer is not None and urb.status == 0:
            count = len(transfer.data)
        urb.structure.update(STATUS_AT, urb.status.to_bytes(4, "little", signed=True))
        urb.structure.update(ACTUAL_AT, count.to_bytes(4, "little"))
