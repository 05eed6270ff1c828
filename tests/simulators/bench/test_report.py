"""kiosk-bench report: what it refuses, and the files that it writes."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from models.manifest import load_card
from simulators.bench import encode_finger as bench_encode
from simulators.bench import report as bench_report
from simulators.bench.command import app
from simulators.bench.encode_finger import EncodeFigures
from simulators.bench.search_finger import SearchFigures

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
    set_of_two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: str, complaint: str
) -> None:
    (set_of_two / "one").mkdir()
    (set_of_two / "one" / "1_1.png").write_bytes((set_of_two / "few" / "1_1.png").read_bytes())
    for name in ("measure", "measure_search"):
        monkeypatch.setattr(bench_report, name, lambda *_: pytest.fail("measured"))
    _encoding(monkeypatch, lambda *_: pytest.fail("measured"))
    done = _report("--out", str(tmp_path / "bench"), *options.format(root=set_of_two).split())
    assert done.exit_code == 2, done.output
    assert complaint in done.output
    assert not (tmp_path / "bench").exists()


def test_a_yardstick_of_other_bytes_is_refused_before_the_comparisons(
    set_of_two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other.onnx").write_bytes(b"another graph")
    card = replace(load_card("leader"), path=tmp_path / "other.onnx")
    monkeypatch.setattr(bench_report, "reference_card", lambda *_, **__: card)
    monkeypatch.setattr(bench_report, "measure", lambda *_: pytest.fail("measured"))
    done = _report("--out", str(tmp_path / "bench"), "--images", str(set_of_two), "--set", "few")
    assert (done.exit_code, "sha256" in done.output) == (2, True)


def test_what_was_measured_is_kept_when_a_later_part_fails(
    set_of_two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(size: int, *_: int) -> SearchFigures:
        raise OSError(f"no room for {size}")

    _encoding(monkeypatch, lambda *_: FIGURES)
    monkeypatch.setattr(bench_report, "measure_search", full)
    folder = tmp_path / "bench"
    chosen = ["--images", str(set_of_two), "--set", "few", "--search", "40x2", "--processes", "1"]
    done = _report("--out", str(folder), *chosen)
    assert (done.exit_code, "no room for 40" in done.output) == (2, True)
    kept = json.loads((folder / "figures.json").read_text())
    assert kept["compare"]["few"]["genuine"] == 2
    assert kept["encode"]["images"] == 1
    assert kept["search"] == []


def test_the_report_writes_a_table_figures_and_a_picture(
    set_of_two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    _encoding(monkeypatch, lambda *_: FIGURES)
    folder = tmp_path / "bench"
    options = [
        "--out",
        str(folder),
        "--images",
        str(set_of_two),
        "--set",
        "few",
        "--search",
        "40x2",
        "--processes",
        "1",
    ]
    done = _report(*options)
    assert done.exit_code == 0, done.output
    assert "few" in (folder / "table.txt").read_text()
    assert {path.name for path in folder.iterdir()} == {"table.txt", "figures.json", "bench.png"}
