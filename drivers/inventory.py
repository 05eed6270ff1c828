"""Lists the attached devices that a driver supports: driver, URL, whether it is free, and what to do if it is not.

USB devices and adapters are found in sysfs. A USB sensor is opened for a moment to read its model and firmware, but not
if a kernel driver uses it, because opening would detach that driver. A camera (known by its USB class only) is not
opened: it may be in use, and its light would go on. The device behind a serial adapter is not identified, because
nothing is sent to it. An adapter without a serial port is listed with what is missing, and so is a serial port of a USB
device that no driver declares.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from drivers import known_drivers, open_sensor
from drivers.errors import (
    GRANT_ACCESS_COMMAND,
    POLICY_ADVICE,
    DeviceBusy,
    PermissionDenied,
    PolicyDenied,
    SensorError,
)
from drivers.matches import ClassMatch, Match, UsbMatch
from drivers.printable import printable
from drivers.sensor import DeviceInfo
from drivers.serial_line import open_serial
from drivers.udev import declared_devices
from drivers.usb.local import lasting_url
from drivers.usb.sysfs import DEVICES, PluggedInDevice, described_interfaces, plugged_in

STOP_OTHER_PROGRAM = (
    "if the daemon uses it (see `kiosk-agent status`), stop the daemon first; otherwise stop the program that uses it"
)
STABLE_LINKS = {  # folders of links to device files, named after the USB port; the best one first
    "tty": ("kiosk/port", "serial/by-path"),
    "video4linux": ("v4l/by-path",),
}
USBFS = "usbfs"  # not a kernel driver: a program has claimed the interface
NO_RULE = (
    "the udev rules do not know this device, so they give it to nobody. For this account: sudo usermod -aG dialout "
    '"$USER", then log in again. For the daemon: SupplementaryGroups=dialout in kiosk-agent.service'
)
BRLTTY = (
    "brltty takes many serial adapters for braille displays: sudo apt-get remove brltty, then plug this one in again"
)
_INSTALL_MODULES = (
    "if the module is not found, install it (on Ubuntu: linux-modules-extra-$(uname -r)); if it is blocked, remove it "
    "from /etc/modprobe.d"
)
_NOT_OPENED = "a camera is not opened here, because its light would go on"
SERIAL_BAUD = 57_600  # only to claim the port for a moment; nothing is sent


class Availability(StrEnum):
    """Whether the agent can use a device."""

    FREE = "free"
    NO_PORT = "no port"  # a serial adapter for which the kernel has created no tty
    IN_USE = "in use"
    NO_PERMISSION = "no permission"  # this account may not open it
    FAULTY = "faulty"  # it does not answer as its driver expects


@dataclass(frozen=True, slots=True)
class AttachedDevice:
    """One attached device. `drivers` can use it; `remedy` says what to do, empty if nothing is wrong."""

    name: str
    url: str
    drivers: tuple[str, ...]
    availability: Availability
    detail: str
    remedy: str = ""

    def __post_init__(self) -> None:
        for text in ("url", "detail", "remedy"):  # with names from the device, and of files in /dev
            object.__setattr__(self, text, printable(getattr(self, text)))


def _identify(driver: str, url: str) -> DeviceInfo:
    sensor = open_sensor(driver, url)
    try:
        return sensor.open()
    finally:
        sensor.close()


@dataclass(frozen=True, slots=True)
class HostSystem:
    """Where the devices of this host are found, and how they are opened. Tests use another one."""

    devices: Path = DEVICES
    nodes: Path = Path("/dev")
    identify: Callable[[str, str], DeviceInfo] = _identify
    claim: Callable[[Path], None] = lambda node: open_serial(str(node), SERIAL_BAUD).close()


def attached_devices(host: HostSystem | None = None) -> list[AttachedDevice]:
    """Returns every known device, in the order of the ports. Opens each free one for a moment, except cameras."""
    host = host or HostSystem()
    known = declared_devices(known_drivers())
    return [
        found
        for device in plugged_in(host.devices)
        for match, drivers in _matches(device, known, host).items()
        for found in _describe(match, tuple(drivers), device, host)
    ]


def _matches(
    device: PluggedInDevice, known: Mapping[Match, Sequence[str]], host: HostSystem
) -> Mapping[Match, Sequence[str]]:
    """What a device is, and for which drivers: by its id before its class, and at last by the tty that it has."""
    found = {match: drivers for match, drivers in known.items() if _fits(match, device, host)}
    serial = [match for match in found if match.subsystem == "tty"]
    if not serial and _nodes(device, "tty", host):
        vendor, product = device.identity.vendor, device.identity.product
        unknown = UsbMatch(vendor, product, f"USB device {vendor:04x}:{product:04x}", "tty")
        return found | {unknown: next(drivers for match, drivers in known.items() if match.subsystem == "tty")}
    surplus = serial if any(isinstance(match, UsbMatch) for match in serial) else []
    return {match: drivers for match, drivers in found.items() if isinstance(match, UsbMatch) or match not in surplus}


def _fits(match: Match, device: PluggedInDevice, host: HostSystem) -> bool:
    if isinstance(match, UsbMatch):
        return (match.vendor, match.product) == (device.identity.vendor, device.identity.product)
    return _class_pair(match) in _all_interface_classes(device, host)


def _all_interface_classes(device: PluggedInDevice, host: HostSystem) -> list[tuple[str, str]]:
    """Class and subclass of every interface, from the kernel or else from the descriptors of the device.

    The kernel knows no interface of a device that is not configured, and none on a simulated USB host.
    """
    shown = [_interface_class(folder) for folder in host.devices.glob(f"{device.identity.port}:*")]
    described = described_interfaces(device.identity.port, host.devices)
    return shown or [(f"{kind[0]:02x}", f"{kind[1]:02x}") for kind in (interface.kind for interface in described)]


def _class_pair(match: ClassMatch) -> tuple[str, str]:
    return f"{match.interface_class:02x}", f"{match.subclass:02x}"


def _interface_class(interface: Path) -> tuple[str, str]:
    try:
        names = ("bInterfaceClass", "bInterfaceSubClass")
        first, second = ((interface / name).read_text(encoding="ascii").strip() for name in names)
    except OSError:
        return "", ""
    return first, second


def _describe(
    match: Match, drivers: tuple[str, ...], device: PluggedInDevice, host: HostSystem
) -> Iterator[AttachedDevice]:
    if match.subsystem == "usb":
        yield _usb(match, drivers, device, host)
        return
    kind = match.subsystem
    nodes = _nodes(device, kind, host)
    if kind == "tty" and not nodes:
        yield _without_port(match, drivers, device, host)
    for node in nodes:
        url = f"{'serial' if kind == 'tty' else 'v4l2'}:{_stable_path(node, kind, host)}"
        yield _node(match, drivers, node, url, host)


def _without_port(match: Match, drivers: tuple[str, ...], device: PluggedInDevice, host: HostSystem) -> AttachedDevice:
    """A serial adapter that has no tty: who holds it instead, or which kernel module is missing."""
    folders = host.devices.glob(f"{device.identity.port}:*")
    holders = {
        _kernel_driver(folder)
        for folder in folders
        if isinstance(match, UsbMatch) or _interface_class(folder) == _class_pair(match)
    } or {""}
    loaded = (host.devices.parent / "drivers" / match.module).is_dir()
    if USBFS in holders:
        detail, remedy = "no serial port: another program holds the adapter", f"stop that program; {BRLTTY}"
    elif match.module in holders:
        detail, remedy = "no serial port although its kernel driver uses it", "unplug it and plug it in again"
    elif "" not in holders:
        detail = f"no serial port: used by the kernel driver {', '.join(sorted(holders))}"
        remedy = f"it needs the kernel module {match.module}: remove the other one, then plug the adapter in again"
    elif loaded:
        detail = f"no serial port: the kernel module {match.module} is loaded, but does not use the adapter"
        remedy = f"{BRLTTY}. If that does not help, the kernel is too old for this adapter"
    else:
        detail = f"no serial port: the kernel module {match.module} is not loaded"
        remedy = f"sudo modprobe {match.module}; {_INSTALL_MODULES}"
    where = f"USB port {device.identity.port}"
    return AttachedDevice(match.name, where, drivers, Availability.NO_PORT, detail, remedy)


def _nodes(device: PluggedInDevice, kind: str, host: HostSystem) -> list[Path]:
    """The device files that the kernel has created for a USB device: .../1-4:1.0/[ttyUSB0/]tty/ttyUSB0."""
    interfaces = sorted(host.devices.glob(f"{device.identity.port}:*"))
    found = {path.name for folder in interfaces for path in (*folder.glob(f"{kind}/*"), *folder.glob(f"*/{kind}/*"))}
    return [host.nodes / name for name in sorted(found)]


def _stable_path(node: Path, kind: str, host: HostSystem) -> Path:
    """A path that stays the same when devices are replaced or added, if udev has created one."""
    for folder in STABLE_LINKS[kind]:
        for link in sorted((host.nodes / folder).glob("*")):
            if link.resolve() == node.resolve():
                return link
    return node


def _usb(
    match: UsbMatch | ClassMatch, drivers: tuple[str, ...], device: PluggedInDevice, host: HostSystem
) -> AttachedDevice:
    identity = device.identity
    url = str(lasting_url(device))
    if holder := _holder(match, device, host):
        return _in_use(match, drivers, url, holder, [str(node) for node in _nodes(device, "video4linux", host)])
    node = host.nodes / "bus" / "usb" / f"{device.bus:03d}" / f"{device.address:03d}"
    if not os.access(node, os.R_OK | os.W_OK):
        return _no_permission(match, drivers, node, url)
    if isinstance(match, ClassMatch):
        try_it = f"{_NOT_OPENED}: try `kiosk-agent capture {drivers[0]} {url}`"
        return AttachedDevice(match.name, url, drivers, Availability.FREE, _camera_text(identity.serial), try_it)
    return _try_open(match, drivers, node, url, lambda: _identified(drivers[0], url, identity.serial, host))


def _holder(match: Match, device: PluggedInDevice, host: HostSystem) -> str:
    """What uses the interfaces of `match`: the name of a kernel driver, or usbfs for a program. Empty if free.

    In a device known by its id, any interface may belong to the sensor, so it is in use only if all interfaces are: a
    fingerprint reader in a keyboard is free although the kernel driver uses the keys.
    """
    folders = sorted(host.devices.glob(f"{device.identity.port}:*"))
    holders = [
        _kernel_driver(folder)
        for folder in folders
        if isinstance(match, UsbMatch) or _interface_class(folder) == _class_pair(match)
    ]
    if isinstance(match, UsbMatch) and ("" in holders or USBFS in holders):
        return ""  # if a program has claimed it, opening the device reports that
    return next(filter(None, holders), "")


def _kernel_driver(interface: Path) -> str:
    link = interface / "driver"
    return link.readlink().name if link.is_symlink() else ""


def _in_use(match: Match, drivers: tuple[str, ...], url: str, holder: str, nodes: list[str]) -> AttachedDevice:
    if holder == USBFS:
        return AttachedDevice(
            match.name, url, drivers, Availability.IN_USE, "another program holds the device", STOP_OTHER_PROGRAM
        )
    if isinstance(match, ClassMatch):
        at = f" at {', '.join(nodes)}" if nodes else ""
        detail = f"used by the kernel driver {holder}: use driver v4l2{at}"
        return AttachedDevice(match.name, url, drivers, Availability.IN_USE, detail)
    remedy = f"block the kernel module {holder} in /etc/modprobe.d, then plug the sensor in again"
    return AttachedDevice(match.name, url, drivers, Availability.IN_USE, f"used by the kernel driver {holder}", remedy)


def _camera_text(serial: str) -> str:
    return "a camera" + (f", serial {serial}" if serial else "")


def _identified(driver: str, url: str, serial: str, host: HostSystem) -> str:
    info = host.identify(driver, url)
    serial = info.serial or serial
    parts = [info.model, f"firmware {info.firmware}" if info.firmware else "", f"serial {serial}" if serial else ""]
    return ", ".join(filter(None, parts))


def _node(match: Match, drivers: tuple[str, ...], node: Path, url: str, host: HostSystem) -> AttachedDevice:
    unknown = match.subsystem == "tty" and not match.module
    if not os.access(node, os.R_OK | os.W_OK):
        return _no_permission(match, drivers, node, url, NO_RULE if unknown else GRANT_ACCESS_COMMAND)
    if unknown:  # not opened: it may be a modem
        detail = "a serial port, not in the table of serial adapters"
        return AttachedDevice(match.name, url, drivers, Availability.FREE, detail, _try_it(drivers, url))
    if match.subsystem != "tty":
        return AttachedDevice(match.name, url, drivers, Availability.FREE, "a camera with a kernel driver")

    def claimed() -> str:
        host.claim(node)
        return "a serial adapter"

    found = _try_open(match, drivers, node, url, claimed)
    return replace(found, remedy=_try_it(drivers, url)) if found.availability is Availability.FREE else found


def _try_it(drivers: tuple[str, ...], url: str) -> str:
    return f"the sensor behind it is not identified here: try `kiosk-agent capture {drivers[0]} {url}`"


def _try_open(
    match: Match, drivers: tuple[str, ...], node: Path, url: str, describe: Callable[[], str]
) -> AttachedDevice:
    """The device with what `describe` returns, or with the reason why it cannot be opened."""
    try:
        return AttachedDevice(match.name, url, drivers, Availability.FREE, describe())
    except PolicyDenied:
        return _no_permission(match, drivers, node, url, POLICY_ADVICE)
    except PermissionDenied:
        return _no_permission(match, drivers, node, url)
    except DeviceBusy as error:
        return AttachedDevice(match.name, url, drivers, Availability.IN_USE, str(error), STOP_OTHER_PROGRAM)
    except SensorError as error:
        return AttachedDevice(
            match.name, url, drivers, Availability.FAULTY, str(error), "unplug it and plug it in again"
        )


def _no_permission(
    match: Match, drivers: tuple[str, ...], node: Path, url: str, remedy: str = GRANT_ACCESS_COMMAND
) -> AttachedDevice:
    detail = f"this account has no permission on {node}"
    return AttachedDevice(match.name, url, drivers, Availability.NO_PERMISSION, detail, remedy)
