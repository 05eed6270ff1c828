"""Packed cylinders: the best ones of an entry, packed and unpacked."""

from models.finger.cylinders import cylinders_plain
from models.finger.packed_cylinders import LANES, packed, unpacked
from tests.rigs.fingers import ROWS


def test_packed_cylinders_can_be_unpacked() -> None:
    found = cylinders_plain(ROWS[1])
    bits, valid = unpacked(packed(found.bits, found.valid, ROWS[1][found.which, 2]))
    assert len(bits) == min(LANES, len(found))
    assert (bits == found.bits[:LANES]).all()
    assert (valid == found.valid[:LANES]).all()
