"""What is plugged in, by a made-up sysfs: which driver, where, free or taken, and what to do."""

import shlex
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from drivers.errors import (
    GRANT_ACCESS_COMMAND,
    POLICY_ADVICE,
    DeviceBusy,
    PermissionDenied,
    PolicyDenied,
    ProtocolError,
)
from drivers.inventory import AttachedDevice, Availability, HostSystem, attached_devices
from drivers.sensor import DeviceInfo
from simulators.sensors.uvc.descriptors import UvcSettings, configuration
from tests.rigs.sysfs import plug_behind

RULES = Path(__file__).parents[2] / "systemd" / "60-kiosk-sensors.rules"
READER = DeviceInfo("uru4000", "U.are.U 4500", "", "0a1a.2110", 384, 290, 512.0, 8)


class Sysfs:
    """A host made of files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.asked: list[tuple[str, str]] = []
        self.host = HostSystem(folder / "sys", folder / "dev", self._identify, lambda _: None)
        self.error: Exception | None = None

    def _identify(self, driver: str, url: str) -> DeviceInfo:
        self.asked.append((driver, url))
        if self.error is not None:
            raise self.error
        return READER

    def plug(self, port: str, ids: str, serial: str = "", address: int = 5) -> Path:
        folder = self._folder / "sys" / port
        vendor, product = ids.split(":")
        facts = {"idVendor": vendor, "idProduct": product, "busnum": "1", "devnum": str(address), "bcdDevice": "0103"}
        for name, value in {**facts, "speed": "12", "serial": serial}.items():
            self.write(folder / name, value)
        node = self._folder / "dev" / "bus" / "usb" / "001" / f"{address:03d}"
        self.write(node, "")
        return node

    def interface(self, port: str, classes: tuple[str, str], *parts: str, number: int = 0) -> None:
        folder = self._folder / "sys" / f"{port}:1.{number}"
        self.write(folder / "bInterfaceClass", classes[0])
        self.write(folder / "bInterfaceSubClass", classes[1])
        folder.joinpath(*parts).mkdir(parents=True, exist_ok=True)

    def describe(self, port: str, configuration: bytes) -> None:
        (self._folder / "sys" / port / "descriptors").write_bytes(bytes(18) + configuration)

    def bind(self, port: str, driver: str) -> None:
        (self._folder / "sys" / f"{port}:1.0" / "driver").symlink_to(f"../../bus/usb/drivers/{driver}")

    def node(self, name: str) -> None:
        self.write(self._folder / "dev" / name, "")

    def write(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")

    def look(self, claim: Callable[[Path], None] | None = None) -> list[AttachedDevice]:
        return attached_devices(self.host if claim is None else replace(self.host, claim=claim))


@pytest.fixture
def sysfs(tmp_path: Path) -> Sysfs:
    return Sysfs(tmp_path)


def test_nothing_plugged_in_is_nothing(sysfs: Sysfs) -> None:
    assert sysfs.look() == []


def test_a_free_reader_says_who_it_is(sysfs: Sysfs) -> None:
    sysfs.plug("1-4.2", "05ba:000a", serial="K1")
    (found,) = sysfs.look()
    assert (found.drivers, found.availability, found.remedy) == (("uru4000",), Availability.FREE, "")
    assert found.url == "usb:05ba:000a?port=1-4.2"
    assert found.detail == "U.are.U 4500, firmware 0a1a.2110, serial K1"
    assert sysfs.asked == [("uru4000", found.url)]


def test_a_reader_behind_a_known_controller_is_named_by_its_socket(sysfs: Sysfs, tmp_path: Path) -> None:
    devices = plug_behind(tmp_path / "real", "pci0000:00/0000:00:14.0", 1, "4.2", 5)
    sysfs.node("bus/usb/001/005")
    (found,) = attached_devices(replace(sysfs.host, devices=devices))
    assert found.url == "usb:05ba:000a?path=pci-0000:00:14.0-usb-0:4.2"


def test_what_no_driver_knows_is_left_alone(sysfs: Sysfs) -> None:
    sysfs.plug("1-1", "1234:5678")
    assert sysfs.look() == []
    assert sysfs.asked == []


def test_two_of_a_kind_are_told_apart_by_their_ports(sysfs: Sysfs) -> None:
    sysfs.plug("1-1", "05ba:000a", address=5)
    sysfs.plug("1-2", "05ba:000a", address=6)
    assert [found.url for found in sysfs.look()] == ["usb:05ba:000a?port=1-1", "usb:05ba:000a?port=1-2"]


@pytest.mark.parametrize(
    ("error", "availability", "remedy"),
    [
        (DeviceBusy("another program holds it"), Availability.IN_USE, "stop the daemon first"),
        (ProtocolError("no answer"), Availability.FAULTY, "plug it in again"),
    ],
)
def test_a_reader_that_cannot_be_asked_says_why_and_what_to_do(
    sysfs: Sysfs, error: Exception, availability: Availability, remedy: str
) -> None:
    sysfs.plug("1-1", "05ba:000a")
    sysfs.error = error
    (found,) = sysfs.look()
    assert (found.availability, found.detail) == (availability, str(error))
    assert remedy in found.remedy


def test_a_reader_that_this_account_may_not_open_names_the_commands_that_mend_it(
    sysfs: Sysfs, monkeypatch: pytest.MonkeyPatch
) -> None:
    sysfs.plug("1-1", "05ba:000a")
    monkeypatch.setattr("drivers.inventory.os.access", lambda *_: False)
    (found,) = sysfs.look()
    assert (found.availability, found.remedy) == (Availability.NO_PERMISSION, GRANT_ACCESS_COMMAND)
    assert "udevadm trigger" in found.remedy
    assert sysfs.asked == []


def test_a_serial_adapter_is_claimed_but_nothing_behind_it_is_asked(sysfs: Sysfs, tmp_path: Path) -> None:
    sysfs.plug("1-3", "10c4:ea60")
    sysfs.interface("1-3", ("ff", "00"), "ttyUSB0", "tty", "ttyUSB0")
    sysfs.node("ttyUSB0")
    claimed: list[Path] = []
    (found,) = sysfs.look(claimed.append)
    node = tmp_path / "dev" / "ttyUSB0"
    assert claimed == [node]
    assert (found.url, found.availability) == (f"serial:{node}", Availability.FREE)
    assert {"ef01", "sfm"} <= set(found.drivers)
    assert sysfs.asked == []


def test_a_serial_adapter_that_is_in_use_is_taken(sysfs: Sysfs) -> None:
    sysfs.plug("1-3", "10c4:ea60")
    sysfs.interface("1-3", ("ff", "00"), "ttyUSB0", "tty", "ttyUSB0")
    sysfs.node("ttyUSB0")

    def refuse(_: Path) -> None:
        raise DeviceBusy("busy")

    (found,) = sysfs.look(refuse)
    assert found.availability is Availability.IN_USE


def test_the_permission_may_be_refused_although_the_file_looks_open(sysfs: Sysfs) -> None:
    sysfs.plug("1-1", "05ba:000a")
    sysfs.error = PermissionDenied("no permission")
    (found,) = sysfs.look()
    assert (found.availability, found.remedy) == (Availability.NO_PERMISSION, GRANT_ACCESS_COMMAND)


def test_the_policy_of_a_service_is_not_a_matter_of_permission(sysfs: Sysfs) -> None:
    sysfs.plug("1-1", "05ba:000a")
    sysfs.error = PolicyDenied("forbidden")
    (found,) = sysfs.look()
    assert (found.availability, found.remedy) == (Availability.NO_PERMISSION, POLICY_ADVICE)


def test_the_command_that_gives_permission_prints_the_rules_wherever_it_is_typed(tmp_path: Path) -> None:
    printing = GRANT_ACCESS_COMMAND.partition("&& ")[2].partition(" | ")[0]
    done = subprocess.run(shlex.split(printing), cwd=tmp_path, check=True, capture_output=True, text=True)
    assert done.stdout == RULES.read_text(encoding="utf-8")


@pytest.mark.parametrize("folder", ["kiosk/port", "serial/by-path"])
def test_a_serial_adapter_is_called_by_a_name_that_stays(sysfs: Sysfs, tmp_path: Path, folder: str) -> None:
    sysfs.plug("1-3", "10c4:ea60")
    sysfs.interface("1-3", ("ff", "00"), "ttyUSB0", "tty", "ttyUSB0")
    sysfs.node("ttyUSB0")
    names = {"serial/by-path", folder}
    for name in names:
        link = tmp_path / "dev" / name / "pci-0000:00-usb-0:3:1.0"
        link.parent.mkdir(parents=True)
        link.symlink_to(tmp_path / "dev" / "ttyUSB0")
        link.with_name("another").symlink_to(tmp_path / "dev" / "ttyUSB1")
    (found,) = sysfs.look()
    assert found.url == f"serial:{tmp_path / 'dev' / folder / 'pci-0000:00-usb-0:3:1.0'}"
    assert found.url in found.remedy


def test_a_reader_that_the_kernel_serves_is_not_asked(sysfs: Sysfs) -> None:
    sysfs.plug("1-1", "05ba:000a")
    sysfs.interface("1-1", ("ff", "ff"))
    sysfs.bind("1-1", "hid-generic")
    (found,) = sysfs.look()
    assert (found.availability, found.detail) == (Availability.IN_USE, "used by the kernel driver hid-generic")
    assert sysfs.asked == []


def test_a_reader_in_a_keyboard_is_asked_although_the_kernel_serves_its_keys(sysfs: Sysfs) -> None:
    sysfs.plug("1-1", "05ba:0008")
    sysfs.interface("1-1", ("03", "01"))
    sysfs.bind("1-1", "usbhid")
    sysfs.interface("1-1", ("ff", "ff"), number=1)
    (found,) = sysfs.look()
    assert found.availability is Availability.FREE


def test_a_camera_is_found_by_its_class_and_not_opened(sysfs: Sysfs) -> None:
    sysfs.plug("1-5", "349c:3307")
    sysfs.interface("1-5", ("0e", "02"))
    (found,) = sysfs.look()
    assert (found.drivers, found.availability) == (("uvc",), Availability.FREE)
    assert "kiosk-agent capture uvc usb:349c:3307?port=1-5" in found.remedy
    assert sysfs.asked == []


def test_a_camera_without_interfaces_of_the_kernel_is_found_by_its_descriptors(sysfs: Sysfs) -> None:
    sysfs.plug("1-5", "349c:3307")
    sysfs.describe("1-5", configuration(UvcSettings()))
    (found,) = sysfs.look()
    assert (found.drivers, found.availability) == (("uvc",), Availability.FREE)


def test_what_the_kernel_shows_of_interfaces_goes_before_what_the_device_describes(sysfs: Sysfs) -> None:
    sysfs.plug("1-5", "349c:3307")
    sysfs.describe("1-5", configuration(UvcSettings()))
    sysfs.interface("1-5", ("03", "01"))
    assert sysfs.look() == []


def test_descriptors_that_are_cut_short_are_no_camera(sysfs: Sysfs) -> None:
    sysfs.plug("1-5", "349c:3307")
    sysfs.describe("1-5", configuration(UvcSettings())[:12])
    assert sysfs.look() == []


def test_a_camera_that_the_kernel_serves_is_a_video_node_and_left_alone(sysfs: Sysfs, tmp_path: Path) -> None:
    sysfs.plug("1-5", "349c:3307")
    sysfs.interface("1-5", ("0e", "02"), "video4linux", "video0")
    sysfs.bind("1-5", "uvcvideo")
    sysfs.node("video0")
    node = tmp_path / "dev" / "video0"
    direct, served = sysfs.look()
    assert served.url == f"v4l2:{node}"
    assert direct.detail == f"used by the kernel driver uvcvideo: use driver v4l2 at {node}"
    assert direct.availability is Availability.IN_USE
    assert sysfs.asked == []


def test_a_camera_of_the_kernel_is_named_by_its_socket(sysfs: Sysfs, tmp_path: Path) -> None:
    sysfs.plug("1-5", "349c:3307")
    sysfs.interface("1-5", ("0e", "02"), "video4linux", "video0")
    sysfs.node("video0")
    link = tmp_path / "dev" / "v4l" / "by-path" / "pci-0000:00:14.0-usb-0:5:1.0-video-index0"
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "dev" / "video0")
    assert f"v4l2:{link}" in {found.url for found in sysfs.look()}


def test_a_camera_that_a_program_holds_is_taken(sysfs: Sysfs) -> None:
    sysfs.plug("1-5", "349c:3307")
    sysfs.interface("1-5", ("0e", "02"))
    sysfs.bind("1-5", "usbfs")
    (found,) = sysfs.look()
    assert found.availability is Availability.IN_USE
    assert "stop the daemon first" in found.remedy
