"""Fixtures of the tests of the control socket."""

from pathlib import Path

import pytest


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "control.sock"
