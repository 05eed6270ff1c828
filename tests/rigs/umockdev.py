"""Runs a child process under umockdev, with simulated devices behind the real libusb or with a recording."""

import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

DEBIAN_PYTHON = Path("/usr/bin/python3")
ROOT = Path(__file__).parents[2]
PACKAGES = "umockdev gir1.2-umockdev-1.0 python3-gi libusb-1.0-0"
PROBE = "import gi; gi.require_version('UMockdev', '1.0'); from gi.repository import UMockdev"


@cache
def missing() -> str:
    """Which part of umockdev is not installed, and how to install it. Empty if nothing is missing."""
    if not shutil.which("umockdev-wrapper") or not shutil.which("umockdev-run"):
        return f"umockdev is not installed: apt install {PACKAGES}"
    probe = subprocess.run([DEBIAN_PYTHON, "-c", PROBE], check=False, capture_output=True)
    if probe.returncode:
        return f"{DEBIAN_PYTHON} has no bindings of umockdev: apt install {PACKAGES}"
    return ""


def command(devices: str, control: Path | None, *child: str) -> list[str]:
    """The command that runs `child` on a simulated USB host with the devices of `devices`."""
    options = ["--control", str(control)] if control else []
    module = "simulators.transports.usb.umockdev"
    return ["umockdev-wrapper", str(DEBIAN_PYTHON), "-m", module, devices, *options, "--", *child]


needs_umockdev = pytest.mark.skipif(bool(missing()), reason=missing() or "umockdev is installed")
