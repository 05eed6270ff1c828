"""The system calls of libusb on the file of a simulated USB device, with the memory of the caller in this process."""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from simulators.transports.usb.device import UsbDescription
from simulators.transports.usb.port import UsbPort
from simulators.transports.usb.standard import (
    CONFIGURATION,
    GET_DESCRIPTOR,
    configuration_descriptor,
    interface_descriptor,
)
from simulators.transports.usb.usbfs import (
    ACTUAL_AT,
    BUFFER_AT,
    CAPABILITIES,
    CLAIM,
    CLEAR_HALT,
    CONNECT,
    CONTROL_URB,
    DISCARDED,
    DISCARDURB,
    DISCONNECT,
    DISCONNECT_CLAIM,
    EAGAIN,
    EBUSY,
    EINVAL,
    ENODATA,
    ENODEV,
    ENOTTY,
    GET_CAPABILITIES,
    GET_SPEED,
    GETDRIVER,
    GETDRIVER_BYTES,
    NOTHING_S,
    OF_DRIVER,
    REAPURB,
    REAPURBNDELAY,
    RELEASE,
    RESET,
    SETCONFIGURATION,
    SETINTERFACE,
    STATUS_AT,
    SUBMITURB,
    URB_BYTES,
    Usbfs,
)
from tests.rigs.usb_echo import BELL, IN, OUT, VENDOR_IN, Echo
from tests.rigs.usb_echo import CONFIGURATION as ECHO_CONFIGURATION
from tests.rigs.virtual_usb import VirtualTime

BULK_URB = 3
LENGTH_AT = 24
CAMERA = configuration_descriptor(
    interface_descriptor(0, 0, 0, (14, 1, 0)),
    interface_descriptor(1, 0, 0, (14, 2, 0)),
    interface_descriptor(2, 0, 0, (3, 1, 1)),
    interfaces=3,
)
CONTROL, STREAMING, KEYBOARD = 0, 1, 2  # interfaces of CAMERA
ME, OTHER = "this program", "another program"
OK = (0, 0)


class Memory:
    """Some bytes of the caller. Pointers in them refer to other memory."""

    def __init__(self, content: bytes = b"", pointers: "dict[int, Memory] | None" = None) -> None:
        self.content = bytearray(content)
        self.pointers = pointers or {}

    def resolve(self, offset: int, length: int) -> "Memory | None":
        target = self.pointers.get(offset)
        assert target is None or len(target.content) == length
        return target

    def retrieve(self) -> bytes:
        return bytes(self.content)

    def update(self, offset: int, data: bytes) -> None:
        self.content[offset : offset + len(data)] = data

    def set_ptr(self, offset: int, target: object) -> None:
        assert isinstance(target, Memory)
        self.pointers[offset] = target


def pointer(content: bytes, address: int = 1) -> Memory:
    """An argument that is the address of `content`."""
    return Memory(struct.pack("<Q", address), {0: Memory(content)})


def number(value: int) -> Memory:
    return pointer(struct.pack("<I", value))


_addresses: Iterator[int] = iter(range(0x1000, 1 << 30, 0x100))


class Urb:
    """A transfer in the memory of the caller."""

    def __init__(self, endpoint: int, content: bytes, kind: int = BULK_URB) -> None:
        self.buffer = Memory(content)
        self.memory = Memory(bytes(URB_BYTES), {BUFFER_AT: self.buffer} if content else {})
        self.memory.update(0, bytes([kind, endpoint]))
        self.memory.update(LENGTH_AT, struct.pack("<i", len(content)))
        self.address = struct.pack("<Q", next(_addresses))
        self.argument = Memory(self.address, {0: self.memory})

    @property
    def status(self) -> int:
        return int.from_bytes(self.memory.content[STATUS_AT : STATUS_AT + 4], "little", signed=True)

    @property
    def count(self) -> int:
        return int.from_bytes(self.memory.content[ACTUAL_AT : ACTUAL_AT + 4], "little")


