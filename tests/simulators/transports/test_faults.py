"""The fault vocabulary: names, parameters, and the table of simulators/README.md."""

from pathlib import Path
from typing import Any

import pytest

from simulators.transports.faults import FAULTS, Faults


@pytest.mark.parametrize(
    ("name", "details", "said"),
    [
        ("drp", {}, "there is no fault 'drp'; choose one of checksum, drop"),
        ("drop", {"byts": 2}, "fault drop has no parameter byts; it has at=data, packet=-1, bytes=1"),
        ("drop", {"bytes": "many"}, "bytes=many of fault drop must be a number, as in bytes=1"),
        ("drop", {"at": "Data"}, "at=Data of fault drop must be data or answer"),
        ("drop", {"times": -1}, "times must be 0"),
        ("drop", {"bytes": -1}, "bytes=-1 of fault drop must be 1 to"),
        ("flip", {"bits": 0}, "bits=0 of fault flip must be 1 to"),
        ("long", {"bytes": 10**9}, "must be 1 to 1000000"),
        ("checksum", {"packet": -2}, "must be -1 to"),
        ("wrong_address", {"address": "0x100000000"}, "must be 0 to"),
        ("late", {"seconds": "nan"}, "seconds=nan of fault late must be 0 to 3600"),
        ("late", {"seconds": float("inf")}, "must be 0 to 3600"),
        ("unplug", {"after": float("inf")}, "after=inf of fault unplug must be a number, as in after=0"),
    ],
)
def test_a_fault_that_is_not_there_says_what_is(name: str, details: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Faults().inject(name, **details)


def test_parameters_from_a_command_line_are_read_as_their_defaults_are() -> None:
    faults = Faults()
    faults.inject("wrong_address", address="0x1F", packet="3")
    assert faults.take("wrong_address", at="data") == {"at": "data", "packet": 3, "address": 0x1F}


README = Path(__file__).parents[3] / "simulators" / "README.md"


def test_every_fault_is_in_the_readme_with_its_line() -> None:
    text = README.read_text(encoding="utf-8")
    for name, row in FAULTS.items():
        assert f"| `{name}` | {row.help} |" in text
