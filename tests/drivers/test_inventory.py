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


# Serial adapters, from the kernels' tables of ids: usb/serial/{ch341,pl2303,ftdi_sio,cp210x}.c and class/cdc-acm.c
ADAPTERS = {
    "1a86:7523": "ch341", "1a86:7522": "ch341", "1a86:5523": "ch341", "067b:2303": "pl2303", "067b:23a3": "pl2303",
    "0403:6001": "ftdi_sio", "0403:6010": "ftdi_sio", "0403:6011": "ftdi_sio", "0403:6014": "ftdi_sio",
    "0403:6015": "ftdi_sio", "10c4:ea60": "cp210x", "10c4:ea70": "cp210x", "1a86:55d4": "cdc_acm",
}  # fmt: skip


@pytest.mark.parametrize("ids", ADAPTERS)
def test_every_usual_adapter_is_a_serial_port_listed_once(sysfs: Sysfs, ids: str) -> None:
    sysfs.plug("1-3", ids)
    acm = ids == "1a86:55d4"
    name = "ttyACM0" if acm else "ttyUSB0"
    sysfs.interface("1-3", ("02", "02") if acm else ("ff", "00"), *([] if acm else [name]), "tty", name)
    sysfs.node(name)
    (found,) = sysfs.look()
    assert found.availability is Availability.FREE
    assert {"ef01", "sfm"} <= set(found.drivers)


def test_an_adapter_with_two_ports_is_listed_with_each(sysfs: Sysfs) -> None:
    sysfs.plug("1-3", "10c4:ea70")
    for number in (0, 1):
        sysfs.interface("1-3", ("ff", "00"), f"ttyUSB{number}", "tty", f"ttyUSB{number}", number=number)
        sysfs.node(f"ttyUSB{number}")
    assert [Path(found.url).name for found in sysfs.look()] == ["ttyUSB0", "ttyUSB1"]


def test_any_port_of_the_class_is_an_adapter(sysfs: Sysfs) -> None:
    sysfs.plug("1-3", "2e8a:000a")
    sysfs.interface("1-3", ("02", "02"), "tty", "ttyACM0")
    sysfs.interface("1-3", ("0a", "00"), number=1)
    sysfs.node("ttyACM0")
    (found,) = sysfs.look()
    assert (found.name, found.availability) == ("USB serial port (CDC ACM)", Availability.FREE)


@pytest.mark.parametrize("ids", ADAPTERS)
def test_an_adapter_whose_kernel_module_is_missing_names_it(sysfs: Sysfs, ids: str) -> None:
    sysfs.plug("1-3", ids)
    sysfs.interface("1-3", ("02", "02") if ids == "1a86:55d4" else ("ff", "00"))
    (found,) = sysfs.look()
    assert (found.url, found.availability) == ("USB port 1-3", Availability.NO_PORT)
    assert found.detail == f"no serial port: the kernel module {ADAPTERS[ids]} is not loaded"
    assert f"sudo modprobe {ADAPTERS[ids]}" in found.remedy


@pytest.mark.parametrize(
    ("bound", "loaded", "detail", "remedy"),
    [
        ("usbfs", True, "no serial port: another program holds the adapter", "sudo apt-get remove brltty"),
        ("", True, "no serial port: the kernel module ch341 is loaded, but does not use the adapter", "brltty"),
        ("ch341", True, "no serial port although its kernel driver uses it", "plug it in again"),
        ("ch34x", False, "no serial port: used by the kernel driver ch34x", "it needs the kernel module ch341"),
    ],
)
def test_an_adapter_without_a_port_says_who_has_it(
    sysfs: Sysfs, tmp_path: Path, bound: str, *, loaded: bool, detail: str, remedy: str
) -> None:
    """The program brltty detaches the kernel driver; after it has ended, nothing uses the adapter."""
    sysfs.plug("1-3", "1a86:7523")
    sysfs.interface("1-3", ("ff", "00"))
    if bound:
        sysfs.bind("1-3", bound)
    if loaded:
        (tmp_path / "drivers" / "ch341").mkdir(parents=True)
    (found,) = sysfs.look()
    assert (found.availability, found.detail) == (Availability.NO_PORT, detail)
    assert remedy in found.remedy


def test_an_adapter_that_the_kernel_has_not_configured_is_listed(sysfs: Sysfs) -> None:
    sysfs.plug("1-3", "1a86:7523")
    (found,) = sysfs.look()
    assert found.availability is Availability.NO_PORT


def test_a_port_of_the_class_beside_another_interface_is_judged_by_its_own(sysfs: Sysfs) -> None:
    sysfs.plug("1-3", "2e8a:000a")
    sysfs.interface("1-3", ("03", "01"))
    sysfs.bind("1-3", "usbhid")
    sysfs.interface("1-3", ("02", "02"), number=1)
    (found,) = sysfs.look()
    assert found.detail == "no serial port: the kernel module cdc_acm is not loaded"


@pytest.mark.parametrize("allowed", [True, False])
def test_a_port_of_a_device_that_no_table_has_is_listed_and_not_opened(
    sysfs: Sysfs, monkeypatch: pytest.MonkeyPatch, *, allowed: bool
) -> None:
    sysfs.plug("1-3", "1234:5678")
    sysfs.interface("1-3", ("ff", "00"), "ttyUSB0", "tty", "ttyUSB0")
    sysfs.node("ttyUSB0")
    monkeypatch.setattr("drivers.inventory.os.access", lambda *_: allowed)
    claimed: list[Path] = []
    (found,) = sysfs.look(claimed.append)
    assert claimed == []
    assert found.name == "USB device 1234:5678"
    assert {"ef01", "sfm"} <= set(found.drivers)
    assert found.availability is (Availability.FREE if allowed else Availability.NO_PERMISSION)
    assert ("try `kiosk-agent capture" if allowed else "SupplementaryGroups=dialout") in found.remedy
