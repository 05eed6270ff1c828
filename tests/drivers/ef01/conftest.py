"""A scripted EF01 module for each test."""

import pytest

from tests.rigs.ef01_wire import (
    R307,
    Wire,
)


@pytest.fixture
def wire() -> Wire:
    return Wire(image=R307)
