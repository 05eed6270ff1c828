"""The report of the bench: which pairs, which rates, one table, one picture."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from simulators import bench_encode, bench_report
from simulators.bench import app
from simulators.bench_compare import Pair, Picture
from simulators.bench_encode import EncodeFigures
from simulators.bench_rates import equal_error_rate, pairs_of, rates_of
from tests.conftest import touch


@pytest.fixture(name="root")
def _root(tmp_path: Path) -> Path:
    (tmp_path / "few").mkdir()
    for finger in (1, 2):
        for impression in (1, 2):
            Image.fromarray(touch(finger, impression)).save(tmp_path / "few" / f"{finger}_{impression}.png")
    return tmp_path


def test_every_two_impressions_are_genuine_and_first_ones_of_others_are_impostors(root: Path) -> None:
    pairs = pairs_of(root, "few", 500.0)
    assert sum(pair.label == "genuine" for pair in pairs) == 2
    assert sum(pair.label == "impostor" for pair in pairs) == 4
    assert {pair.reference.path for pair in pairs} == {"few/1_1.png", "few/2_1.png"}


def test_an_image_that_cannot_be_used_is_a_false_non_match(root: Path) -> None:
    pairs = pairs_of(root, "few", 500.0)
    scores = [None if pair.label == "genuine" else 0.1 for pair in pairs]
    rates = rates_of(pairs, scores)
    assert (rates.fnmr, rates.fnir0) == (100.0, 100.0)


def test_a_mate_below_the_highest_stranger_is_not_identified() -> None:
    def pair(probe: str, reference: str, label: str) -> Pair:
        return Pair(Picture(probe, 500.0), Picture(reference, 500.0), label)

    pairs = [pair("a2", "a1", "genuine"), pair("b2", "b1", "genuine")]
    pairs += [pair("a2", "b1", "impostor"), pair("b2", "a1", "impostor")]
    assert rates_of(pairs, [0.9, 0.4, 0.1, 0.3]).fnir0 == 0
    assert rates_of(pairs, [0.9, 0.4, 0.5, 0.3]).fnir0 == 50


def test_errors_are_equal_where_the_curves_meet() -> None:
    others, mates = np.arange(100.0), np.arange(90.0, 190.0)
    assert equal_error_rate(mates, others) == pytest.approx(0.05, abs=0.006)
    assert equal_error_rate(mates + 100, others) == 0


def test_the_report_writes_a_table_figures_and_a_picture(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    figures = EncodeFigures(1.0, 1.0, 1.0, None, None, None, 1, 1)
    monkeypatch.setattr(bench_encode, "measure", lambda *_: figures)
    monkeypatch.setattr(bench_report, "reference_card", lambda *_, **__: None)
    folder = tmp_path / "bench"
    options = ["--out", str(folder), "--images", str(root), "--set", "few", "--search", "40x2", "--processes", "1"]
    done = CliRunner().invoke(app, ["report", *options])
    assert done.exit_code == 0, done.output
    assert "few" in (folder / "table.txt").read_text()
    assert {path.name for path in folder.iterdir()} == {"table.txt", "figures.json", "bench.png"}
