"""What a configuration descriptor says of interfaces and endpoints; and that a driver claims the one that it means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import LinkLost
from drivers.uru4000.driver import Uru4000
from drivers.usb.configuration import Interface, WantedInterface, endpoint_types, interface_number, interfaces
from drivers.usb.link import UsbLink
from drivers.usb.url import AnyUsbUrl
from simulators.sensors.uru4000.units import READERS

READER = (0xFF, 0xFF, 0xFF)
ALONE, IN_A_KEYBOARD = READERS["4500"].configuration, READERS["keyboard"].configuration


def test_the_interfaces_of_a_keyboard_are_its_keys_and_its_reader() -> None:
    assert list(interfaces(IN_A_KEYBOARD)) == [Interface(0, (3, 1, 1)), Interface(1, READER)]
    assert endpoint_types(IN_A_KEYBOARD) == {0x83: 3, 0x81: 3, 0x82: 2}


@pytest.mark.parametrize(
    ("configuration", "wanted", "number"),
    [
        (ALONE, READER, 0), (IN_A_KEYBOARD, READER, 1), (IN_A_KEYBOARD, (3, 1, 1), 0),
        (IN_A_KEYBOARD, (14, 2, 0), None), (IN_A_KEYBOARD, 7, 7), (b"", READER, 0), (b"\x09\x02", READER, 0),
    ],
)  # fmt: skip
def test_an_interface_is_named_by_its_number_or_by_what_it_is(
    configuration: bytes, wanted: WantedInterface, number: int | None
) -> None:
    assert interface_number(configuration, wanted) == number


@given(st.binary(max_size=80))
def test_rubbish_is_read_as_far_as_it_goes(configuration: bytes) -> None:
    assert len(list(interfaces(configuration))) + len(endpoint_types(configuration)) <= len(configuration) // 7
    interface_number(configuration, READER)


def test_the_driver_asks_for_the_interface_of_the_reader() -> None:
    asked = list[WantedInterface]()

    def refuse(_url: AnyUsbUrl, interface: WantedInterface) -> UsbLink:
        asked.append(interface)
        raise LinkLost("that will do")

    for known in READERS.values():
        with pytest.raises(LinkLost):
            Uru4000(f"usb:{known.vendor:04x}:{known.product:04x}", {}, connect=refuse).open()
    assert set(asked) == {READER}
