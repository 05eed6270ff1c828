"""Each simulated sensor supports exactly the faults of its set."""

from collections.abc import Callable

import pytest

from simulators.sensors.ef01.commands import Ef01Settings
from simulators.sensors.ef01.device import Ef01Module
from simulators.sensors.fault_sets import FAULT_SETS, sensors_with
from simulators.sensors.nb1010.device import Nb1010Model
from simulators.sensors.sfm.device import SfmModule, SfmSettings
from simulators.sensors.uru4000.device import Uru4000Model, Uru4000Settings
from simulators.sensors.uvc.descriptors import UvcSettings
from simulators.sensors.uvc.device import UvcCamera
from simulators.transports.faults import FAULTS
from tests.structure.mirror import ROOT

AT_ONCE = {"power_loss"}  # over as soon as it was injected


@pytest.mark.parametrize(
    ("command", "make"),
    [
        ("ef01", lambda: Ef01Module(Ef01Settings())),
        ("sfm", lambda: SfmModule(SfmSettings(terminal=7))),
        ("nb1010", Nb1010Model),
        ("uru4000", lambda: Uru4000Model(Uru4000Settings())),
        ("uvc", lambda: UvcCamera(UvcSettings())),
    ],
)
def test_every_simulated_sensor_takes_its_own_faults_and_no_other(
    command: str, make: Callable[[], Ef01Module | SfmModule | Nb1010Model | Uru4000Model | UvcCamera]
) -> None:
    supported = {name for name in FAULTS if command in sensors_with(name)}
    assert supported == {*FAULT_SETS[command], "unplug"}
    for name in FAULTS:
        device = make()
        if name in supported:
            device.inject(name)
            assert name in AT_ONCE or set(device.faults.pending()) == {name}
        else:
            with pytest.raises(ValueError, match="this sensor has no fault"):
                device.inject(name)


def test_every_fault_is_of_some_sensor() -> None:
    assert [name for name in FAULTS if not sensors_with(name)] == []


def test_the_readme_names_the_sensors_of_every_fault() -> None:
    readme = (ROOT / "simulators" / "README.md").read_text(encoding="utf-8")
    for name, row in FAULTS.items():
        sensors = sensors_with(name)
        column = "all" if sensors == list(FAULT_SETS) else ", ".join(sensors)
        assert f"| `{name}` | {row.help} | {column} |" in readme
