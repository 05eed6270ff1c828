"""The rig of the uru4000 tests."""

from collections.abc import Iterator

import pytest

from tests.rigs.uru4000_reader import ReaderRig, opened


@pytest.fixture(name="rig")
def _rig() -> Iterator[ReaderRig]:
    rig = opened()
    yield rig
    rig.sensor.close()
    assert rig.usb.claims == 0
