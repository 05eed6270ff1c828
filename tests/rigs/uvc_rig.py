"""A bulk camera exported over USB/IP, for the contract in tests/drivers/test_sensor.py."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drivers.options import Options
from simulators.sensors.uvc.descriptors import UvcSettings
from simulators.sensors.uvc.device import UvcCamera
from simulators.sensors.uvc.frames import Mode
from simulators.transports.usb.usbip import UsbIpServer

WIDTH, HEIGHT = 64, 48
PARTS = 12  # payloads of a frame: more than the driver has reads in flight, so a frame begins when it is chosen
HEADER_BYTES = 12
BEGIN_S = 5.0


def noise(seed: int, width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """An image that nothing but itself is like."""
    return np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)


@dataclass
class UvcRig:
    """A camera behind a TCP port."""

    server: UsbIpServer
    camera: UvcCamera
    url: str
    options: Options
    transfer_bytes: int

    def present(self, seed: int) -> NDArray[np.uint8]:
        """Show something; returns when the frames that begin now have it."""
        image = noise(seed)
        self._show(image.tobytes())
        if self.camera.mode is not None:
            self.camera.wait_for_frames(2, BEGIN_S)
        return image

    def _show(self, pixels: bytes) -> None:
        def source(_number: int, _mode: Mode) -> bytes:
            return pixels

        self.camera.show(source)

    def remove(self) -> None:
        self._show(bytes(WIDTH * HEIGHT))

    def unplug(self) -> None:
        self.server.unplug()

    def unplug_after(self, count: int) -> None:
        self.server.unplug_after(count)

    def replug(self) -> None:
        self.server.replug()

    def silence(self) -> None:
        self.camera.inject("silent")


@contextmanager
def uvc_rig(_folder: Path, pace: bool) -> Iterator[UvcRig]:  # noqa: FBT001 - one row of RIGS
    settings = UvcSettings(
        sizes=((WIDTH, HEIGHT),),
        rates=(1.4 if pace else 100.0,),
        readout=1.0 if pace else 0.0,
        max_payload=WIDTH * HEIGHT // PARTS + HEADER_BYTES,
    )
    camera = UvcCamera(settings, seed=1)
    with UsbIpServer(camera) as server:
        yield UvcRig(server, camera, server.url, {}, WIDTH * HEIGHT + PARTS * HEADER_BYTES)
