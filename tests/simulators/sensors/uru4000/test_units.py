"""The readers of the U.are.U family and their descriptors."""

import pytest

from simulators.sensors.uru4000.units import CHALLENGES, DEFAULT_BLOCKS, READERS


@pytest.mark.parametrize("name", READERS)
def test_the_lengths_in_the_descriptors_are_true(name: str) -> None:
    data = READERS[name].configuration
    assert int.from_bytes(data[2:4], "little") == len(data)
    at = 0
    while at < len(data):
        at += data[at]
    assert at == len(data)


@pytest.mark.parametrize(("name", "interfaces"), [("4500", 1), ("keyboard", 2), ("ms-keyboard", 2)])
def test_a_keyboard_also_has_an_interface_for_its_keys(name: str, interfaces: int) -> None:
    assert READERS[name].configuration[4] == interfaces


def test_every_reader_has_ids_of_its_own() -> None:
    assert len({(reader.vendor, reader.product) for reader in READERS.values()}) == len(READERS)


def test_a_real_4500_sends_289_rows() -> None:
    assert sum(block.lines for block in DEFAULT_BLOCKS) == 289


def test_challenges_and_responses_are_blocks_of_aes() -> None:
    assert {len(part) for pair in CHALLENGES for part in pair} == {16}
