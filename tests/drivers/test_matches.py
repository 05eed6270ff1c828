"""The devices that drivers declare."""

from drivers.matches import SERIAL_ADAPTERS, ClassMatch, UsbMatch


def test_a_serial_adapter_is_opened_as_a_tty_and_declared_once() -> None:
    assert {match.subsystem for match in SERIAL_ADAPTERS} == {"tty"}
    by_id = [match for match in SERIAL_ADAPTERS if isinstance(match, UsbMatch)]
    assert len({(match.vendor, match.product) for match in by_id}) == len(by_id)
    assert all(match.module for match in SERIAL_ADAPTERS)


def test_equal_declarations_of_two_drivers_are_one_device() -> None:
    first, second = (UsbMatch(0x10C4, 0xEA60, "Silicon Labs CP210x", "tty") for _ in range(2))
    camera = ClassMatch(0x0E, 2, "cameras", "usb")
    assert len({first: "ef01", second: "sfm", camera: "uvc"}) == 2
