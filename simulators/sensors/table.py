"""The table of simulated touch sensors by the name of their driver, each ready to be attached to a kiosk."""

from collections.abc import Callable
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import cast

from simulators.sensors.common.touch_rig import TouchRig


class SensorName(StrEnum):
    """The touch sensors that the demo kiosk can have."""

    EF01 = "ef01"
    NB1010 = "nb1010"
    SFM = "sfm"
    URU4000 = "uru4000"


# "module:function(link, pace=...)", imported when needed.
RIGS = {
    SensorName.EF01: "simulators.sensors.ef01.rig:default_rig",
    SensorName.NB1010: "simulators.sensors.nb1010.rig:default_rig",
    SensorName.SFM: "simulators.sensors.sfm.rig:default_rig",
    SensorName.URU4000: "simulators.sensors.uru4000.rig:default_rig",
}


def make_sensor(name: SensorName, link: Path, *, pace: bool = False) -> TouchRig:
    """The default model of a sensor. With `pace` it transfers data at the speed of the real sensor."""
    module, _, function = RIGS[name].partition(":")
    make = cast("Callable[..., TouchRig]", getattr(import_module(module), function))
    return make(link, pace=pace)
