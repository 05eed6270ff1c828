"""Streams 640x480 pixels at 30 frames a second, checks every frame, and unplugs the camera at random bytes.

The drill runs over both bindings, USB/IP and libusb. The camera needs nine tenths of the frame time to read a frame
out. The drill works for a short time between two captures, as the agent does. All frames that the driver reads must be
byte for byte what the camera sent, and nearly all of them must be captured. After each unplugging, the first capture
after replugging must be correct.

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
from tests.whole.drills.command_line import drill_parser, report_problems, times_text

FPS = 30.0
SIZE = (640, 480)
MODE = Mode("y800", *SIZE, round(1e7 / FPS))
SETTINGS = UvcSettings(max_payload=65_536)  # five payloads a frame; umockdev is too slow for many small transfers
FRAME_BYTES = SIZE[0] * SIZE[1]
RECOVER_S = 5.0
WORK_S = 0.01  # pause between two captures; a frame check takes about this long
MIN_CAPTURED = 0.95  # share of the frames that the driver read
LIBUSB_URL = f"usb:{SETTINGS.vendor:04x}:{SETTINGS.product:04x}"


class Cable(Protocol):
    """Unplugs a device and plugs it in again, in whichever process the device is."""

    def unplug(self, after: int) -> None:
        """Unplug after `after` more bytes."""

    def replug(self) -> None:
        """Plug in again."""


class RemoteCable:
    """The cable of a device in another process."""

    def __init__(self, control: Path) -> None:
        self._remote = SensorRemote(control=control)

    def unplug(self, after: int) -> None:
        """Unplug after `after` more bytes."""
        self._remote.unplug(after)

    def replug(self) -> None:
        """Plug in again."""
        self._remote.replug()


class LocalCable:
    """The cable of a device in this process."""

    def __init__(self, server: UsbIpServer) -> None:
        self._server = server

    def unplug(self, after: int) -> None:
        """Unplug after `after` more bytes."""
        self._server.unplug_after(after)

    def replug(self) -> None:
        """Plug in again."""
        self._server.replug()


@dataclass
class Measured:
    """What the drill measured over one binding."""

    seconds: float = 0.0
    captured: int = 0  # samples that capture() returned
    streamed: int = 0  # whole frames that the driver read in the same time
    wrong: int = 0  # of both: not byte for byte what the camera sent
    missed: int = 0  # frame numbers missing between the first and the last frame read
    cpu: float = 0.0  # share of one core used by this process
    recovered: list[float] = field(default_factory=list)  # seconds from replugging to a correct frame
    threads_left: int = 0

    @property
    def fps(self) -> float:
        """Frames read per second."""
        return self.streamed / self.seconds

    def problems(self, unplugs: int) -> list[str]:
        """The acceptance criteria that are not met."""
        criteria = {
            f"{self.fps:.1f} frames/s instead of {FPS:g}": self.fps < 0.99 * FPS,
            f"{self.wrong} frames were not what the camera sent": self.wrong,
            f"{self.missed} frames were missed": self.missed,
            f"only {self.captured} of {self.streamed} frames were captured": self.captured
            < MIN_CAPTURED * self.streamed,
            f"recovered {len(self.recovered)} times of {unplugs}": len(self.recovered) != unplugs,
            f"{self.threads_left} threads left": self.threads_left,
        }
        return [problem for problem, failed in criteria.items() if failed]

    def __str__(self) -> str:
        """All figures in one line."""
        text = f"{self.streamed} frames in {self.seconds:.1f} s ({self.fps:.1f}/s), {self.captured} of them captured, "
        text += f"{self.wrong} wrong, {self.missed} missed, CPU {100 * self.cpu:.0f} % of a core"
        if self.recovered:
            text += f"; replugged {len(self.recovered)} times, correct frame after: {times_text(self.recovered)}"
        return f"{text}; {self.threads_left} threads left"


class FrameChecker:
    """Checks every frame that the driver reads, in the driver's thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers: list[int] = []
        self._wrong = 0

    def __call__(self, frame: RawFrame) -> None:
        """Check one whole frame."""
        number = number_of_frame(frame.data)
        with self._lock:
            self._wrong += number is None
            self._numbers += [] if number is None else [number]

    def report(self, measured: Measured) -> None:
        """Add the results since the last reset."""
        with self._lock:
            measured.wrong += self._wrong
            measured.streamed = len(self._numbers)
            measured.missed = self._numbers[-1] - self._numbers[0] + 1 - len(self._numbers)

    def reset(self) -> None:
        """Forget the frames so far."""
        with self._lock:
            self._numbers, self._wrong = [], 0


