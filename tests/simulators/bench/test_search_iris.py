"""kiosk-bench search iris: its figures, and the real people that it adds to the gallery."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from models.iris.encoder import IrisEncoder
from models.iris.score import score
from models.iris.template import BITS, IrisCode
from simulators.bench import search_iris as bench_iris_search
from simulators.bench.command import app
from tests.simulators.bench.conftest import bench


def test_mates_that_cannot_be_used_are_named(eyes: Path, tmp_path: Path) -> None:
    assert "no.png" in bench("search", "iris", "--size", "100", "--mates", str(eyes / "a"), status=2)
    shutil.copy(eyes / "a" / "1L01.png", tmp_path)
    assert "0 persons with at least two images" in bench(
        "search", "iris", "--size", "100", "--mates", str(tmp_path), status=2
    )


@pytest.mark.parametrize("eyes", [1, 2])
def test_synthetic_travellers_are_found_and_the_way_out_changes_no_mate(tmp_path: Path, eyes: int) -> None:
    path = tmp_path / "figures.json"
    bench("search", "iris", "--size", "2500", "--eyes", str(eyes), "--threads", "2", "--json", str(path))
    figures: dict[str, Any] = json.loads(path.read_text())
    assert (figures["persons"], figures["eyes"], figures["probes"]) == (2500, eyes, 20)
    assert figures["found_pct"] == 100
    assert (figures["mates_compared"], figures["mates_changed"]) == (20 * eyes, 0)
    assert figures["bytes_per_template"] == 1025
    assert 0 < figures["given_up_pct"] < 100
    for name in ("comparisons_per_s_core", "bandwidth_share", "yardstick_ratio", "search_s", "open_s"):
        assert figures[name] > 0


def test_mates_of_a_folder_are_hidden_and_found(monkeypatch: pytest.MonkeyPatch, eyes: Path) -> None:
    codes = iter([_code(1, 0.0), _code(1, 0.1), _code(2, 0.0), _code(2, 0.1)])
    monkeypatch.setattr(IrisEncoder, "code", lambda *_: next(codes))
    monkeypatch.setattr("simulators.bench.files.SUFFIXES", {".png"})
    (eyes / "a" / "no.png").rename(eyes / "no.png")
    people = list(bench_iris_search.people_of(eyes / "a", 1, 50))
    assert [(p.number, len(p.references), len(p.probes)) for p in people] == [(0, 1, 1), (49, 1, 1)]
    assert score(people[1].probes[0][0], people[1].references[0]) > 0.8


def _code(seed: int, noise: float) -> IrisCode:
    bits = np.random.default_rng(seed).random(BITS) < 0.5
    return IrisCode.of(60, bits ^ (np.random.default_rng(9).random(BITS) < noise), np.ones(BITS, bool))


def test_people_are_told_by_their_file_names(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((60, 80), np.uint8)).save(tmp_path / "eye.png")
    done = CliRunner().invoke(app, ["search", "iris", "--size", "5", "--mates", str(tmp_path)], env={"COLUMNS": "300"})
    assert done.exit_code == 2
    assert "eye.png: the name of an image must be PERSON, EYE" in done.output
