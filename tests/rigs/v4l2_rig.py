"""A camera of the fake kernel, for the contract in test_sensor.py: the real kernel may have no video device."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from drivers.options import Options
from drivers.v4l2.driver import V4l2
from tests.rigs.uvc_rig import HEIGHT, WIDTH, noise
from tests.rigs.video_kernel import FakeKernel, VideoCamera


@dataclass
class V4l2Rig:
    """A camera behind a video device."""

    camera: VideoCamera
    url: str
    options: Options
    transfer_bytes: int

    def present(self, seed: int) -> NDArray[np.uint8]:
        image = noise(seed)
        self.camera.change(frame=lambda _number: image.tobytes())
        return image

    def remove(self) -> None:
        self.camera.change(frame=lambda _number: bytes(WIDTH * HEIGHT))

    def unplug(self) -> None:
        self.camera.change(plugged=False)

    def unplug_after(self, count: int) -> None:
        self.camera.change(unplug_in=count)

    def replug(self) -> None:
        self.camera.change(plugged=True)

    def silence(self) -> None:
        self.camera.change(silent=True)


@contextmanager
def v4l2_rig(_folder: Path, pace: bool) -> Iterator[V4l2Rig]:  # noqa: FBT001 - one row of RIGS
    camera = VideoCamera(fps=1.4 if pace else 100.0)
    with mock.patch("drivers.v4l2.driver.LinuxKernel", side_effect=lambda: FakeKernel(camera)):
        yield V4l2Rig(camera, "v4l2:/dev/video0", {}, WIDTH * HEIGHT)


URL = "v4l2:/dev/video0"


def sensor_of(camera: VideoCamera, **options: str | float) -> V4l2:
    return V4l2(URL, options, kernel=FakeKernel(camera))


def capture_of(camera: VideoCamera, **options: str | float) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    sensor = sensor_of(camera, **options)
    sensor.open()
    try:
        return sensor.capture(1.0).image
    finally:
        sensor.close()


def numbered(number: int) -> bytes:
    return struct.pack("<I", number) + bytes(WIDTH * HEIGHT - 4)