@dataclass
class Host:
    """The file of a device, and the thread in which its calls are handled."""

    echo: Echo = field(default_factory=lambda: Echo(delay=0.0))

    def __post_init__(self) -> None:
        self.time = VirtualTime()
        self.port = UsbPort(self.echo, self.time.now, self.time.later)
        self.port.plug()
        self.file = Usbfs(self.port, self.echo.description.configuration, self)

    def call_soon(self, action: Callable[[], None]) -> None:
        self.time.later(0.0, action)

    def call_later(self, seconds: float, action: Callable[[], None]) -> None:
        self.time.later(seconds, action)

    def begin(self, request: int, argument: Memory, caller: object = ME) -> list[tuple[int, int]]:
        """Make a call; its result and errno are added to the list when it returns."""
        replies: list[tuple[int, int]] = []
        self.file.handle(caller, request, argument, lambda result, errno: replies.append((result, errno)))
        return replies

    def call(self, request: int, argument: Memory, caller: object = ME) -> tuple[int, int]:
        """Make a call that returns without waiting."""
        (reply,) = self.begin(request, argument, caller)
        return reply

    def submit(self, endpoint: int, content: bytes, kind: int = BULK_URB, caller: object = ME) -> Urb:
        urb = Urb(endpoint, content, kind)
        assert self.call(SUBMITURB, urb.argument, caller) == OK
        return urb

    def pass_time(self, seconds: float = 1.0) -> None:
        self.time.run(lambda: False, seconds)

    def reap(self, caller: object = ME) -> Memory | int:
        """The transfer that ended first, or the errno."""
        where = pointer(bytes(8))
        replies = self.begin(REAPURBNDELAY, where, caller)
        self.pass_time()
        ((_, errno),) = replies
        return errno or where.pointers[0].pointers[0]


@pytest.fixture(name="host")
def _host() -> Host:
    return Host()


@pytest.fixture(name="camera")
def _camera() -> Host:
    echo = Echo()
    echo.description = UsbDescription(1, 2, 0x0100, "Kiosk", "Camera", "C1", (0, 0, 0), CAMERA, "high")
    return Host(echo)


# Transfers


def test_a_transfer_is_reaped_with_its_data_when_it_has_ended(host: Host) -> None:
    read = host.submit(IN, bytes(8))
    assert host.reap() == EAGAIN
    write = host.submit(OUT, b"hello")
    host.pass_time()
    assert [host.reap(), host.reap(), host.reap()] == [write.memory, read.memory, EAGAIN]
    assert (write.status, write.count) == (0, 5)
    assert (read.status, read.count, bytes(read.buffer.content)) == (0, 5, b"hello\0\0\0")


def test_a_reap_waits_a_moment_for_a_transfer(host: Host) -> None:
    read = host.submit(IN, bytes(8))
    where = pointer(bytes(8))
    replies = host.begin(REAPURB, where)
    host.pass_time(NOTHING_S / 2)
    assert replies == []
    assert host.echo.wire is not None
    host.echo.wire.send(IN, b"hello")
    host.pass_time(NOTHING_S / 4)
    assert replies == [OK]
    assert where.pointers[0].pointers[0] is read.memory
    host.pass_time()
    assert replies == [OK]


def test_a_control_request_returns_its_answer_after_the_setup(host: Host) -> None:
    setup = struct.pack("<BBHHH", 0x80, GET_DESCRIPTOR, CONFIGURATION << 8, 0, 64)
    urb = host.submit(0, setup + bytes(64), CONTROL_URB)
    assert host.reap() is urb.memory
    assert (urb.status, urb.count) == (0, len(ECHO_CONFIGURATION))
    assert urb.buffer.content.startswith(setup + ECHO_CONFIGURATION)


def test_a_control_request_takes_its_data_to_the_device(host: Host) -> None:
    urb = host.submit(0, struct.pack("<BBHHH", 0x40, 4, 0, 0, 2) + b"\x07\x08", CONTROL_URB)
    assert host.reap() is urb.memory
    assert (urb.status, urb.count, host.echo.register) == (0, 2, b"\x07\x08")


def test_a_refused_request_and_an_unplugged_device_end_transfers_with_their_errors(host: Host) -> None:
    refused = host.submit(0, struct.pack("<BBHHH", VENDOR_IN, 9, 0, 0, 1) + bytes(1), CONTROL_URB)
    assert host.reap() is refused.memory
    assert refused.status == -32
    lost = host.submit(BELL, bytes(8))
    host.port.unplug()
    host.pass_time()
    assert host.reap() is lost.memory
    assert lost.status == -108
    assert host.reap() == ENODEV


def test_a_discarded_transfer_is_reaped_as_discarded(host: Host) -> None:
    urb = host.submit(IN, bytes(8))
    assert host.call(DISCARDURB, Memory(urb.address)) == OK
    assert host.reap() is urb.memory
    assert (urb.status, urb.count) == (DISCARDED, 0)
    assert host.call(DISCARDURB, Memory(urb.address)) == (-1, EINVAL)


def test_a_transfer_outside_the_memory_of_the_caller_is_refused(host: Host) -> None:
    assert host.call(SUBMITURB, Memory(bytes(8))) == (-1, EINVAL)


def test_a_halted_endpoint_is_cleared(host: Host) -> None:
    host.echo.faults.inject("stall")
    for _ in range(2):
        assert host.reap() == EAGAIN
        urb = host.submit(IN, bytes(8))
        assert host.reap() is urb.memory
        assert urb.status == -32
    assert host.call(CLEAR_HALT, number(IN)) == OK
    host.submit(IN, bytes(8))
    assert host.reap() == EAGAIN


