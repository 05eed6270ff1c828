"""The simulated SFM module as a driver and a technician meet it."""

from pathlib import Path

import numpy as np
import pytest

from drivers import open_sensor
from simulators.sensors.sfm.commands import SfmSettings
from simulators.sensors.sfm.rig import SfmRig, default_rig

WAIT_S = 5.0


@pytest.mark.parametrize("terminal", [None, 7], ids=["alone on its line", "on a network"])
def test_a_driver_with_the_options_of_the_rig_reads_the_finger(terminal: int | None, tmp_path: Path) -> None:
    with SfmRig(SfmSettings(width=64, height=48, terminal=terminal), tmp_path / "finger") as rig:
        sensor = open_sensor(rig.kind.driver, rig.url, rig.kind.options)
        sensor.open()
        image = np.random.default_rng(1).integers(0, 256, (48, 64), np.uint8)
        rig.show(image)
        assert (sensor.capture(WAIT_S).image == image).all()
        sensor.close()
        assert rig.polls() >= 1
        assert rig.facts()["baud"] == 115_200
        assert rig.facts()["bytes_sent"] > image.size


def test_the_default_has_the_factory_settings(tmp_path: Path) -> None:
    rig = default_rig(tmp_path / "finger")
    assert rig.settings == SfmSettings()
    assert rig.title == "Suprema SFM, 272x320 at 500 ppi"
