"""The tables of the EF01 protocol."""

import pytest

from drivers.ef01.tables import MODELS
from drivers.errors import ProtocolError
from tests.rigs.ef01_wire import (
    Wire,
    sensor_on,
    system_parameters,
)


def test_every_model_fills_whole_bytes() -> None:
    assert all(model.width % 2 == 0 for model in MODELS)
    assert {model.image_bytes for model in MODELS} == {36_864, 18_432}


@pytest.mark.parametrize("parameters", [system_parameters(packet_code=4), system_parameters(baud_code=0)])
def test_parameters_without_sense_are_refused(wire: Wire, parameters: bytes) -> None:
    wire.parameters = parameters
    with pytest.raises(ProtocolError, match="ef01 at /dev/ttyFP0: invalid system parameters"):
        sensor_on(wire).open()
