"""What sysfs says about the attached USB devices."""

from pathlib import Path

import pytest

from drivers.transport import parse_usb_url
from drivers.usb.configuration import Interface
from drivers.usb.link import UsbIdentity
from drivers.usb.sysfs import described_interfaces, plugged_in, raw_configuration
from drivers.usb.url import UsbUrl
from tests.rigs.sysfs import CONFIGURATIONS, plug, plug_behind


def test_devices_are_read_from_sysfs_without_hubs_and_interfaces(tmp_path: Path) -> None:
    plug(tmp_path, "1-4.2", 7, "A1")
    plug(tmp_path, "1-1", 9)
    (tmp_path / "usb1").mkdir()
    (tmp_path / "1-1:1.0").mkdir()
    (tmp_path / "1-9").mkdir()  # on its way out: its files are gone
    first, second = plugged_in(tmp_path)
    assert first.identity == UsbIdentity(0x05BA, 0x000A, "", "1-1", 0x0102, "full")
    assert second.identity == UsbIdentity(0x05BA, 0x000A, "A1", "1-4.2", 0x0102, "full")
    assert str(second.node) == "/dev/bus/usb/001/007"


@pytest.mark.parametrize(
    ("controller", "path"),
    [
        ("pci0000:00/0000:00:14.0", "pci-0000:00:14.0-usb-0:4.2"),
        ("pci0000:00/0000:00:1c.4/0000:05:00.0", "pci-0000:05:00.0-usb-0:4.2"),
        ("platform/soc/3f980000.usb", "platform-3f980000.usb-usb-0:4.2"),
    ],
)
def test_the_path_of_a_socket_does_not_depend_on_the_number_of_the_bus(
    tmp_path: Path, controller: str, path: str
) -> None:
    for bus in (1, 3):
        devices = plug_behind(tmp_path / str(bus), controller, bus, "4.2", 7)
        (found,) = plugged_in(devices)
        assert (found.path, found.identity.port) == (path, f"{bus}-4.2")
        assert parse_usb_url(f"usb:05ba:000a?path={found.path}") == UsbUrl(0x05BA, 0x000A, path=path)


def test_a_path_that_sysfs_does_not_show_is_empty(tmp_path: Path) -> None:
    plug(tmp_path, "1-1", 9)
    (found,) = plugged_in(tmp_path)
    assert found.path == ""


def test_a_machine_without_usb_has_no_devices(tmp_path: Path) -> None:
    assert not list(plugged_in(tmp_path / "none"))


def test_the_configuration_is_the_active_one_with_all_its_descriptors(tmp_path: Path) -> None:
    plug(tmp_path, "1-1", 9)
    assert raw_configuration("1-1", 1, tmp_path) == CONFIGURATIONS[0]
    assert raw_configuration("1-1", 2, tmp_path) == CONFIGURATIONS[1]
    assert raw_configuration("1-1", 3, tmp_path) == b""
    assert raw_configuration("1-2", 1, tmp_path) == b""


def test_a_configuration_shorter_than_its_own_head_is_none(tmp_path: Path) -> None:
    (tmp_path / "1-1").mkdir()
    (tmp_path / "1-1" / "descriptors").write_bytes(bytes(18) + bytes.fromhex("0902020001010080fa"))
    assert raw_configuration("1-1", 1, tmp_path) == b""


def test_the_interfaces_of_all_configurations_are_described(tmp_path: Path) -> None:
    plug(tmp_path, "1-1", 9)
    assert described_interfaces("1-1", tmp_path) == ()
    reader = bytes([9, 4, 1, 0, 2, 0xFF, 0xFF, 0xFF, 0])
    (tmp_path / "1-1" / "descriptors").write_bytes(bytes(18) + CONFIGURATIONS[0] + reader)
    assert described_interfaces("1-1", tmp_path) == (Interface(1, (0xFF, 0xFF, 0xFF)),)
