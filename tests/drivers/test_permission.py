"""A device that may not be opened is called forbidden on every wire, and the remedy is named.

EACCES: the account has no permission on the device file. EPERM: the device policy of the service or container.
"""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from usb.core import USBError

from drivers.errors import GRANT_ACCESS_COMMAND, POLICY_ADVICE, DeviceBusy, LinkLost, PermissionDenied, PolicyDenied
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


def refusing(number: int) -> Callable[..., int]:
    """A function that opens nothing."""

    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(number, os.strerror(number))

    return refuse


def open_port(monkeypatch: pytest.MonkeyPatch, number: int = errno.EACCES) -> None:
    monkeypatch.setattr("drivers.serial_line.serial.Serial", refusing(number))
    open_serial("/dev/ttyUSB0", 57_600)


def open_camera(monkeypatch: pytest.MonkeyPatch, number: int = errno.EACCES) -> None:
    monkeypatch.setattr("drivers.v4l2.kernel.os.open", refusing(number))
    V4l2(f"v4l2:{Path('/dev/video0')}", {}).open()


def open_reader_by_policy(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """The library says "input/output error" of every number that it does not know."""
    monkeypatch.setattr("drivers.usb.local.os.open", refusing(number))
    open_reader(-1, monkeypatch)


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


@pytest.mark.parametrize("attempt", [open_reader_by_policy, open_port, open_camera], ids=["usb", "serial", "v4l2"])
def test_a_device_that_the_policy_of_the_service_forbids_is_not_a_matter_of_groups(
    attempt: Callable[[pytest.MonkeyPatch, int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PolicyDenied, match="systemctl restart kiosk-agent") as caught:
        attempt(monkeypatch, errno.EPERM)
    assert POLICY_ADVICE in str(caught.value)
    assert GRANT_ACCESS_COMMAND not in str(caught.value)


def test_a_reader_that_fails_otherwise_is_not_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LinkLost) as caught:
        open_reader_by_policy(monkeypatch, errno.EIO)
    assert type(caught.value) is LinkLost


def test_a_device_that_another_program_holds_is_still_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DeviceBusy):
        open_reader(transport_usb.BUSY, monkeypatch)
