"""A U.are.U 4500 exported over USB/IP, for the contract in tests/drivers/test_sensor.py."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drivers.options import Options
from simulators.sensors.uru4000.device import HEIGHT, WIDTH, Uru4000Model, Uru4000Settings
from simulators.transports.usb.usbip import UsbIpServer

MESSAGE_BYTES, HEADER_BYTES, KEY_BYTES = 64, 64, 4
LAST_PIXELS = ((218, 0), (118, 0), (1, 0))  # of the usual scrambled blocks, in the upright picture
IMAGE_S, PACED_IMAGE_S = 0.01, 0.8  # the real one takes 0.13 s


def as_captured(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What a 4500 that sends the usual blocks gives of a finger: the first row and three pixels come out white."""
    captured = image.copy()
    captured[0] = 255
    for row, column in LAST_PIXELS:
        captured[row, column] = 255
    return captured


def noise(seed: int) -> NDArray[np.uint8]:
    """An image that nothing but itself is like."""
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH), np.uint8)


@dataclass
class Uru4000Rig:
    """A reader behind a TCP port."""

    server: UsbIpServer
    model: Uru4000Model
    url: str
    options: Options
    transfer_bytes: int

    def present(self, seed: int) -> NDArray[np.uint8]:
        image = noise(seed)
        self.model.press(image.tobytes())
        return as_captured(image)

    def remove(self) -> None:
        self.model.lift()

    def unplug(self) -> None:
        self.server.unplug()

    def unplug_after(self, count: int) -> None:
        self.server.unplug_after(count)

    def replug(self) -> None:
        self.server.replug()

    def silence(self) -> None:
        self.model.inject("silent")


@contextmanager
def uru4000_rig(_folder: Path, pace: bool) -> Iterator[Uru4000Rig]:  # noqa: FBT001 - one row of RIGS
    """One row of RIGS."""
    model = Uru4000Model(Uru4000Settings(image_s=PACED_IMAGE_S if pace else IMAGE_S), seed=1)
    lines = sum(block.lines for block in model.settings.blocks)
    with UsbIpServer(model) as server:
        yield Uru4000Rig(server, model, server.url, {}, MESSAGE_BYTES + HEADER_BYTES + lines * WIDTH + KEY_BYTES)
