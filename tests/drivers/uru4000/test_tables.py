"""The tables of the U.are.U 4000 family."""

from drivers.uru4000.driver import MATCHES
from drivers.uru4000.tables import Register


def test_the_table_of_the_driver_is_that_of_the_facts() -> None:
    assert {(match.vendor, match.product) for match in MATCHES} == {
        (0x05BA, 0x000A), (0x05BA, 0x0007), (0x05BA, 0x0008),
        (0x045E, 0x00BB), (0x045E, 0x00BC), (0x045E, 0x00BD), (0x045E, 0x00CA),
    }  # fmt: skip


def test_messages_name_a_register_by_number_and_name() -> None:
    assert str(Register.SCRAMBLE_INDEX) == "0x33 (scramble index)"
