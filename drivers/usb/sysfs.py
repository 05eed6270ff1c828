"""Reads from sysfs what the Linux kernel knows about attached USB devices. Sends nothing to a device."""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from drivers.usb.configuration import Interface, interfaces
from drivers.usb.link import UsbIdentity

DEVICES = Path("/sys/bus/usb/devices")
NODES = Path("/dev/bus/usb")
DEVICE_DESCRIPTOR = 18  # bytes, before the configurations
SPEEDS = {"1.5": "low", "12": "full", "480": "high"}  # sysfs value in Mbit/s; anything faster is "super"


@dataclass(frozen=True, slots=True)
class PluggedInDevice:
    """One attached device: its identity, the bus and address that it has now, and the path of its socket.

    The path stays the same when the kernel numbers the buses in another order. It is empty if sysfs does not show the
    controller.
    """

    identity: UsbIdentity
    bus: int
    address: int
    path: str = ""

    @property
    def node(self) -> Path:
        """Its device file in usbfs, which vanishes when it is unplugged."""
        return NODES / f"{self.bus:03d}" / f"{self.address:03d}"


def plugged_in(devices: Path = DEVICES) -> Iterator[PluggedInDevice]:
    """Yields every device except the root hubs, in the order of the ports."""
    for folder in sorted(devices.glob("*-*")) if devices.is_dir() else []:
        if ":" not in folder.name:  # 1-4.2:1.0 is an interface
            with suppress(OSError, ValueError):  # unplugged while it is read
                yield _read(folder)


def _read(folder: Path) -> PluggedInDevice:
    identity = UsbIdentity(
        int(_text(folder, "idVendor"), 16),
        int(_text(folder, "idProduct"), 16),
        _text(folder, "serial"),
        folder.name,
        int(_text(folder, "bcdDevice") or "0", 16),
        _speed(_text(folder, "speed")),
    )
    return PluggedInDevice(identity, int(_text(folder, "busnum")), int(_text(folder, "devnum")), _path(folder))


def _path(folder: Path) -> str:
    """The controller and the ports of a device: pci-0000:00:14.0-usb-0:4.2, as udev's path_id writes them.

    Read from the place of the device in /sys/devices: …/0000:00:14.0/usb1/1-4/1-4.2.
    """
    place = folder.resolve()
    root_hub = next((above for above in place.parents if re.fullmatch(r"usb[0-9]+", above.name)), None)
    if root_hub is None:
        return ""
    controller = root_hub.parent
    subsystem = controller / "subsystem"
    kind = subsystem.readlink().name if subsystem.is_symlink() else ""
    return f"{kind}-{controller.name}-usb-0:{folder.name.partition('-')[2]}" if kind else ""


def _speed(text: str) -> str:
    return SPEEDS.get(text, "super" if text.isdigit() else "")


def _text(folder: Path, name: str) -> str:
    try:
        return (folder / name).read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError:
        return ""


def described_interfaces(port: str, devices: Path = DEVICES) -> tuple[Interface, ...]:
    """The interfaces in all configurations of a device. Empty if not known."""
    return tuple(interfaces(_configurations(port, devices)))


def raw_configuration(port: str, value: int, devices: Path = DEVICES) -> bytes:
    """The configuration descriptor with bConfigurationValue `value`, with its class descriptors. Empty if not known."""
    blob = _configurations(port, devices)
    while len(blob) >= 9:
        length = int.from_bytes(blob[2:4], "little")
        if blob[5] == value and length >= 9:
            return blob[:length]
        blob = blob[max(length, 9) :]
    return b""


def _configurations(port: str, devices: Path) -> bytes:
    """All configuration descriptors of a device, one after the other. Empty if not known."""
    try:
        return (devices / port / "descriptors").read_bytes()[DEVICE_DESCRIPTOR:]
    except OSError:
        return b""