# Claims


def test_an_interface_belongs_to_the_program_that_claimed_it_until_it_is_released(host: Host) -> None:
    assert host.call(CLAIM, number(0)) == OK
    assert host.call(CLAIM, number(0)) == OK
    assert host.call(CLAIM, number(0), OTHER) == (-1, EBUSY)
    assert host.call(RELEASE, number(0), OTHER) == (-1, EINVAL)
    assert host.call(RELEASE, number(0)) == OK
    assert host.call(DISCONNECT_CLAIM, number(0), OTHER) == OK


def test_a_program_that_closes_the_file_leaves_nothing_behind(host: Host) -> None:
    assert host.call(CLAIM, number(0)) == OK
    host.submit(IN, bytes(8))
    host.submit(OUT, b"hello")
    host.submit(BELL, bytes(8))
    host.pass_time()
    host.file.closed(ME)
    assert host.echo.wire is not None
    assert (host.echo.wire.pending(IN), host.echo.wire.pending(BELL)) == (0, 0)
    assert host.call(CLAIM, number(0), OTHER) == OK
    assert host.reap(OTHER) == EAGAIN


def test_a_request_for_an_interface_of_another_program_is_refused(host: Host) -> None:
    assert host.call(CLAIM, number(0), OTHER) == OK
    to_interface = struct.pack("<BBHHH", 0x21, 4, 0, 0, 0)
    assert host.call(SUBMITURB, Urb(0, to_interface, CONTROL_URB).argument) == (-1, EBUSY)
    assert host.call(SUBMITURB, Urb(0, to_interface, CONTROL_URB).argument, OTHER) == OK
    vendor = struct.pack("<BBHHH", 0x41, 4, 0, 0, 0)
    assert host.call(SUBMITURB, Urb(0, vendor, CONTROL_URB).argument) == OK


# Drivers of the kernel


def test_an_interface_with_a_driver_of_the_kernel_is_named_and_cannot_be_claimed(camera: Host) -> None:
    for interface, driver in ((CONTROL, b"uvcvideo\0"), (STREAMING, b"uvcvideo\0"), (KEYBOARD, b"usbhid\0")):
        argument = pointer(struct.pack("<I", interface).ljust(GETDRIVER_BYTES, b"\0"))
        assert camera.call(GETDRIVER, argument) == OK
        assert argument.pointers[0].content[4:].startswith(driver)
        assert camera.call(CLAIM, number(interface)) == (-1, EBUSY)


def test_an_interface_without_a_driver_has_no_name(host: Host) -> None:
    argument = pointer(bytes(GETDRIVER_BYTES))
    assert host.call(GETDRIVER, argument) == (-1, ENODATA)


def order(interface: int, what: int) -> Memory:
    return pointer(struct.pack("<IIQ", interface, what, 0))


def test_the_driver_of_a_camera_is_detached_and_attached_again_with_its_stream(camera: Host) -> None:
    for interface in (CONTROL, STREAMING):
        assert camera.call(OF_DRIVER, order(interface, DISCONNECT)) == OK
        assert camera.call(OF_DRIVER, order(interface, DISCONNECT)) == (-1, ENODATA)
        assert camera.call(CLAIM, number(interface)) == OK
    assert camera.call(OF_DRIVER, order(CONTROL, CONNECT)) == (-1, ENODATA)
    for interface in (CONTROL, STREAMING):
        assert camera.call(RELEASE, number(interface)) == OK
    assert camera.call(OF_DRIVER, order(CONTROL, CONNECT)) == OK
    assert camera.call(CLAIM, number(STREAMING)) == (-1, EBUSY)


def test_the_driver_of_a_keyboard_stays(camera: Host) -> None:
    assert camera.call(OF_DRIVER, order(KEYBOARD, DISCONNECT)) == (-1, EBUSY)


# Other calls


def test_capabilities_speed_and_settings(camera: Host) -> None:
    argument = number(0)
    assert camera.call(GET_CAPABILITIES, argument) == OK
    assert argument.pointers[0].content == struct.pack("<I", CAPABILITIES)
    assert camera.call(GET_SPEED, Memory()) == (3, 0)
    assert camera.call(SETCONFIGURATION, number(1)) == OK
    assert camera.call(RESET, Memory()) == OK
    assert camera.call(SETINTERFACE, pointer(struct.pack("<II", STREAMING, 1))) == OK


def test_an_unknown_call_is_refused_and_none_reaches_a_device_that_is_gone(host: Host) -> None:
    assert host.call(0x1234, Memory()) == (-1, ENOTTY)
    host.port.unplug()
    assert host.call(CLAIM, number(0)) == (-1, ENODEV)
    host.port.plug()
    assert host.call(CLAIM, number(0)) == (-1, ENODEV), "the file is that of the earlier plugging in"
