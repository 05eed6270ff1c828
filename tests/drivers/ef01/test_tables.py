"""The tables of the EF01 protocol."""

import pytest

from drivers.ef01.tables import MODELS, NextStep, SystemParameters, confirmation
from drivers.errors import ProtocolError
from tests.rigs.ef01_wire import system_parameters


def test_every_model_fills_whole_bytes() -> None:
    assert all(model.width % 2 == 0 for model in MODELS)
    assert {model.image_bytes for model in MODELS} == {36_864, 18_432}


@pytest.mark.parametrize("parameters", [system_parameters(packet_code=4), system_parameters(baud_code=0)])
def test_parameters_without_sense_are_refused(parameters: bytes) -> None:
    with pytest.raises(ProtocolError, match="ef01 at /dev/ttyFP0: invalid system parameters"):
        SystemParameters.from_bytes(parameters[10:-2], "ef01 at /dev/ttyFP0")


def test_the_parameters_of_a_module_are_read_from_its_answer() -> None:
    payload = bytes.fromhex("0002 0009 00c8 0003 ffffffff 0003 000c".replace(" ", ""))
    assert SystemParameters.from_bytes(payload, "ef01") == SystemParameters(0xFFFFFFFF, 256, 115_200)


def test_an_unknown_code_reopens_the_device() -> None:
    assert confirmation(0x02).then is NextStep.POLL_AGAIN
    assert confirmation(0xEE).then is NextStep.REOPEN
    assert confirmation(0xEE).meaning == "unknown confirmation code"


def test_a_confirmation_is_named_with_its_code() -> None:
    assert str(confirmation(0x02)) == "no finger (0x02)"
