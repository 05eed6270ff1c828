"""Real fingerprints through simulator, pseudo-terminal, driver, encoder and gallery: a small acceptance test 2.

`kiosk-bench path --images FOLDER` measures the same with whole sets.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers import open_sensor
from drivers.errors import CaptureRetry
from drivers.sample import Position
from drivers.sensor import Sensor
from models import gallery_class
from models.calibration import load_calibration
from models.encoder import Encoder, Entry
from models.template import Template
from simulators.sensors.ef01.commands import Ef01Settings
from simulators.sensors.ef01.rig import Ef01Rig
from tests.conftest import SHARED

PRINTS = SHARED / "data" / "fingerprint" / "FVC2002_DB1_B"  # <finger>_<impression>.png, 500 ppi
FINGERS = ("101", "102")
PROBES = (2, 3, 4)
LIMIT = 0.001  # a candidate with a lower false match rate would be a lead


@pytest.fixture(name="rig")
def _rig(tmp_path: Path) -> Iterator[Ef01Rig]:
    with Ef01Rig(Ef01Settings(boot_s=0.0), tmp_path / "sensor") as rig:
        yield rig


@pytest.fixture(name="sensor")
def _sensor(rig: Ef01Rig) -> Iterator[Sensor]:
    sensor = open_sensor("ef01", f"serial:{rig.server.link}", {"model": "R307", "poll_s": 0.01})
    sensor.open()
    yield sensor
    sensor.close()


def template_of(rig: Ef01Rig, sensor: Sensor, encoder: Encoder, name: str) -> Template:
    """The template of an image: press it, capture the sample, lift the finger and let the driver see it."""
    rig.press(image=PRINTS / f"{name}.png")
    sample = sensor.capture(10, Position.RIGHT_INDEX)
    rig.lift()
    with pytest.raises(CaptureRetry):
        sensor.capture(0)
    return encoder.encode(sample)


@pytest.mark.shared
def test_only_the_correct_real_finger_is_found(rig: Ef01Rig, sensor: Sensor, encoder: Encoder) -> None:
    references = [
        Entry(finger, Position.RIGHT_INDEX, template_of(rig, sensor, encoder, f"{finger}_1")) for finger in FINGERS
    ]
    gallery = gallery_class(encoder.template_format).build(references)
    calibration = load_calibration(encoder.template_format)
    for finger in FINGERS:
        for impression in PROBES:
            probe = template_of(rig, sensor, encoder, f"{finger}_{impression}")
            scored = gallery.search(probe, Position.RIGHT_INDEX, len(FINGERS))
            found = [key for key, score in scored if calibration.false_match_rate(score) < LIMIT]
            assert found == [finger], f"probe {finger}_{impression}"
