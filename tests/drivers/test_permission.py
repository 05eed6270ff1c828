"""A device that this account may not open is called forbidden on every wire, and the command that mends it is named."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from usb.core import USBError

from drivers.errors import GRANT_ACCESS_COMMAND, DeviceBusy, PermissionDenied
from drivers.serial_line import open_serial
from drivers.usb import local as transport_usb
from drivers.usb.link import UsbIdentity
from drivers.usb.sysfs import PluggedInDevice
from drivers.usb.url import UsbUrl
from drivers.v4l2.driver import V4l2

READER = PluggedInDevice(UsbIdentity(0x05BA, 0x000A, "", "1-1", 0x0100, "full"), 1, 5)


class Refusing:
    """The libusb of an account that may open nothing, on a machine with one reader."""

    def __init__(self, code: int) -> None:
        self._code = code
        self.bus, self.address = READER.bus, READER.address

    def enumerate_devices(self) -> list["Refusing"]:
        return [self]

    def get_device_descriptor(self, _: object) -> "Refusing":
        return self

    def open_device(self, _: object) -> None:
        raise USBError("refused", self._code, errno.EACCES)


def open_reader(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_usb, "plugged_in", lambda: [READER])
    monkeypatch.setattr(transport_usb, "_backend", lambda: Refusing(code))
    transport_usb.open_usb(UsbUrl(0x05BA, 0x000A))


def open_port(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("drivers.serial_line.serial.Serial", refuse)
    open_serial("/dev/ttyUSB0", 57_600)


def open_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("drivers.v4l2.kernel.os.open", refuse)
    V4l2(f"v4l2:{Path('/dev/video0')}", {}).open()


@pytest.mark.parametrize(
    "attempt",
    [lambda patch: open_reader(transport_usb.ACCESS, patch), open_port, open_camera],
    ids=["usb", "serial", "v4l2"],
)
def test_a_device_that_may_not_be_opened_is_forbidden_and_not_taken(
    attempt: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PermissionDenied, match="no permission") as caught:
        attempt(monkeypatch)
    assert GRANT_ACCESS_COMMAND in str(caught.value)


def test_a_device_that_another_program_holds_is_still_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DeviceBusy):
        open_reader(transport_usb.BUSY, monkeypatch)
