"""The simulated U.are.U reader as a driver and a technician meet it."""

from pathlib import Path

import numpy as np

from drivers import open_sensor
from simulators.sensors.uru4000.rig import VIEW, default_rig, kind_of
from simulators.sensors.uru4000.units import READERS
from tests.rigs.uru4000_rig import as_captured

WAIT_S = 5.0


def test_a_driver_reads_the_finger_and_the_rig_counts_it(tmp_path: Path) -> None:
    with default_rig(tmp_path / "finger") as rig:
        sensor = open_sensor(rig.kind.driver, rig.url, rig.kind.options)
        sensor.open()
        image = np.random.default_rng(1).integers(0, 256, (VIEW.height, VIEW.width), np.uint8)
        rig.show(image)
        assert (sensor.capture(WAIT_S).image == as_captured(image)).all()
        sensor.close()
        facts = rig.facts()
        assert (facts["images_sent"], facts["wakings"]) == (1, 1)


def test_the_host_need_not_poll_to_notice_a_lift(tmp_path: Path) -> None:
    with default_rig(tmp_path / "finger") as rig:
        assert rig.polls() == 0
        assert rig.wait_until_lift_noticed(0.0)


def test_a_reader_is_called_by_its_maker_and_name() -> None:
    assert kind_of(READERS["ms-reader"]).title == "Microsoft Fingerprint Reader, 384x290 at 512 ppi"
