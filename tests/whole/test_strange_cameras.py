"""Simulated cameras with the habits of real ones, through driver, frame check and choice of the best frame."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np
import pytest

from agent.encounter.best_frame import BestFrameSensor
from drivers.options import OptionValue
from drivers.sample import Modality, Position, Sample
from drivers.uvc.driver import Uvc
from models.iris.frame_check import load_frame_check
from simulators.sensors.uvc.descriptors import UvcSettings
from simulators.sensors.uvc.device import UvcCamera
from simulators.sensors.uvc.frames import looping
from simulators.sensors.uvc.scene import camera_bytes, frames_of
from simulators.transports.usb.usbip import UsbIpServer
from tests.rigs.simulated_rig import Pixels

SIZE = (640, 480)
WITHIN_S = 20.0  # on a busy machine; a quiet one takes two seconds


@cache
def eye() -> Pixels:
    return next(iter(frames_of({"person": 7}, *SIZE)))


@contextmanager
def camera_of(kind: str, **options: OptionValue) -> Iterator[tuple[UvcCamera, BestFrameSensor]]:
    camera = UvcCamera(UvcSettings(formats=(kind,), sizes=(SIZE,), max_payload=65_536), seed=1)
    camera.show(looping([camera_bytes(kind, eye())]))
    with UsbIpServer(camera) as server:
        sensor = BestFrameSensor(Uvc(server.url, options), load_frame_check(Modality.IRIS), lambda *_: None)
        try:
            yield camera, sensor
        finally:
            sensor.close()


def sample_of(sensor: BestFrameSensor) -> Sample:
    sensor.open()
    return sensor.capture(WITHIN_S, Position.LEFT_EYE)


@pytest.mark.parametrize("strobe", [{}, {"of": 3}, {"lit": 2, "of": 3, "percent": 0}, {"percent": 30}], ids=str)
def test_an_eye_before_a_strobing_lamp_gives_a_lit_sample(strobe: dict[str, int]) -> None:
    with camera_of("y800") as (camera, sensor):
        camera.inject("strobe", **strobe)
        image = sample_of(sensor).image
        assert np.abs(image.astype(int) - eye()).mean() < 2
