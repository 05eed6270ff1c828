"""The report of the bench: which pairs, which rates, one table, one picture."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from models.manifest import load_card
from simulators.bench import encode_finger as bench_encode
from simulators.bench import report as bench_report
from simulators.bench.command import app
from simulators.bench.compare_finger import ImageFile, Pair
from simulators.bench.encode_finger import EncodeFigures
from simulators.bench.plot import draw
from simulators.bench.rates import equal_error_rate, pairs_of, rates_of
from simulators.bench.search_finger import SearchFigures
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
        return Pair(ImageFile(probe, 500.0), ImageFile(reference, 500.0), label)

    pairs = [pair("a2", "a1", "genuine"), pair("b2", "b1", "genuine")]
    pairs += [pair("a2", "b1", "impostor"), pair("b2", "a1", "impostor")]
    assert rates_of(pairs, [0.9, 0.4, 0.1, 0.3]).fnir0 == 0
    assert rates_of(pairs, [0.9, 0.4, 0.5, 0.3]).fnir0 == 50


def test_errors_are_equal_where_the_curves_meet() -> None:
    others, mates = np.arange(100.0), np.arange(90.0, 190.0)
    assert equal_error_rate(mates, others) == pytest.approx(0.05, abs=0.006)
    assert equal_error_rate(mates + 100, others) == 0


def test_a_set_of_one_finger_or_of_one_impression_each_gives_no_rates(root: Path) -> None:
    for name, files in (("one", ("1_1.png", "1_2.png")), ("once", ("1_1.png", "2_1.png")), ("none", ())):
        (root / name).mkdir()
        for file in files:
            (root / name / file).write_bytes((root / "few" / file).read_bytes())
        with pytest.raises(ValueError, match=rf"{name} has .* two fingers and two impressions"):
            pairs_of(root, name, 500.0)


FIGURES = EncodeFigures(1.0, 1.0, 1.0, None, None, None, 1, 1)


def _encoding(monkeypatch: pytest.MonkeyPatch, instead: Callable[..., EncodeFigures]) -> None:
    """Encodings are timed elsewhere, and the yardstick is not fetched."""
    monkeypatch.setattr(bench_encode, "measure", instead)
    monkeypatch.setattr(bench_report, "reference_card", lambda *_, **__: None)


def _report(*options: str) -> Result:
    return CliRunner().invoke(app, ["report", *options], env={"COLUMNS": "400"})


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("--search 0x1", "0x1: a search must be"),
        ("--search=-5x1", "-5x1: a search must be"),
        ("--search 10x11", "1 to 10 fingers"),
        ("--search 10x0", "1 to 10 fingers"),
        ("--search ten", "PERSONSxFINGERS"),
        ("--images {root}", "accuracy needs both"),
        ("--set few", "accuracy needs both"),
        ("--images {root} --set none", "none: "),
        ("--images {root} --set few=0", "'0', not a resolution of 100 to 4000"),
        ("--images {root} --set few=nan", "'nan', not a resolution"),
        ("--images {root} --set few --set few=512", "few=512: this set is given twice"),
        ("--images {root} --set few --set one", "two fingers and two impressions"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: str, complaint: str
) -> None:
    (root / "one").mkdir()
    (root / "one" / "1_1.png").write_bytes((root / "few" / "1_1.png").read_bytes())
    for name in ("measure", "measure_search"):
        monkeypatch.setattr(bench_report, name, lambda *_: pytest.fail("measured"))
    _encoding(monkeypatch, lambda *_: pytest.fail("measured"))
    done = _report("--out", str(tmp_path / "bench"), *options.format(root=root).split())
    assert done.exit_code == 2, done.output
    assert complaint in done.output
    assert not (tmp_path / "bench").exists()


def test_a_yardstick_of_other_bytes_is_refused_before_the_comparisons(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other.onnx").write_bytes(b"another graph")
    card = replace(load_card("leader"), path=tmp_path / "other.onnx")
    monkeypatch.setattr(bench_report, "reference_card", lambda *_, **__: card)
    monkeypatch.setattr(bench_report, "measure", lambda *_: pytest.fail("measured"))
    done = _report("--out", str(tmp_path / "bench"), "--images", str(root), "--set", "few")
    assert (done.exit_code, "sha256" in done.output) == (2, True)


def test_what_was_measured_is_kept_when_a_later_part_fails(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(size: int, *_: int) -> SearchFigures:
        raise OSError(f"no room for {size}")

    _encoding(monkeypatch, lambda *_: FIGURES)
    monkeypatch.setattr(bench_report, "measure_search", full)
    folder = tmp_path / "bench"
    chosen = ["--images", str(root), "--set", "few", "--search", "40x2", "--processes", "1"]
    done = _report("--out", str(folder), *chosen)
    assert (done.exit_code, "no room for 40" in done.output) == (2, True)
    kept = json.loads((folder / "figures.json").read_text())
    assert kept["compare"]["few"]["genuine"] == 2
    assert kept["encode"]["images"] == 1
    assert kept["search"] == []


def test_a_picture_without_accuracy_has_no_legend_of_nothing(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    draw(tmp_path / "bench.png", {}, [], peers=False)  # a warning would be an error
    assert (tmp_path / "bench.png").exists()


def test_the_report_writes_a_table_figures_and_a_picture(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    _encoding(monkeypatch, lambda *_: FIGURES)
    folder = tmp_path / "bench"
    options = ["--out", str(folder), "--images", str(root), "--set", "few", "--search", "40x2", "--processes", "1"]
    done = _report(*options)
    assert done.exit_code == 0, done.output
    assert "few" in (folder / "table.txt").read_text()
    assert {path.name for path in folder.iterdir()} == {"table.txt", "figures.json", "bench.png"}
