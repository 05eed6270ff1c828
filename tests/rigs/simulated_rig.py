"""A simulated device on its wire, as the contract in tests/drivers/test_sensor.py needs it, and images to present."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from drivers.options import Options

Pixels = NDArray[np.uint8]


class Rig(Protocol):
    """A device that a test can present to, unplug and silence."""

    url: str
    options: Options
    transfer_bytes: int  # on the wire, from the answer to the last command to the last byte of an image

    def present(self, seed: int, /) -> Pixels:
        """Presents something; returns the image that a sample of it must have."""

    def remove(self) -> None:
        """Takes away what was presented."""

    def unplug(self) -> None:
        """Pulls the cable."""

    def unplug_after(self, count: int, /) -> None:
        """Pulls the cable after `count` more bytes to the host."""

    def replug(self) -> None:
        """Plugs the cable in again."""

    def silence(self) -> None:
        """From now on the device neither receives nor sends."""


MakeRig = Callable[[Path, bool], AbstractContextManager[Rig]]  # (folder, at the speed of the real wire)


class Cable(Protocol):
    """The server of a simulated device: PtyServer or UsbIpServer."""

    def unplug(self) -> None: ...
    def unplug_after(self, count: int) -> None: ...
    def replug(self) -> None: ...


class Device(Protocol):
    """A simulated device with faults."""

    def inject(self, name: str, /) -> object: ...


@dataclass
class SimulatedRig:
    """A simulated device behind a server."""

    cable: Cable
    device: Device
    url: str
    options: Options
    transfer_bytes: int
    present: Callable[[int], Pixels]  # presents the noise of a seed
    remove: Callable[[], None]

    def unplug(self) -> None:
        self.cable.unplug()

    def unplug_after(self, count: int) -> None:
        self.cable.unplug_after(count)

    def replug(self) -> None:
        self.cable.replug()

    def silence(self) -> None:
        self.device.inject("silent")


def noise_image(seed: int, width: int, height: int) -> Pixels:
    """Noise over the whole range: no other seed gives a similar image."""
    return np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)


_: type[Rig] = SimulatedRig
