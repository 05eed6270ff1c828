"""The NB-1010-U on its wires, for the contract of sensors and for its own tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drivers.options import Options
from simulators.sensors.nb1010.device import HEIGHT, WIDTH, Nb1010Model
from simulators.transports.usb.usbip import UsbIpServer

IMAGE_ON_WIRE = 90 * 540
SLOW = IMAGE_ON_WIRE / 0.9  # bytes a second: an image takes 0.9 s


def picture(seed: int) -> NDArray[np.uint8]:
    """Noise over the whole range."""
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH), np.uint8)


@dataclass
class Nb1010Rig:
    """A sensor exported over USB/IP."""

    server: UsbIpServer
    model: Nb1010Model
    url: str
    options: Options
    transfer_bytes: int

    def present(self, seed: int) -> NDArray[np.uint8]:
        image = picture(seed)
        self.model.press(image.tobytes())
        return image

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
def nb1010_rig(_folder: Path, pace: bool) -> Iterator[Nb1010Rig]:  # noqa: FBT001 - one row of RIGS
    model = Nb1010Model("N1")
    with UsbIpServer(model, bytes_per_s=SLOW if pace else None) as server:
        yield Nb1010Rig(server, model, server.url, {"poll_s": 0.01}, 3 * 16 + IMAGE_ON_WIRE)
