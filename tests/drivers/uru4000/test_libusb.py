"""The uru4000 driver and libfprint through the real libusb: a recording played back, and the simulated 4500.

Each runs in a child process under umockdev: no USB in the kernel, no root. What is absent here is skipped and says so.
"""

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from drivers.sample import Position
from simulators.people.person import Condition, Person
from simulators.polling import wait_until
from simulators.sensors.touch_plugged import SETTINGS_VARIABLE, TouchSettings
from simulators.sensors.uru4000.device import HEIGHT, WIDTH
from simulators.sensors.uru4000.units import DEFAULT_BLOCKS
from simulators.transports.remote import RemoteError, SensorRemote
from tests.conftest import SHARED
from tests.rigs.uru4000_rig import as_captured

ROOT = Path(__file__).parents[3]
RECORDING = SHARED / "recordings" / "uru4000-4500"
DEBIAN_PYTHON = "/usr/bin/python3"
CHILD_S = 30.0
AWAIT_LIFT = "12"  # the mode of a reader that has sent its image

# What our own driver does as a child of umockdev: one sample, its pixels to a file.
OUR_CLIENT = """
import sys, time
from pathlib import Path
from drivers import open_sensor
sensor = open_sensor("uru4000", sys.argv[2] if sys.argv[2:] else "usb:05ba:000a", {"seed": "0x51ea2124"})
sensor.open()
sample = sensor.capture(20.0)
sensor.close()
Path(sys.argv[1]).write_bytes(b"%d %d\\n" % sample.image.shape[::-1] + sample.image.tobytes())
"""


@functools.cache
def missing(*bindings: str) -> str:
    """What the tests of this page need and is not here."""
    if shutil.which("umockdev-run") is None:
        return "Debian's umockdev"
    names = "; ".join(
        f"gi.require_version({name!r}, {version!r})" for name, version in (b.split(":") for b in bindings)
    )
    asked = subprocess.run([DEBIAN_PYTHON, "-c", f"import gi; {names}"], capture_output=True, check=False)
    return "" if asked.returncode == 0 else f"Debian's bindings of {', '.join(bindings)}"


def need(*bindings: str) -> None:
    if absent := missing(*bindings):
        pytest.skip(f"{absent} not installed")


def read_picture(path: Path) -> NDArray[np.uint8]:
    head, _, pixels = path.read_bytes().partition(b"\n")
    width, height = map(int, head.split())
    return np.frombuffer(pixels, np.uint8).reshape(height, width)


def finger() -> NDArray[np.uint8]:
    """Of a synthetic person, good enough for others to find minutiae in it."""
    person = Person(7).finger(Position.RIGHT_INDEX)
    return person.impression(0, WIDTH, HEIGHT, 512, Condition.NORMAL)


def answers(remote: SensorRemote) -> bool:
    try:
        remote.status()
    except RemoteError:
        return False
    return True


@contextmanager
def simulated_host(folder: Path, *command: str, reader: str = "4500") -> Iterator[SensorRemote]:
    """`command` on a simulated USB host with a 4500 that has a finger on it, and the control socket."""
    environment = os.environ | {SETTINGS_VARIABLE: str(TouchSettings(choice={"reader": reader}))}
    pixels, remote = folder / "finger", SensorRemote(control=folder / "control")
    pixels.write_bytes(finger().tobytes())
    wrapper = [
        "-m",
        "simulators.transports.usb.umockdev",
        "simulators.sensors.touch_plugged:uru4000",
        "--control",
        str(remote.control),
    ]
    # Its output goes to a file: libusb says a thousand times that a device is being opened, and would wait for us.
    said = folder / "said"
    with (
        said.open("wb") as output,
        subprocess.Popen(
            ["umockdev-wrapper", DEBIAN_PYTHON, *wrapper, "--", *command],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=output,
        ) as process,
    ):
        try:
            assert wait_until(lambda: answers(remote), CHILD_S)
            remote.ask("press", pixels=str(pixels))
            yield remote
            assert process.wait(CHILD_S) == 0, said.read_text(errors="replace")[-2000:]
        finally:
            process.kill()


@pytest.mark.shared
def test_the_recorded_4500_gives_the_image_of_the_reference_driver(tmp_path: Path) -> None:
    need()
    device, out = RECORDING / "device", tmp_path / "out"
    path = device.read_text(encoding="utf-8").splitlines()[0].removeprefix("P: ")
    played = ["umockdev-run", "-d", str(device), "-p", f"/sys{path}={RECORDING / 'capture.pcapng'}"]
    subprocess.run([*played, "--", sys.executable, "-c", OUR_CLIENT, str(out)], cwd=ROOT, check=True, timeout=CHILD_S)
    reference = np.array(Image.open(RECORDING / "capture.png").convert("L"))
    assert np.count_nonzero(read_picture(out) != reference) == 0


def test_our_driver_reads_the_simulated_4500_through_libusb(tmp_path: Path) -> None:
    need("UMockdev:1.0")
    out = tmp_path / "out"
    with simulated_host(tmp_path, sys.executable, "-c", OUR_CLIENT, str(out)):
        pass
    assert (read_picture(out) == as_captured(finger())).all()


def test_the_reader_of_a_keyboard_is_read_and_its_keys_are_left_to_the_kernel(tmp_path: Path) -> None:
    """The simulated kernel's driver serves interface 0 and does not let go of it: whoever claims that is refused."""
    need("UMockdev:1.0")
    out = tmp_path / "out"
    with simulated_host(tmp_path, sys.executable, "-c", OUR_CLIENT, str(out), "usb:05ba:0008", reader="keyboard"):
        pass
    image = read_picture(out)
    assert np.count_nonzero((image != finger()).any(axis=1)) <= 1 + len(DEFAULT_BLOCKS)


def test_libfprint_reads_the_simulated_4500(tmp_path: Path) -> None:
    need("UMockdev:1.0", "FPrint:2.0")
    out = tmp_path / "out"
    client = str(ROOT / "tests" / "rigs" / "libfprint_client.py")
    with simulated_host(tmp_path, DEBIAN_PYTHON, client, str(out)) as remote:
        assert wait_until(lambda: remote.ask("counters")["mode"] == AWAIT_LIFT, CHILD_S)
        registers = remote.ask("counters")["registers"]
        remote.ask("lift")
    assert registers["w33"] == registers["r34"] == 1
    agreed = np.mean(read_picture(out) == as_captured(finger()))
    assert agreed >= 0.999
