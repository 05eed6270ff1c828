"""The infrared emitter of a camera: a control of an extension unit that switches it, by name or by its bytes.

Cameras for sign-in keep their emitter off until a program asks for it. How it is asked for is the manufacturer's: the
recipes are those of public reports (github.com/EmixamPP/linux-enable-ir-emitter, PetePriority/chicony-ir-toggle).
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from drivers.errors import ProtocolError
from drivers.uvc.descriptors import ExtensionUnit

SET_CUR, GET_CUR, GET_LEN = 0x01, 0x81, 0x85
MAX_CONTROL_BYTES = 255


@dataclass(frozen=True, slots=True)
class Led:
    """A control of an extension unit that switches the light: the bytes to write for on and for off.

    `unit` 0: the one with this `guid` that has the control. The first `kept` bytes are those that the camera has.
    """

    unit: int
    selector: int
    on: bytes
    off: bytes
    guid: bytes = b""
    kept: int = 0


# Microsoft's camera control, {0f3f95dc-2632-4c4e-92c9-a04782f43bc8}, as unit 7, 10 or 14. Its bytes: how many entries
# follow, then for each the streaming interface and a bit mask: 1 off, 2 lights every second frame.
MICROSOFT = bytes.fromhex("dc953f0f32264e4c92c9a04782f43bc8")

RECIPES: Mapping[str, Led] = {
    "microsoft": Led(
        0, 6, bytes.fromhex("010302000000000000"), bytes.fromhex("010301000000000000"), guid=MICROSOFT, kept=2
    ),
    "microsoft-7": Led(7, 6, bytes.fromhex("010302000000000000"), bytes.fromhex("010301000000000000"), kept=2),
    "microsoft-14": Led(14, 6, bytes.fromhex("010302000000000000"), bytes.fromhex("010301000000000000"), kept=2),
    "chicony": Led(14, 14, bytes.fromhex("0219"), bytes.fromhex("0000")),
}


def led_of(value: object) -> object:
    """The control that an option names: UNIT:SELECTOR:ON[:OFF], or a recipe. ValueError says what is wrong."""
    if isinstance(value, str) and value in RECIPES:
        return RECIPES[value]
    found = re.fullmatch(r"([0-9]{1,3}):([0-9]{1,3}):((?:[0-9a-fA-F]{2})+)(?::((?:[0-9a-fA-F]{2})+))?", str(value))
    if found is None:
        raise ValueError(
            "must be UNIT:SELECTOR:ON[:OFF], the two last as hexadecimal bytes, such as 3:1:01:00, or one of "
            f"{', '.join(RECIPES)}"
        )
    unit, selector, on = int(found[1]), int(found[2]), bytes.fromhex(found[3])
    if not 0 < unit <= 255 or not 0 < selector <= 255:
        raise ValueError("must name a unit and a selector from 1 to 255")
    off = bytes.fromhex(found[4]) if found[4] else bytes(len(on))
    if len(on) > MAX_CONTROL_BYTES or len(off) != len(on):
        raise ValueError(f"must have as many bytes for off as for on, at most {MAX_CONTROL_BYTES}")
    return Led(unit, selector, on, off)


class ControlPort(Protocol):
    """Reaches the controls of a camera's extension units. ProtocolError if the camera refuses a request."""

    def read(self, query: int, unit: int, selector: int, size: int) -> bytes:
        """The answer to GET_CUR or GET_LEN."""

    def write(self, unit: int, selector: int, data: bytes) -> None:
        """SET_CUR."""


class Emitter:
    """The emitter of an open camera."""

    def __init__(self, port: ControlPort, led: Led, units: Sequence[ExtensionUnit], option: str = "emitter") -> None:
        """`units`: the extension units of the camera, as far as they are known."""
        self._port = port
        self._led = led
        self._units = units
        self._option = option

    def on(self) -> None:
        """Switches it on. ProtocolError names the option, and what the camera has."""
        self._write(self._led.on)

    def off(self) -> None:
        """Switches it off. ProtocolError."""
        self._write(self._led.off)

    def _write(self, data: bytes) -> None:
        unit = self._led.unit or self._unit_by_guid()
        try:
            self._port.write(unit, self._led.selector, self._kept(unit) + data[self._led.kept :])
        except ProtocolError as error:
            known = self._units_text() + self._length_text(unit)
            raise ProtocolError(f"option {self._option!r}: the camera refuses it; {known} ({error})") from None

    def _unit_by_guid(self) -> int:
        for each in self._units:
            if each.guid == self._led.guid and each.has(self._led.selector):
                return each.unit
        known = self._units_text()
        raise ProtocolError(f"option {self._option!r}: the camera has no such unit; {known}; see UNIT:SELECTOR:ON:OFF")

    def _kept(self, unit: int) -> bytes:
        """The first bytes of the control as the camera has them, if it says so."""
        count = self._led.kept
        with suppress(ProtocolError):
            current = self._port.read(GET_CUR, unit, self._led.selector, len(self._led.on))[:count]
            if len(current) == count and all(current):
                return current
        return self._led.on[:count]

    def _length_text(self, unit: int) -> str:
        with suppress(ProtocolError):
            length = int.from_bytes(self._port.read(GET_LEN, unit, self._led.selector, 2), "little")
            if length and length != len(self._led.on):
                return f"; this control has {length} bytes, the option gives {len(self._led.on)}"
        return ""

    def _units_text(self) -> str:
        """The extension units of the camera, to correct the option by."""
        if not self._units:
            return "it has no extension unit"
        return f"its extension units: {', '.join(str(each.unit) for each in self._units)}"
