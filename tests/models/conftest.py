"""Fixtures of several tests of models/."""

import pytest

from models.manifest import ModelCard, load_card


@pytest.fixture(name="card", scope="session")
def _card() -> ModelCard:
    return load_card("leader")
