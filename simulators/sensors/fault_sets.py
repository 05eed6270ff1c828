"""The faults that each simulated sensor supports, by the name of its command. All of them also have `unplug`."""

from simulators.sensors.ef01.device import EF01_FAULTS
from simulators.sensors.nb1010.device import NB1010_FAULTS
from simulators.sensors.sfm.wire import SFM_FAULTS
from simulators.sensors.uru4000.device import URU4000_FAULTS
from simulators.sensors.uvc.device import UVC_FAULTS

FAULT_SETS = {
    "ef01": EF01_FAULTS,
    "sfm": SFM_FAULTS,
    "uru4000": URU4000_FAULTS,
    "nb1010": NB1010_FAULTS,
    "uvc": UVC_FAULTS,
}


def sensors_with(name: str) -> list[str]:
    """The sensors that support a fault."""
    return [sensor for sensor, has in FAULT_SETS.items() if name in has or name == "unplug"]
