"""A copy of sysfs in a folder, with U.are.U readers plugged in."""

from pathlib import Path

CONFIGURATIONS = bytes([9, 2, 9, 0, 0, 1, 0, 0, 0]), bytes([9, 2, 12, 0, 0, 2, 0, 0, 0, 3, 0x24, 1])


def plug_behind(root: Path, controller: str, bus: int, ports: str, address: int) -> Path:
    """Add a reader behind a USB controller, as the kernel shows it. Returns the folder of all devices.

    `controller`: its place and name below devices/, as in pci0000:00/0000:00:14.0.
    """
    devices = root / "bus" / "usb" / "devices"
    devices.mkdir(parents=True, exist_ok=True)
    hub = root / "devices" / controller
    hub.mkdir(parents=True, exist_ok=True)
    if not (hub / "subsystem").is_symlink():
        (hub / "subsystem").symlink_to(Path("/sys/bus") / ("pci" if controller.startswith("pci") else "platform"))
    place = hub / f"usb{bus}"
    numbers = ports.split(".")
    for depth in range(1, len(numbers)):
        place /= f"{bus}-{'.'.join(numbers[:depth])}"
    plug(place, f"{bus}-{ports}", address)
    (place / f"{bus}-{ports}" / "busnum").write_text(f"{bus}\n")
    (devices / f"{bus}-{ports}").symlink_to(place / f"{bus}-{ports}")
    return devices


def plug(devices: Path, port: str, address: int, serial: str = "") -> None:
    """Add the folder of a reader."""
    folder = devices / port
    folder.mkdir(parents=True)
    facts = {
        "idVendor": "05ba", "idProduct": "000a", "bcdDevice": "0102", "busnum": "1", "devnum": str(address),
        "speed": "12",
    }  # fmt: skip
    for name, text in (facts | ({"serial": serial} if serial else {})).items():
        (folder / name).write_text(f"{text}\n")
    (folder / "descriptors").write_bytes(bytes(18) + b"".join(CONFIGURATIONS))
