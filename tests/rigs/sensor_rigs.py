"""A rig for each row of SENSORS: the simulated device on its real wire, for the contract in test_sensor.py."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np

from drivers.options import Options, OptionValue
from simulators.sensors.ef01.device import Ef01Module, Ef01Settings
from simulators.sensors.sfm.device import SfmModule, SfmSettings
from simulators.transports.serial.pseudo_terminal import PtyServer
from tests.rigs.nb1010_rig import nb1010_rig
from tests.rigs.simulated_rig import MakeRig, Pixels, SimulatedRig
from tests.rigs.uru4000_rig import uru4000_rig
from tests.rigs.uvc_rig import uvc_rig
from tests.rigs.v4l2_rig import v4l2_rig

# Small, so that an image at the speed of the wire takes under a second: 96 x 96 / 2 bytes in 36 packets at 57600 baud.
SIDE = 96
PACKET_SIZE = 128
SIZE: dict[str, OptionValue] = {"width": SIDE, "height": SIDE}


def levels_image(seed: int, levels: int) -> Pixels:
    """Noise of `levels` grey levels over the whole range."""
    values = np.random.default_rng(seed).integers(0, levels, (SIDE, SIDE), np.uint8)
    return values * np.uint8(255 // (levels - 1))


@contextmanager
def serial_rig(
    module: Ef01Module | SfmModule,
    folder: Path,
    baud: int,
    options: Options,
    transfer_bytes: int,
    levels: int,
    *,
    pace: bool,
) -> Iterator[SimulatedRig]:
    """A module behind a pseudo-terminal; `levels` grey levels are told apart."""

    def press(seed: int) -> Pixels:
        image = levels_image(seed, levels)
        module.press(image)
        return image

    with PtyServer(module, link=folder / "ttyFP0", pace=pace) as server:
        url = f"serial:{server.link}?baud={baud}"
        yield SimulatedRig(server, module, url, {**SIZE, **options}, transfer_bytes, press, module.lift)


def ef01_rig(folder: Path, pace: bool) -> AbstractContextManager[SimulatedRig]:  # noqa: FBT001 - one row of RIGS
    module = Ef01Module(Ef01Settings(width=SIDE, height=SIDE, packet_size=PACKET_SIZE), seed=1)
    image_bytes = SIDE * SIDE // 2
    transfer_bytes = 12 + image_bytes + 11 * image_bytes // PACKET_SIZE
    return serial_rig(module, folder, 57600, {"poll_s": 0.01}, transfer_bytes, 16, pace=pace)


def sfm_rig(folder: Path, pace: bool) -> AbstractContextManager[SimulatedRig]:  # noqa: FBT001 - one row of RIGS
    module = SfmModule(SfmSettings(width=SIDE, height=SIDE), seed=1)
    record_bytes = 28 + SIDE * SIDE
    transfer_bytes = 13 + record_bytes + 17 * (record_bytes // 4096 + 1)
    return serial_rig(module, folder, 115_200, {"poll_s": 0.01, "look_s": 0.05}, transfer_bytes, 256, pace=pace)


RIGS: dict[str, MakeRig] = {
    "ef01": ef01_rig,
    "nb1010": nb1010_rig,
    "sfm": sfm_rig,
    "uru4000": uru4000_rig,
    "uvc": uvc_rig,
    "v4l2": v4l2_rig,
}
