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

PAYLOAD = 65_536
WITHIN_S = 20.0  # on a busy machine; a quiet one takes two seconds


@cache
def eye(width: int = 640, height: int = 480) -> Pixels:
    return next(iter(frames_of({"person": 7}, width, height)))


@contextmanager
def camera_of(settings: UvcSettings, **options: OptionValue) -> Iterator[tuple[UvcCamera, BestFrameSensor]]:
    camera = UvcCamera(settings, seed=1)
    camera.show(looping([camera_bytes(settings.pictured[0], eye(*settings.pictured[1:]))]))
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
    with camera_of(UvcSettings(max_payload=PAYLOAD)) as (camera, sensor):
        camera.inject("strobe", **strobe)
        image = sample_of(sensor).image
        assert np.abs(image.astype(int) - eye()).mean() < 2


@pytest.mark.parametrize("depth", [10, 12, 16])
def test_a_camera_of_16_bits_that_uses_fewer_gives_the_eye_and_its_depth(depth: int) -> None:
    with camera_of(UvcSettings(formats=("y16",), max_payload=PAYLOAD)) as (camera, sensor):
        camera.inject("shallow", depth=depth)
        sample = sample_of(sensor)
        assert np.abs(sample.image.astype(int) - eye()).max() <= 1
        assert sample.depth_bits == depth


def test_a_camera_that_announces_another_format_and_size_is_read_as_the_option_says() -> None:
    lying = UvcSettings(formats=("yuy2",), sizes=((376, 480),), sends=("y800", 752, 480), max_payload=PAYLOAD)
    with camera_of(lying, contains="y8 752x480") as (_, sensor):
        info = sensor.open()
        assert (info.width, info.height) == (752, 480)
        assert (sensor.capture(WITHIN_S).image == eye(752, 480)).all()


@pytest.mark.parametrize("kind", ["y800", "yuy2", "mjpeg"])
def test_noise_behind_each_frame_of_a_camera_costs_nothing(kind: str) -> None:
    with camera_of(UvcSettings(formats=(kind,), max_payload=PAYLOAD)) as (camera, sensor):
        camera.inject("trailing", bytes=500)
        assert np.abs(sample_of(sensor).image.astype(int) - eye()).mean() < 3


@pytest.mark.parametrize("damage", ["guid", "short"])
def test_a_camera_with_damaged_descriptors_gives_the_eye(damage: str) -> None:
    with camera_of(UvcSettings(damage=damage, max_payload=PAYLOAD)) as (_, sensor):
        assert (sample_of(sensor).image == eye()).all()
