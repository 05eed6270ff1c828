"""The udev rules are those of the match tables."""

import re
import subprocess
import sys
from pathlib import Path

from drivers import SENSORS
from drivers.matches import ClassMatch, UsbMatch
from drivers.udev import matches, rules

RULES = Path(__file__).parent.parent / "systemd" / "60-kiosk-sensors.rules"


def test_the_committed_rules_are_fresh() -> None:
    command = [sys.executable, "-m", "drivers.udev"]
    printed = subprocess.run(command, cwd=RULES.parent.parent, check=True, capture_output=True, text=True).stdout
    assert printed == RULES.read_text(encoding="utf-8"), "python -m drivers.udev > systemd/60-kiosk-sensors.rules"


def test_every_driver_declares_devices_and_every_device_has_a_rule() -> None:
    found = matches(SENSORS)
    assert {driver for drivers in found.values() for driver in drivers} == set(SENSORS)
    text = rules(found)
    for match in found:
        if isinstance(match, ClassMatch):
            assert re.search(f'SUBSYSTEM=="{match.subsystem}".*ID_USB_INTERFACES}}=="\\*:0e02\\*".*MODE="0660"', text)
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
