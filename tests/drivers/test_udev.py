"""The udev rules and the hardware database are those of the match tables."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from drivers import SENSORS
from drivers.matches import ClassMatch, UsbMatch
from drivers.udev import declared_devices, hwdb, rules

RULES = Path(__file__).parents[2] / "systemd" / "60-kiosk-sensors.rules"
HWDB = RULES.with_name("61-kiosk-sensors.hwdb")


@pytest.mark.parametrize(("path", "flags"), [(RULES, []), (HWDB, ["--hwdb"])], ids=["rules", "hwdb"])
def test_the_committed_files_are_fresh(path: Path, flags: list[str]) -> None:
    command = [sys.executable, "-m", "drivers.udev", *flags]
    printed = subprocess.run(command, cwd=RULES.parent.parent, check=True, capture_output=True, text=True).stdout
    assert printed == path.read_text(encoding="utf-8"), f"python {' '.join(command[1:])} > systemd/{path.name}"


def test_every_usb_sensor_is_kept_awake_and_no_serial_adapter_is_touched() -> None:
    text = hwdb(declared_devices(SENSORS))
    for match in declared_devices(SENSORS):
        if isinstance(match, UsbMatch):
            entry = f"usb:v{match.vendor:04X}p{match.product:04X}*\n ID_AUTOSUSPEND=0\n"
            assert (entry in text) is (match.subsystem == "usb")


def test_every_line_of_the_database_is_a_comment_a_match_or_a_property() -> None:
    for line in HWDB.read_text(encoding="utf-8").splitlines():
        assert not line or line.startswith("#") or re.fullmatch(r"usb:v[0-9A-F]{4}p[0-9A-F]{4}\*| [A-Z_]+=\w+", line), (
            line
        )


def test_every_driver_declares_devices_and_every_device_has_a_rule() -> None:
    found = declared_devices(SENSORS)
    assert {driver for drivers in found.values() for driver in drivers} == set(SENSORS)
    text = rules(found)
    for match in found:
        if isinstance(match, ClassMatch):
            by_class = r'bInterfaceClass}=="02".*bInterfaceSubClass}=="02"'
            by_interfaces = r'ID_USB_INTERFACES}=="\*:0e02\*"'
            classes = by_class if match.subsystem == "tty" else by_interfaces
            assert re.search(f'SUBSYSTEM=="{match.subsystem}".*{classes}.*MODE="0660"', text)
            continue
        assert re.search(f'idVendor}}=="{match.vendor:04x}".*idProduct}}=="{match.product:04x}".*MODE="0660"', text)


def test_every_line_is_a_comment_or_keys_that_udev_can_read() -> None:
    key = r'[A-Z]+(\{[A-Za-z_]+\})?(==|!=|\+=|=)"[^"]*"'
    for line in RULES.read_text(encoding="utf-8").splitlines():
        assert not line or line.startswith("#") or re.fullmatch(rf"{key}(, {key})*", line), line


def test_a_device_shared_by_two_drivers_has_one_rule_and_a_usb_device_no_link() -> None:
    camera = UsbMatch(0x05BA, 0x000A, "a camera", "usb")
    text = rules({camera: ["one", "two"]})
    assert "# one, two: a camera" in text
    assert 'SUBSYSTEM=="usb", ENV{DEVTYPE}=="usb_device", ATTR{idVendor}=="05ba"' in text
    assert "SYMLINK" not in text


# What udev gives, the sandbox of the unit lets through: a subsystem's device files by their names in /proc/devices.
DEVICE_NAMES = {"tty": {"char-ttyUSB", "char-ttyACM"}, "usb": {"char-usb_device"}, "video4linux": {"char-video4linux"}}
# The kernel module that makes the name known. systemd drops a name that is unknown when the service starts.
MODULES = {"ttyUSB": "usbserial", "ttyACM": "cdc_acm", "usb_device": "usbcore", "video4linux": "videodev"}
BUILT_IN = {"ttyS"}


@pytest.mark.parametrize("subsystem", sorted({match.subsystem for match in declared_devices(SENSORS)}))
def test_the_unit_may_open_the_devices_of_every_subsystem_that_a_rule_is_for(subsystem: str) -> None:
    unit = RULES.with_name("kiosk-agent.service").read_text(encoding="utf-8")
    allowed = re.findall(r"^DeviceAllow=(\S+) rw$", unit, re.MULTILINE)
    assert DEVICE_NAMES[subsystem] <= set(allowed)


def test_every_kind_of_device_is_known_to_the_kernel_before_the_unit_starts() -> None:
    unit = RULES.with_name("kiosk-agent.service").read_text(encoding="utf-8")
    names = set(re.findall(r"^DeviceAllow=char-(\S+) ", unit, re.MULTILINE))
    assert names == set(MODULES) | BUILT_IN
    for key in ("Wants", "After"):
        units = " ".join(re.findall(rf"^{key}=(.*)$", unit, re.MULTILINE)).split()
        assert {f"modprobe@{module}.service" for module in MODULES.values()} <= set(units)


@pytest.mark.parametrize(("flags", "path"), [([], RULES), (["--hwdb"], HWDB)])
def test_the_module_prints_its_file(
    flags: list[str], path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["drivers.udev", *flags])
    monkeypatch.delitem(sys.modules, "drivers.udev")
    runpy.run_module("drivers.udev", run_name="__main__")
    assert capsys.readouterr().out == path.read_text(encoding="utf-8")
