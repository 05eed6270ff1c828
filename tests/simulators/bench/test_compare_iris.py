"""kiosk-bench compare iris, on synthetic people."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from models.iris.encoder import IrisEncoder
from models.iris.score import compare
from simulators.bench.command import app
from simulators.bench.compare_iris import sample_of
from simulators.pictures.reader import read_grey
from tests.simulators.bench.conftest import bench


@pytest.mark.parametrize(
    ("name", "said"), [("none/a.json", "its folder does not exist"), (".", "is a folder"), ("worst.xyz", "FILE.png")]
)
def test_a_file_that_cannot_be_written_is_said_before_the_work(eyes: Path, name: str, said: str) -> None:
    files = ["--root", str(eyes), "--pairs", str(eyes / "none.csv"), "--out", str(eyes / "scores.csv")]
    if name.endswith("xyz"):
        assert said in bench("compare", "iris", *files, "--worst", str(eyes / name), status=2)
    else:
        assert said in bench("search", "iris", "--size", "100", "--json", str(eyes / name), status=2)


def test_each_pair_gets_the_score_of_the_kiosk_and_the_worst_are_shown(eyes: Path, tmp_path: Path) -> None:
    files = ["--root", str(eyes), "--pairs", str(eyes / "pairs.csv"), "--out", str(tmp_path / "scores.csv")]
    output = bench("compare", "iris", *files, "--worst", str(tmp_path / "worst.png"), "--processes", "1")
    assert "3 comparisons, 1 without a score" in output
    with (tmp_path / "scores.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    encoder = IrisEncoder()
    templates = [
        encoder.encode(sample_of(read_grey(eyes / "a" / name))) for name in ("1L02.png", "1L01.png", "2L01.png")
    ]
    assert float(rows[0]["score"]) == pytest.approx(compare(templates[0], templates[1]), abs=1e-6)
    assert float(rows[1]["score"]) == pytest.approx(compare(templates[1], templates[2]), abs=1e-6)
    assert rows[2]["score"] == ""
    with Image.open(tmp_path / "worst.png") as sheet:
        assert sheet.size == (5 * 320, 260)  # three pictures, one row


def test_a_list_that_cannot_be_used_ends_the_command(eyes: Path, tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("probe,label\n", encoding="utf-8")
    files = ["--root", str(eyes), "--pairs", str(tmp_path / "pairs.csv"), "--out", str(tmp_path / "scores.csv")]
    done = CliRunner().invoke(app, ["compare", "iris", *files], env={"COLUMNS": "300"})
    assert done.exit_code == 2
    assert "has no column reference" in done.output


def test_a_picture_of_two_eyes_cannot_be_used_and_the_reason_is_said(eyes: Path, tmp_path: Path) -> None:
    one, other = (read_grey(eyes / "a" / name) for name in ("1L01.png", "2L01.png"))
    Image.fromarray(np.hstack([one, other])).save(tmp_path / "both.png")
    Image.fromarray(one).save(tmp_path / "one.png")
    listed = "probe,reference,label\nboth.png,one.png,genuine\none.png,one.png,genuine\n"
    (tmp_path / "pairs.csv").write_text(listed, encoding="utf-8")
    files = ["--root", str(tmp_path), "--pairs", str(tmp_path / "pairs.csv"), "--out", str(tmp_path / "scores.csv")]
    output = bench("compare", "iris", *files, "--processes", "1")
    assert "1 several" in output
    assert "both.png: several: it shows more than one finger or eye" in output
    rows = (tmp_path / "scores.csv").read_text(encoding="utf-8").splitlines()
    assert rows[1].endswith(",")
    assert float(rows[2].rpartition(",")[2]) > 0.9
    assert "both.png,,no,several," in (tmp_path / "scores.pictures.csv").read_text(encoding="utf-8")
