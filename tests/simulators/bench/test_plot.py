"""The plot of the report."""

from pathlib import Path

import pytest

from simulators.bench.plot import draw


def test_a_picture_without_accuracy_has_no_legend_of_nothing(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    draw(tmp_path / "bench.png", {}, [], peers=False)  # a warning would be an error
    assert (tmp_path / "bench.png").exists()
