"""A camera of 30 frames of 640x480 a second over both bindings: every frame byte for byte; then the cable, at random.

The camera reads each frame out in nine tenths of its time, and whoever captures does something with it before the next
call, as a viewer does: all but a few frames must come out all the same.

python -m tests.whole.drills.camera --seconds 60 --unplugs 20 --via usbip --via libusb
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

from drivers.errors import LinkLost
from drivers.uvc.driver import Uvc
from drivers.uvc.payload import RawFrame
from simulators.polling import wait_until
from simulators.sensors.uvc.descriptors import UvcSettings
from simulators.sensors.uvc.device import UvcCamera
from simulators.sensors.uvc.frames import NUMBER_BYTES, Mode, numbered
from simulators.sensors.uvc.plugged import SETTINGS_VARIABLE, settings_text
from simulators.transports.remote import SensorRemote
from simulators.transports.usb.usbip import UsbIpServer
from tests.rigs.umockdev import command

FPS = 30.0
SIZE = (640, 480)
MODE = Mode("y800", *SIZE, round(1e7 / FPS))
SETTINGS = UvcSettings(max_payload=65_536)  # a frame in five; umockdev cannot keep up with many small transfers
FRAME_BYTES = SIZE[0] * SIZE[1]
RECOVER_S = 5.0
WORK_S = 0.01  # between two captures; a frame check takes about so long
CAPTURED = 0.95  # at least, of the frames that the driver read
LIBUSB_URL = f"usb:{SETTINGS.vendor:04x}:{SETTINGS.product:04x}"


class Cable(Protocol):
    """Pulls and puts back, wherever the device is."""

    def unplug(self, after: int) -> None:
        """After so many bytes."""

    def replug(self) -> None:
        """And back."""


class Orders:
    """The cable of a device in another process."""

    def __init__(self, control: Path) -> None:
        self._remote = SensorRemote(control=control)

    def unplug(self, after: int) -> None:
        """After so many bytes."""
        self._remote.unplug(after)

    def replug(self) -> None:
        """And back."""
        self._remote.replug()


class Hands:
    """The cable of a device in this process."""

    def __init__(self, server: UsbIpServer) -> None:
        self._server = server

    def unplug(self, after: int) -> None:
        """After so many bytes."""
        self._server.unplug_after(after)

    def replug(self) -> None:
        """And back."""
        self._server.replug()


@dataclass
class Seen:
    """What the drill saw over one binding."""

    seconds: float = 0.0
    captured: int = 0  # samples that capture() gave
    streamed: int = 0  # whole frames that the driver read meanwhile
    wrong: int = 0  # of both, not byte for byte what the camera sent
    missed: int = 0  # numbers left out between the first and the last frame read
    cpu: float = 0.0  # of one core, this process
    recovered: list[float] = field(default_factory=list)  # seconds from replugging to a right frame
    threads_left: int = 0

    @property
    def fps(self) -> float:
        """Frames read a second."""
        return self.streamed / self.seconds

    def problems(self, unplugs: int) -> list[str]:
        """What acceptance does not allow."""
        found = {
            f"{self.fps:.1f} frames/s in place of {FPS:g}": self.fps < 0.99 * FPS,
            f"{self.wrong} frames were not what the camera sent": self.wrong,
            f"{self.missed} frames were missed": self.missed,
            f"only {self.captured} of {self.streamed} frames were captured": self.captured < CAPTURED * self.streamed,
            f"{len(self.recovered)} of {unplugs} times recovered": len(self.recovered) != unplugs,
            f"{self.threads_left} threads left": self.threads_left,
        }
        return [problem for problem, there in found.items() if there]

    def __str__(self) -> str:
        """In a line."""
        text = f"{self.streamed} frames in {self.seconds:.1f} s ({self.fps:.1f}/s), {self.captured} of them captured, "
        text += f"{self.wrong} wrong, {self.missed} missed, CPU {100 * self.cpu:.0f} % of a core"
        if back := sorted(self.recovered):
            text += f"; {len(back)} times replugged: right again after {back[len(back) // 2]:.2f} s,"
            text += f" at most {back[-1]:.2f} s"
        return f"{text}; {self.threads_left} threads left"


class Witness:
    """Looks up every frame that the driver reads, in the driver's thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers: list[int] = []
        self._wrong = 0

    def __call__(self, frame: RawFrame) -> None:
        """One whole frame."""
        number = interface_number(frame.data)
        with self._lock:
            self._wrong += number is None
            self._numbers += [] if number is None else [number]

    def report(self, seen: Seen) -> None:
        """What has come so far."""
        with self._lock:
            seen.wrong += self._wrong
            seen.streamed = len(self._numbers)
            seen.missed = self._numbers[-1] - self._numbers[0] + 1 - len(self._numbers)

    def forget(self) -> None:
        """Begin anew."""
        with self._lock:
            self._numbers, self._wrong = [], 0


