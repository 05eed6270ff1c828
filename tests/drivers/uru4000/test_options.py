"""The options of the uru4000 driver: wrong values, effect and documentation."""

from pathlib import Path

import pytest

import drivers
from drivers.options import OptionValue
from drivers.uru4000.driver import Uru4000
from drivers.uru4000.options import Uru4000Options
from tests.rigs.uru4000_reader import PERSON_S, ReaderRig
from tests.rigs.uru4000_rig import noise


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"seed": "51ea2124x"}, "option 'seed': must be a number"),
        ({"seed": 1 << 32}, "option 'seed'"),
        ({"seed": True}, "option 'seed'"),
        ({"ppi": 5000}, "option 'ppi'"),
        ({"colour": "green"}, "unknown option 'colour' (options: ppi, seed)"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, OptionValue], complaint: str) -> None:
    with pytest.raises(ValueError, match="driver uru4000") as caught:
        Uru4000("usb:05ba:000a", options)
    assert complaint in str(caught.value)


def test_the_resolution_is_what_the_option_says() -> None:
    rig = ReaderRig(ppi=500)
    assert rig.sensor.open().pixels_per_inch == 500.0
    rig.press(noise(23))
    assert rig.sensor.capture(PERSON_S).pixels_per_inch == 500.0
    rig.sensor.close()


def test_every_option_is_in_the_readme() -> None:
    text = (Path(drivers.__file__).parent / "README.md").read_text(encoding="utf-8")
    section = text.partition("\n## uru4000\n")[2].partition("\n## ")[0]
    assert all(f"| `{option}` |" in section for option in Uru4000Options.model_fields)
