"""Each simulated sensor on a virtual clock, as the fault scripts of drills/sensors.py drive it. One row a driver."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from drivers.ef01 import Ef01
from drivers.options import OptionValue
from drivers.sensor import Sensor
from drivers.sfm import Sfm
from simulators.ef01 import EF01_FAULTS, Ef01Module, Ef01Settings
from simulators.faults import Faults
from simulators.sfm import SfmModule, SfmSettings
from simulators.sfm_wire import SFM_FAULTS
from tests.virtual_serial import VirtualPort
from tests.virtual_usb import VirtualTime


class Device(Protocol):
    """What the models of simulators/ have in common."""

    faults: Faults

    def lift(self) -> None: ...

    def clear_faults(self) -> None: ...


class Plug(Protocol):
    """A VirtualPort or a VirtualUsb."""

    def unplug(self) -> None: ...

    def replug(self) -> None: ...


@dataclass
class Target:
    """One sensor, its device and the plug between them."""

    sensor: Sensor
    device: Device
    plug: Plug
    time: VirtualTime
    about: str  # what was chosen of its options
    faults: tuple[str, ...]  # rows of FAULTS that the device can carry out
    transfer_bytes: int
    open_s: float  # within so long open() ends, whatever happens
    capture_s: float  # within so long of its time-out capture() ends
    close_s: float
    press: Callable[[int], NDArray[np.uint8]]  # something by a seed; the image that a sample of it must have
    claims: Callable[[], int]  # ports or interfaces that are still held


SIDE = 48
SLACK = 4.0  # times the longest transfer: an exchange is tried again, and what is on its way is let by first


def ef01(rng: random.Random) -> Target:
    """An EF01 module; packet size, rate and what the driver is told of them by chance."""
    time = VirtualTime()
    baud = rng.choice([9600, 57_600, 115_200])
    packet_size = rng.choice([32, 64, 128, 256])
    settings = Ef01Settings(width=SIDE, height=SIDE, baud=baud, packet_size=packet_size, hello=rng.random() < 0.3)
    module = Ef01Module(settings, seed=rng.getrandbits(32), clock=time.now)
    port = VirtualPort(module, time, seed=rng.getrandbits(32))
    options: dict[str, OptionValue] = {"width": SIDE, "height": SIDE}
    if rng.random() < 0.3:
        options["packet_size"] = rng.choice([32, 64, 128, 256])
    if rng.random() < 0.3:
        options["baud"] = rng.choice([57_600, 115_200])
    url = f"serial:/dev/ttyFP0?baud={baud}"
    image_s = 1.5 * line_s(SIDE * SIDE * (1 + 11 / 32) / 2 + 200, 9600) + 2

    def press(seed: int) -> NDArray[np.uint8]:
        image = np.random.default_rng(seed).integers(0, 16, (SIDE, SIDE), np.uint8) * np.uint8(17)
        module.press(image)
        return image

    return Target(
        sensor=Ef01(url, options, clock=time.now, connect=port.connect),
        device=module,
        plug=port,
        time=time,
        about=f"{url} {options} hello={settings.hello} packets={packet_size}",
        faults=EF01_FAULTS,
        transfer_bytes=SIDE * SIDE // 2 + 11 * (SIDE * SIDE // 2 // packet_size) + 40,
        open_s=3 * SLACK * (image_s + 4),
        capture_s=SLACK * (image_s + 4),
        close_s=0.0,
        press=press,
        claims=lambda: port.claims,
    )


def sfm(rng: random.Random) -> Target:
    """An SFM module; rate, transfer, depth, network form and the intermediate answer by chance."""
    time = VirtualTime()
    baud = rng.choice([9600, 57_600, 115_200])
    terminal = rng.choice([None, None, 7])
    settings = SfmSettings(
        width=SIDE, height=SIDE, baud=baud, terminal=terminal, send_scanned=rng.random() < 0.7,
        settle_s=rng.choice([0.0, 0.2]), timeout_code=rng.choice([0x30, 0x31, 0x3A]),
    )  # fmt: skip
    module = SfmModule(settings, seed=rng.getrandbits(32), clock=time.now)
    port = VirtualPort(module, time, seed=rng.getrandbits(32))
    grey = rng.choice(["8bit", "4bit"])
    options: dict[str, OptionValue] = {
        "width": SIDE, "height": SIDE, "grey": grey, "transfer": rng.choice(["auto", "extended", "plain"]),
    }  # fmt: skip
    if terminal is not None:
        options["terminal"] = terminal
    if rng.random() < 0.3:
        options["baud"] = rng.choice([57_600, 115_200])
    url = f"serial:/dev/ttyFP0?baud={baud}"
    image_s = 1.5 * line_s(SIDE * SIDE + 800, 9600) + 2

    def press(seed: int) -> NDArray[np.uint8]:
        levels, step = (16, 17) if grey == "4bit" else (256, 1)
        image = np.random.default_rng(seed).integers(0, levels, (SIDE, SIDE), np.uint8) * np.uint8(step)
        module.press(image)
        return image

    return Target(
        sensor=Sfm(url, options, clock=time.now, connect=port.connect),
        device=module,
        plug=port,
        time=time,
        about=f"{url} {options} {settings}",
        faults=tuple(name for name in SFM_FAULTS if terminal is not None or name != "wrong_address"),
        transfer_bytes=SIDE * SIDE + 200,
        open_s=3 * SLACK * (image_s + 4),
        capture_s=SLACK * (image_s + 4),
        close_s=image_s + 4,
        press=press,
        claims=lambda: port.claims,
    )


def line_s(count: float, baud: int) -> float:
    """Seconds of so many bytes on a serial line."""
    return 10 * count / baud


TARGETS: dict[str, Callable[[random.Random], Target]] = {"ef01": ef01, "sfm": sfm}