def interface_number(pixels: bytes) -> int | None:
    """The number that a frame carries; None when it is not that frame byte for byte."""
    number = int.from_bytes(pixels[:NUMBER_BYTES], "little")
    return number if number < 1 << 32 and pixels == numbered(number, MODE) else None


def watch(sensor: Uvc, witness: Witness, seconds: float, seen: Seen) -> None:
    """Capture one sample after another and look each up."""
    sensor.capture(1.0)
    witness.forget()
    start, cpu = time.monotonic(), _cpu()
    while time.monotonic() - start < seconds:
        good = interface_number(sensor.capture(1.0).image.tobytes()) is not None
        seen.captured += good
        seen.wrong += not good
        time.sleep(WORK_S)
    seen.seconds = time.monotonic() - start
    seen.cpu = (_cpu() - cpu) / seen.seconds
    witness.report(seen)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def pull(sensor: Uvc, cable: Cable, rng: random.Random, seen: Seen) -> None:
    """Pull the cable somewhere in the next frames; put it back; the next capture must be right again."""
    cable.unplug(rng.randrange(1, 3 * FRAME_BYTES))
    deadline = time.monotonic() + RECOVER_S
    try:
        while time.monotonic() < deadline:
            sensor.capture(1.0)
    except LinkLost:
        sensor.close()
    else:
        raise TimeoutError("the cable was pulled and nobody noticed")
    cable.replug()
    start = time.monotonic()
    open_again(sensor, start + RECOVER_S)
    if interface_number(sensor.capture(1.0).image.tobytes()) is None:
        raise ValueError("a frame that the camera never sent")
    seen.recovered.append(time.monotonic() - start)


def open_again(sensor: Uvc, deadline: float) -> None:
    """As a station does: until it is there."""
    while True:
        try:
            sensor.open()
        except LinkLost:
            if time.monotonic() > deadline:
                raise
        else:
            return


def drill(url: str, cable: Cable, seconds: float, unplugs: int, seed: int) -> Seen:
    """The whole drill over one binding."""
    seen, witness, before = Seen(), Witness(), threading.active_count()
    sensor = Uvc(url, {"fps": FPS}, on_frame=witness)
    sensor.open()
    watch(sensor, witness, seconds, seen)
    rng = random.Random(seed)
    for _ in range(unplugs):
        pull(sensor, cable, rng, seen)
    sensor.close()
    wait_until(lambda: threading.active_count() <= before, RECOVER_S)  # the server's end of a link ends a little later
    seen.threads_left = max(0, threading.active_count() - before)
    return seen


def over_usbip(seconds: float, unplugs: int, seed: int) -> Seen:
    """Camera and driver in this process, with USB/IP over the loopback between them."""
    with UsbIpServer(UvcCamera(SETTINGS)) as server:
        return drill(server.url, Hands(server), seconds, unplugs, seed)


def over_libusb(seconds: float, unplugs: int, seed: int) -> Seen:
    """The driver in a child on a simulated machine, over the real libusb."""
    with tempfile.TemporaryDirectory() as folder:
        control, result = Path(folder) / "control", Path(folder) / "seen.json"
        ours = ["--inside", str(control), "--result", str(result)]
        words = ["--seconds", str(seconds), "--unplugs", str(unplugs), "--seed", str(seed)]
        child = [sys.executable, "-m", "tests.whole.drills.camera", *ours, *words]
        there = command("simulators.sensors.uvc.plugged:camera", control, *child)
        environment = os.environ | {SETTINGS_VARIABLE: settings_text(SETTINGS)}
        subprocess.run(there, check=True, timeout=seconds + 30 * unplugs + 30, env=environment)
        return Seen(**json.loads(result.read_text(encoding="ascii")))


BINDINGS = {"usbip": over_usbip, "libusb": over_libusb}


def main() -> int:
    """Run it and say what was seen; 1 when acceptance does not hold."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, default=60.0)
    arguments.add_argument("--unplugs", type=int, default=20)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--via", choices=BINDINGS, action="append", help="one binding only; default: all")
    arguments.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    arguments.add_argument("--result", type=Path, help=argparse.SUPPRESS)
    asked = arguments.parse_args()
    if asked.inside is not None:
        seen = drill(LIBUSB_URL, Orders(asked.inside), asked.seconds, asked.unplugs, asked.seed)
        asked.result.write_text(json.dumps(asdict(seen)), encoding="ascii")
        return 0
    status = 0
    for name in asked.via or BINDINGS:
        seen = BINDINGS[name](asked.seconds, asked.unplugs, asked.seed)
        problems = seen.problems(asked.unplugs)
        print(f"{name}: {seen}", *problems, sep="\n  ", flush=True)
        status |= bool(problems)
    return status


if __name__ == "__main__":
    sys.exit(main())
