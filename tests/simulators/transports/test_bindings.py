"""The options of --via that go together, and the messages about those that do not."""

import pytest

from simulators.transports.bindings import LAST_PORT, behind_libusb, check_serial

PROGRAM = ["kiosk-agent", "sensors"]


def test_a_serial_sensor_is_served_on_a_pseudo_terminal_only() -> None:
    check_serial("pty")
    with pytest.raises(ValueError, match="--via must be pty, not 'usbip': this sensor is on a serial line"):
        check_serial("usbip")


def test_a_usb_sensor_is_exported_or_behind_the_libusb_of_a_program() -> None:
    assert not behind_libusb("usbip", None, LAST_PORT)
    assert behind_libusb("libusb", PROGRAM, 0)


@pytest.mark.parametrize(
    ("via", "program", "port", "message"),
    [
        ("libusb", None, 0, "--via libusb needs a program behind --"),
        ("usbip", PROGRAM, 0, r"a program \(kiosk-agent\) runs only with --via libusb"),
        ("libusb", PROGRAM, 3240, "--port is only for --via usbip"),
        ("usbip", None, LAST_PORT + 1, "--port must be 0 to 65535, not 65536"),
        ("usbip", None, -1, "not -1"),
        ("pty", None, 0, "this sensor is on USB; ef01 and sfm are on a serial line"),
        ("pigeon", None, 0, "--via must be usbip or libusb, not 'pigeon'$"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    via: str, program: list[str] | None, port: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        behind_libusb(via, program, port)
