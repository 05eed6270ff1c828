"""One rig for every row of SENSORS: the simulated device on its real wire, for the contract in test_sensor.py."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from drivers.options import Options
from simulators.sensors.ef01.device import Ef01Module, Ef01Settings
from simulators.sensors.sfm.device import SfmModule, SfmSettings
from simulators.transports.serial.pseudo_terminal import PtyServer
from tests.rigs.nb1010_rig import nb1010_rig
from tests.rigs.uru4000_rig import uru4000_rig
from tests.rigs.uvc_rig import uvc_rig
from tests.rigs.v4l2_rig import v4l2_rig


class Rig(Protocol):
    """A device that a test can present to, pull out and silence."""

    url: str
    options: Options
    transfer_bytes: int  # on the wire, from the answer to the last command up to the last byte of an image

    def present(self, seed: int) -> NDArray[np.uint8]:
        """Present something; return the image that a sample of it must have."""

    def remove(self) -> None:
        """Take away what was presented."""

    def unplug(self) -> None:
        """Pull the cable."""

    def unplug_after(self, count: int) -> None:
        """Pull the cable by itself after so many more bytes to the host."""

    def replug(self) -> None:
        """Put the cable back."""

    def silence(self) -> None:
        """From now on the device hears nothing and says nothing."""


MakeRig = Callable[[Path, bool], AbstractContextManager[Rig]]  # (folder, at the pace of the real wire)

# Small, so that a paced image takes under a second: 96 x 96 / 2 bytes in 36 packets at 57600 baud.
SIDE = 96
PACKET_SIZE = 128


@dataclass
class SerialRig:
    """A module behind a pseudo-terminal; `levels` grey levels are told apart."""

    server: PtyServer
    module: Ef01Module | SfmModule
    url: str
    options: Options
    transfer_bytes: int
    levels: int

    def present(self, seed: int) -> NDArray[np.uint8]:
        levels = np.random.default_rng(seed).integers(0, self.levels, (SIDE, SIDE), np.uint8)
        image = levels * np.uint8(255 // (self.levels - 1))
        self.module.press(image)
        return image

    def remove(self) -> None:
        self.module.lift()

    def unplug(self) -> None:
        self.server.unplug()

    def unplug_after(self, count: int) -> None:
        self.server.unplug_after(count)

    def replug(self) -> None:
        self.server.replug()

    def silence(self) -> None:
        self.module.inject("silent")


@contextmanager
def ef01_rig(folder: Path, pace: bool) -> Iterator[Rig]:  # noqa: FBT001 - one row of RIGS
    module = Ef01Module(Ef01Settings(width=SIDE, height=SIDE, packet_size=PACKET_SIZE), seed=1)
    image_bytes = SIDE * SIDE // 2
    with PtyServer(module, link=folder / "ttyFP0", pace=pace) as server:
        yield SerialRig(
            server=server,
            module=module,
            url=f"serial:{server.link}?baud=57600",
            options={"width": SIDE, "height": SIDE, "poll_s": 0.01},
            transfer_bytes=12 + image_bytes + 11 * image_bytes // PACKET_SIZE,
            levels=16,
        )


@contextmanager
def sfm_rig(folder: Path, pace: bool) -> Iterator[Rig]:  # noqa: FBT001 - one row of RIGS
    module = SfmModule(SfmSettings(width=SIDE, height=SIDE), seed=1)
    record_bytes = 28 + SIDE * SIDE
    with PtyServer(module, link=folder / "ttyFP0", pace=pace) as server:
        yield SerialRig(
            server=server,
            module=module,
            url=f"serial:{server.link}?baud=115200",
            options={"width": SIDE, "height": SIDE, "poll_s": 0.01, "look_s": 0.05},
            transfer_bytes=13 + record_bytes + 17 * (record_bytes // 4096 + 1),
            levels=256,
        )


RIGS: dict[str, MakeRig] = {
    "ef01": ef01_rig,
    "nb1010": nb1010_rig,
    "sfm": sfm_rig,
    "uru4000": uru4000_rig,
    "uvc": uvc_rig,
    "v4l2": v4l2_rig,
}
