"""The control of an extension unit that switches the light: options, recipes, and cameras that refuse."""

import re
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import ProtocolError, Stalled
from drivers.uvc.descriptors import ExtensionUnit
from drivers.uvc.emitter import GET_CUR, GET_LEN, MICROSOFT, RECIPES, ControlPort, Emitter, Led, led_of


@dataclass
class Controls:
    """The controls of a camera by unit and selector: it refuses others, other lengths and the queries of `refused`."""

    values: dict[tuple[int, int], bytes]
    refused: set[int] = field(default_factory=set)

    def read(self, query: int, unit: int, selector: int, size: int) -> bytes:
        if query in self.refused or (unit, selector) not in self.values:
            raise Stalled("control request")
        value = self.values[unit, selector]
        return (len(value).to_bytes(2, "little") if query == GET_LEN else value)[:size]

    def write(self, unit: int, selector: int, data: bytes) -> None:
        if len(self.values.get((unit, selector), b"")) != len(data):
            raise Stalled("control request")
        self.values[unit, selector] = data


_: type[ControlPort] = Controls


@pytest.mark.parametrize(
    ("value", "led"),
    [
        ("3:1:01:00", Led(3, 1, b"\x01", b"\0")),
        ("3:1:0102", Led(3, 1, b"\x01\x02", bytes(2))),
        ("chicony", Led(14, 14, b"\x02\x19", bytes(2))),
        *RECIPES.items(),
    ],
)
def test_an_emitter_is_a_recipe_or_unit_selector_and_bytes(value: str, led: Led) -> None:
    assert led_of(value) == led


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("on", "must be UNIT:SELECTOR:ON.*or one of microsoft, "),
        ("3:1:1", "must be UNIT:SELECTOR:ON"),
        (True, "must be UNIT:SELECTOR:ON"),
        ("0:1:01", "from 1 to 255"),
        ("3:256:01", "from 1 to 255"),
        ("3:1:01:0000", "as many bytes for off as for on"),
        ("3:1:" + "00" * 256, "at most 255"),
    ],
)
def test_what_is_no_emitter_says_why(value: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        led_of(value)


@given(st.text(max_size=40) | st.integers() | st.binary(max_size=9))
def test_any_value_is_an_emitter_or_a_value_error(value: object) -> None:
    with suppress(ValueError):
        assert isinstance(led_of(value), Led)


def test_a_recipe_has_as_many_bytes_for_off_as_for_on() -> None:
    for led in RECIPES.values():
        assert len(led.on) == len(led.off) > led.kept
        assert bool(led.unit) != bool(led.guid)


def test_it_is_switched_on_and_off() -> None:
    controls = Controls({(14, 14): bytes(2)})
    emitter = Emitter(controls, RECIPES["chicony"], ())
    emitter.on()
    assert controls.values[14, 14].hex() == "0219"
    emitter.off()
    assert controls.values[14, 14].hex() == "0000"


UNITS = (ExtensionUnit(8, MICROSOFT, b"\x06"), ExtensionUnit(3, bytes(16)), ExtensionUnit(10, MICROSOFT, b"\x26"))


@pytest.mark.parametrize(("has", "writes"), [("0104010000", "0104020000"), ("0000000000", "0103020000")])
@pytest.mark.parametrize("refused", [set(), {GET_CUR}])
def test_the_interface_in_the_control_of_microsoft_is_that_of_the_camera(
    has: str, writes: str, refused: set[int]
) -> None:
    controls = Controls({(10, 6): bytes.fromhex(has + "00000000")}, refused)
    Emitter(controls, RECIPES["microsoft"], UNITS).on()
    expected = "0103020000" if refused else writes
    assert controls.values[10, 6].hex() == expected + "00000000"


def test_a_unit_whose_controls_are_not_known_may_have_any() -> None:
    controls = Controls({(5, 6): bytes(9)})
    Emitter(controls, RECIPES["microsoft"], [ExtensionUnit(5, MICROSOFT)]).on()
    assert controls.values[5, 6][2] == 2


def test_a_refusal_names_the_option_the_units_and_the_length() -> None:
    emitter = Emitter(Controls({(14, 14): bytes(5)}), RECIPES["chicony"], UNITS, "led")
    said = (
        "option 'led': the camera refuses it; its extension units: 8, 3, 10; "
        "this control has 5 bytes, the option gives 2 (control request)"
    )
    with pytest.raises(ProtocolError, match=re.escape(said)):
        emitter.on()
    with pytest.raises(ProtocolError, match=r"the camera refuses it; it has no extension unit \(control"):
        Emitter(Controls({}), RECIPES["chicony"], ()).on()


def test_a_camera_without_the_unit_of_a_recipe_says_which_it_has() -> None:
    with pytest.raises(ProtocolError, match="no such unit; its extension units: 8, 3; see UNIT:SELECTOR:ON:OFF"):
        Emitter(Controls({}), RECIPES["microsoft"], UNITS[:2]).on()
