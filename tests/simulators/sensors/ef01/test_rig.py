"""The simulated EF01 sensor as a driver and a technician meet it."""

from pathlib import Path

import numpy as np
import pytest

from drivers import open_sensor
from simulators.sensors.ef01.commands import Ef01Settings
from simulators.sensors.ef01.rig import Ef01Rig, default_rig

WAIT_S = 5.0


@pytest.mark.parametrize("size", [(256, 288), (64, 48)], ids=["an R307", "another module"])
def test_a_driver_with_the_options_of_the_rig_reads_the_finger(size: tuple[int, int], tmp_path: Path) -> None:
    settings = Ef01Settings(width=size[0], height=size[1])
    with Ef01Rig(settings, tmp_path / "finger") as rig:
        sensor = open_sensor(rig.kind.driver, rig.url, rig.kind.options)
        sensor.open()
        image = np.random.default_rng(1).integers(0, 256, size[::-1], np.uint8)
        rig.show(image)
        assert (sensor.capture(WAIT_S).image >> 4 == image >> 4).all()
        sensor.close()
        facts = rig.facts()
        assert (facts["images_taken"], facts["images_sent"]) == (1, 1)
        assert facts["commands"]["GetImage"] == rig.polls()


def test_the_default_is_an_r307(tmp_path: Path) -> None:
    rig = default_rig(tmp_path / "finger")
    assert rig.title == "R307, 256x288 at 500 ppi, 16 grey levels"
    assert rig.kind.options["model"] == "R307"
    assert rig.url == f"serial:{tmp_path / 'finger'}?baud=57600"
