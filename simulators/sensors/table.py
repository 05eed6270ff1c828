"""Every simulated touch sensor by its driver's name, ready to be attached to a kiosk."""

from collections.abc import Callable
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import cast

from simulators.sensors.touch_rig import TouchRig


class SensorName(StrEnum):
    """The sensors that a kiosk of the demo may have."""

    EF01 = "ef01"
    NB1010 = "nb1010"
    SFM = "sfm"
    URU4000 = "uru4000"


# "module:function(link, pace=...)", imported only when asked for.
RIGS = {
    SensorName.EF01: "simulators.sensors.ef01.rig:usual",
    SensorName.NB1010: "simulators.sensors.nb1010.rig:usual",
    SensorName.SFM: "simulators.sensors.sfm.rig:usual",
    SensorName.URU4000: "simulators.sensors.uru4000.rig:usual",
}


def make_sensor(name: SensorName, link: Path, *, pace: bool = False) -> TouchRig:
    """The usual unit of its kind; with `pace` its bytes take the time of the real wire."""
    module, _, function = RIGS[name].partition(":")
    make = cast("Callable[..., TouchRig]", getattr(import_module(module), function))
    return make(link, pace=pace)
