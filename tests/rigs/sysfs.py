"""A copy of sysfs in a folder, with U.are.U readers plugged in."""

from pathlib import Path

CONFIGURATIONS = bytes([9, 2, 9, 0, 0, 1, 0, 0, 0]), bytes([9, 2, 12, 0, 0, 2, 0, 0, 0, 3, 0x24, 1])


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
