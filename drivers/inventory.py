"""What is plugged into this machine that a driver knows: which driver, where, free or taken, and what to do about it.

USB devices and adapters are found by what the kernel tells of them (sysfs). A sensor on USB is opened for a moment and
asked who it is; what is behind a serial adapter is not asked, for it may be anything.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from drivers import known_drivers, open_sensor
from drivers.errors import DeviceTaken, SensorError
from drivers.matches import ClassMatch, Match, UsbMatch
from drivers.sensor import DeviceInfo
from drivers.transport_serial import open_serial
from drivers.udev import GROUP, matches
from drivers.usb_sysfs import DEVICES, PluggedIn, plugged_in

RULES = "systemd/60-kiosk-sensors.rules"
MENDS_ACCESS = (
    f"install {RULES} into /etc/udev/rules.d, then `udevadm control --reload` and `udevadm trigger`; "
    f"and `usermod -aG {GROUP} $USER`, then log in again"
)
MENDS_TAKEN = "if the daemon has it (`kiosk-agent status`), stop the daemon first; else stop the program that does"
SERIAL_BAUD = 57_600  # to claim a port for a moment; nothing is sent


class Standing(StrEnum):
    """How a device stands towards us."""

    FREE = "free"
    TAKEN = "taken"
    FORBIDDEN = "forbidden"  # this account may not open it
    UNWELL = "unwell"  # it does not answer as its driver expects


@dataclass(frozen=True, slots=True)
class Attached:
    """One device that is plugged in. `drivers`: those that may serve it; `mend`: what to do, empty where nothing."""

    name: str
    url: str
    drivers: tuple[str, ...]
    standing: Standing
    detail: str
    mend: str = ""


def _identify(driver: str, url: str) -> DeviceInfo:
    sensor = open_sensor(driver, url)
    try:
        return sensor.open()
    finally:
        sensor.close()


@dataclass(frozen=True, slots=True)
class Machine:
    """Where to look: another one in a test."""

    devices: Path = DEVICES
    nodes: Path = Path("/dev")
    identify: Callable[[str, str], DeviceInfo] = _identify
    claim: Callable[[Path], None] = lambda node: open_serial(str(node), SERIAL_BAUD).close()


def attached(machine: Machine | None = None) -> list[Attached]:
    """Every known device, in the order of the ports. Opens each that is free for a moment."""
    machine = machine or Machine()
    known = matches(known_drivers())
    return [
        found
        for device in plugged_in(machine.devices)
        for match, drivers in known.items()
        if _fits(match, device, machine)
        for found in _look(match, tuple(drivers), device, machine)
    ]


def _fits(match: Match, device: PluggedIn, machine: Machine) -> bool:
    if isinstance(match, UsbMatch):
        return (match.vendor, match.product) == (device.identity.vendor, device.identity.product)
    wanted = (f"{match.interface_class:02x}", f"{match.subclass:02x}")
    return any(_classes(folder) == wanted for folder in machine.devices.glob(f"{device.identity.port}:*"))


def _classes(interface: Path) -> tuple[str, str]:
    try:
        names = ("bInterfaceClass", "bInterfaceSubClass")
        first, second = ((interface / name).read_text(encoding="ascii").strip() for name in names)
    except OSError:
        return "", ""
    return first, second


def _look(match: Match, drivers: tuple[str, ...], device: PluggedIn, machine: Machine) -> Iterator[Attached]:
    if match.subsystem == "usb":
        yield _usb(match, drivers, device, machine)
        return
    kind = "tty" if match.subsystem == "tty" else "video4linux"
    for node in _nodes(device, kind, machine):
        url = f"serial:{node}" if kind == "tty" else f"v4l2:{node}"
        yield _node(match, drivers, node, url, machine)


def _nodes(device: PluggedIn, kind: str, machine: Machine) -> list[Path]:
    """The device files that the kernel has made of a USB device: .../1-4:1.0/[ttyUSB0/]tty/ttyUSB0."""
    interfaces = sorted(machine.devices.glob(f"{device.identity.port}:*"))
    found = {path.name for folder in interfaces for path in (*folder.glob(f"{kind}/*"), *folder.glob(f"*/{kind}/*"))}
    return [machine.nodes / name for name in sorted(found)]


def _usb(match: UsbMatch | ClassMatch, drivers: tuple[str, ...], device: PluggedIn, machine: Machine) -> Attached:
    identity = device.identity
    url = f"usb:{identity.vendor:04x}:{identity.product:04x}?port={identity.port}"
    node = machine.nodes / "bus" / "usb" / f"{device.bus:03d}" / f"{device.address:03d}"
    if not os.access(node, os.R_OK | os.W_OK):
        return Attached(match.name, url, drivers, Standing.FORBIDDEN, f"no permission on {node}", MENDS_ACCESS)
    try:
        info = machine.identify(drivers[0], url)
    except DeviceTaken as error:
        return Attached(match.name, url, drivers, Standing.TAKEN, str(error), MENDS_TAKEN)
    except SensorError as error:
        return Attached(match.name, url, drivers, Standing.UNWELL, str(error), "pull it out and plug it in again")
    serial = info.serial or identity.serial
    told = [info.model, f"firmware {info.firmware}" if info.firmware else "", f"serial {serial}" if serial else ""]
    return Attached(match.name, url, drivers, Standing.FREE, ", ".join(filter(None, told)))


def _node(match: Match, drivers: tuple[str, ...], node: Path, url: str, machine: Machine) -> Attached:
    if not os.access(node, os.R_OK | os.W_OK):
        return Attached(match.name, url, drivers, Standing.FORBIDDEN, f"no permission on {node}", MENDS_ACCESS)
    if match.subsystem != "tty":
        return Attached(match.name, url, drivers, Standing.FREE, "a camera of the kernel's own driver")
    try:
        machine.claim(node)
    except DeviceTaken as error:
        return Attached(match.name, url, drivers, Standing.TAKEN, str(error), MENDS_TAKEN)
    except SensorError as error:
        return Attached(match.name, url, drivers, Standing.UNWELL, str(error), "pull it out and plug it in again")
    ask = f"which sensor is behind it is not asked: try `kiosk-agent capture {drivers[0]} {url}`"
    return Attached(match.name, url, drivers, Standing.FREE, "a serial adapter", ask)