def number_of_frame(pixels: bytes) -> int | None:
    """The number in a frame; None if the frame is not byte for byte the frame with this number."""
    number = int.from_bytes(pixels[:NUMBER_BYTES], "little")
    return number if number < 1 << 32 and pixels == numbered(number, MODE) else None


def stream(sensor: Uvc, checker: FrameChecker, seconds: float, measured: Measured) -> None:
    """Capture samples for this many seconds and check each."""
    sensor.capture(1.0)
    checker.reset()
    start, cpu = time.monotonic(), _cpu_seconds()
    while time.monotonic() - start < seconds:
        good = number_of_frame(sensor.capture(1.0).image.tobytes()) is not None
        measured.captured += good
        measured.wrong += not good
        time.sleep(WORK_S)
    measured.seconds = time.monotonic() - start
    measured.cpu = (_cpu_seconds() - cpu) / measured.seconds
    checker.report(measured)


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def unplug_once(sensor: Uvc, cable: Cable, rng: random.Random, measured: Measured) -> None:
    """Unplug at a random byte of the next three frames and plug in again. The next capture must be correct."""
    cable.unplug(rng.randrange(1, 3 * FRAME_BYTES))
    deadline = time.monotonic() + RECOVER_S
    try:
        while time.monotonic() < deadline:
            sensor.capture(1.0)
    except LinkLost:
        sensor.close()
    else:
        raise TimeoutError("the camera was unplugged, but no capture raised LinkLost")
    cable.replug()
    start = time.monotonic()
    open_again(sensor, start + RECOVER_S)
    if number_of_frame(sensor.capture(1.0).image.tobytes()) is None:
        raise ValueError("the camera did not send this frame")
    measured.recovered.append(time.monotonic() - start)


def open_again(sensor: Uvc, deadline: float) -> None:
    """Try to open the camera until it is found, as a station does."""
    while True:
        try:
            sensor.open()
        except LinkLost:
            if time.monotonic() > deadline:
                raise
        else:
            return


def drill(url: str, cable: Cable, seconds: float, unplugs: int, seed: int) -> Measured:
    """The whole drill over one binding."""
    measured, checker, before = Measured(), FrameChecker(), threading.active_count()
    sensor = Uvc(url, {"fps": FPS}, on_frame=checker)
    sensor.open()
    stream(sensor, checker, seconds, measured)
    rng = random.Random(seed)
    for _ in range(unplugs):
        unplug_once(sensor, cable, rng, measured)
    sensor.close()
    wait_until(
        lambda: threading.active_count() <= before, RECOVER_S
    )  # the server's thread of a link ends a little later
    measured.threads_left = max(0, threading.active_count() - before)
    return measured


def over_usbip(seconds: float, unplugs: int, seed: int) -> Measured:
    """Camera and driver in this process, connected by USB/IP over the loopback."""
    with UsbIpServer(UvcCamera(SETTINGS)) as server:
        return drill(server.url, LocalCable(server), seconds, unplugs, seed)


def over_libusb(seconds: float, unplugs: int, seed: int) -> Measured:
    """The driver in a child process on a simulated USB host, with the real libusb."""
    with tempfile.TemporaryDirectory() as folder:
        control, result = Path(folder) / "control", Path(folder) / "measured.json"
        options = ["--inside", str(control), "--result", str(result)]
        options += ["--seconds", str(seconds), "--unplugs", str(unplugs), "--seed", str(seed)]
        child = [sys.executable, "-m", "tests.whole.drills.camera", *options]
        whole = command("simulators.sensors.uvc.plugged:camera", control, *child)
        environment = os.environ | {SETTINGS_VARIABLE: settings_text(SETTINGS)}
        subprocess.run(whole, check=True, timeout=seconds + 30 * unplugs + 30, env=environment)
        return Measured(**json.loads(result.read_text(encoding="ascii")))


BINDINGS = {"usbip": over_usbip, "libusb": over_libusb}


def main() -> int:
    """Run the drill and print the figures. Exit status 1 if an acceptance criterion is not met."""
    parser = drill_parser(__doc__, unplugs=20)
    parser.add_argument("--seconds", type=float, default=60.0, help="streaming time before the unplugging, default: 60")
    parser.add_argument("--via", choices=BINDINGS, action="append", help="only this binding; default: all")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside is not None:
        measured = drill(
            LIBUSB_URL, RemoteCable(arguments.inside), arguments.seconds, arguments.unplugs, arguments.seed
        )
        arguments.result.write_text(json.dumps(asdict(measured)), encoding="ascii")
        return 0
    status = 0
    for name in arguments.via or BINDINGS:
        measured = BINDINGS[name](arguments.seconds, arguments.unplugs, arguments.seed)
        print(f"{name}: {measured}", flush=True)
        status |= report_problems(measured.problems(arguments.unplugs))
    return status


if __name__ == "__main__":
    sys.exit(main())
