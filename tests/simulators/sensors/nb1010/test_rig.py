"""The simulated NB-1010-U as a driver and a technician meet it."""

from pathlib import Path

import numpy as np

from drivers import open_sensor
from simulators.sensors.nb1010.rig import VIEW, default_rig

WAIT_S = 5.0


def test_a_driver_reads_the_finger_and_the_rig_counts_it(tmp_path: Path) -> None:
    with default_rig(tmp_path / "finger") as rig:
        sensor = open_sensor(rig.kind.driver, rig.url, rig.kind.options)
        sensor.open()
        image = np.random.default_rng(1).integers(0, 256, (VIEW.height, VIEW.width), np.uint8)
        rig.show(image)
        assert (sensor.capture(WAIT_S).image == image).all()
        sensor.close()
        assert rig.facts() == {"checks": rig.polls(), "images_sent": 1}
        assert rig.polls() >= 1
