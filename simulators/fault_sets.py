"""Which faults of simulators.faults each simulated sensor can carry out, by its command; `unplug` they all can."""

from simulators.ef01 import EF01_FAULTS
from simulators.nb1010 import NB1010_FAULTS
from simulators.sfm_wire import SFM_FAULTS
from simulators.uru4000 import URU4000_FAULTS
from simulators.uvc import UVC_FAULTS

FAULT_SETS = {
    "ef01": EF01_FAULTS,
    "sfm": SFM_FAULTS,
    "uru4000": URU4000_FAULTS,
    "nb1010": NB1010_FAULTS,
    "uvc": UVC_FAULTS,
}


def sensors_with(name: str) -> list[str]:
    """The sensors that have a fault."""
    return [sensor for sensor, has in FAULT_SETS.items() if name in has or name == "unplug"]
