"""kiosk-bench compare, search and encode of irises, on made-up people."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from drivers.sample import Position
from models.iris.encoder import IrisEncoder
from models.iris.kernel import search, search_whole
from models.iris.score import compare, score
from models.iris.search_layout import STOPPED, ShiftedProbe, split
from models.iris.template import BITS, IrisCode
from simulators.bench import search_iris as bench_iris_search
from simulators.bench.command import app
from simulators.bench.compare_iris import sample_of
from simulators.images import read_grey
from simulators.people import iris_codes
from simulators.people.person import Person

PAIRS = """probe,reference,label
a/1L02.png,a/1L01.png,genuine
a/1L01.png,a/2L01.png,impostor
a/no.png,a/1L01.png,genuine
"""


@pytest.fixture(name="root", scope="module")
def _root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two eyes, a text with the name of a picture."""
    root = tmp_path_factory.mktemp("eyes")
    (root / "a").mkdir()
    for seed, n in ((1, 0), (1, 1), (2, 0), (2, 1)):
        frame = Person(seed).eye(Position.LEFT_EYE).frame(n)
        Image.fromarray(frame).save(root / "a" / f"{seed}L{n + 1:02}.png")
    (root / "pairs.csv").write_text(PAIRS, encoding="utf-8")
    (root / "a" / "no.png").write_text("not a picture")
    return root


def _run(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "300"})
    assert done.exit_code == 0, done.output
    return done.output


def _refused(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "300"})
    assert done.exit_code == 2, done.output
    return done.output


@pytest.mark.parametrize(
    ("name", "said"), [("none/a.json", "its folder does not exist"), (".", "is a folder"), ("worst.xyz", "FILE.png")]
)
def test_a_file_that_cannot_be_written_is_said_before_the_work(root: Path, name: str, said: str) -> None:
    files = ["--root", str(root), "--pairs", str(root / "none.csv"), "--out", str(root / "scores.csv")]
    if name.endswith("xyz"):
        assert said in _refused("compare", "iris", *files, "--worst", str(root / name))
    else:
        assert said in _refused("search", "iris", "--size", "100", "--json", str(root / name))


def test_mates_that_cannot_be_used_are_named(root: Path, tmp_path: Path) -> None:
    assert "no.png" in _refused("search", "iris", "--size", "100", "--mates", str(root / "a"))
    shutil.copy(root / "a" / "1L01.png", tmp_path)
    assert "0 persons with at least two images" in _refused("search", "iris", "--size", "100", "--mates", str(tmp_path))


def test_each_pair_gets_the_score_of_the_kiosk_and_the_worst_are_shown(root: Path, tmp_path: Path) -> None:
    files = ["--root", str(root), "--pairs", str(root / "pairs.csv"), "--out", str(tmp_path / "scores.csv")]
    output = _run("compare", "iris", *files, "--worst", str(tmp_path / "worst.png"), "--processes", "1")
    assert "3 comparisons, 1 without a score" in output
    with (tmp_path / "scores.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    encoder = IrisEncoder()
    templates = [
        encoder.encode(sample_of(read_grey(root / "a" / name))) for name in ("1L02.png", "1L01.png", "2L01.png")
    ]
    assert float(rows[0]["score"]) == pytest.approx(compare(templates[0], templates[1]), abs=1e-6)
    assert float(rows[1]["score"]) == pytest.approx(compare(templates[1], templates[2]), abs=1e-6)
    assert rows[2]["score"] == ""
    with Image.open(tmp_path / "worst.png") as sheet:
        assert sheet.size == (5 * 320, 260)  # three pictures, one row


def test_a_list_that_cannot_be_used_ends_the_command(root: Path, tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("probe,label\n", encoding="utf-8")
    files = ["--root", str(root), "--pairs", str(tmp_path / "pairs.csv"), "--out", str(tmp_path / "scores.csv")]
    done = CliRunner().invoke(app, ["compare", "iris", *files], env={"COLUMNS": "300"})
    assert done.exit_code == 2
    assert "has no column reference" in done.output


@pytest.mark.parametrize("eyes", [1, 2])
def test_synthetic_travellers_are_found_and_the_way_out_changes_no_mate(tmp_path: Path, eyes: int) -> None:
    path = tmp_path / "figures.json"
    _run("search", "iris", "--size", "2500", "--eyes", str(eyes), "--threads", "2", "--json", str(path))
    figures: dict[str, Any] = json.loads(path.read_text())
    assert (figures["persons"], figures["eyes"], figures["probes"]) == (2500, eyes, 20)
    assert figures["found_pct"] == 100
    assert (figures["mates_compared"], figures["mates_changed"]) == (20 * eyes, 0)
    assert figures["bytes_per_template"] == 1025
    assert 0 < figures["given_up_pct"] < 100
    for name in ("comparisons_per_s_core", "bandwidth_share", "yardstick_ratio", "search_s", "open_s"):
        assert figures[name] > 0


def test_mates_of_a_folder_are_hidden_and_found(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    codes = iter([_code(1, 0.0), _code(1, 0.1), _code(2, 0.0), _code(2, 0.1)])
    monkeypatch.setattr(IrisEncoder, "code", lambda *_: next(codes))
    monkeypatch.setattr("simulators.bench.files.SUFFIXES", {".png"})
    (root / "a" / "no.png").rename(root / "no.png")
    people = list(bench_iris_search.people_of(root / "a", 1, 50))
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


def test_made_up_codes_are_nobodys_and_their_own_again() -> None:
    rng = np.random.default_rng(4)
    numbers = np.arange(30 * iris_codes.VARIANTS)
    made = iris_codes.code_columns(rng, 30).variant(numbers // iris_codes.VARIANTS, numbers % iris_codes.VARIANTS)
    heads, tails = split(*made.words(iris_codes.visible_columns(rng, len(numbers))))
    fields = iris_codes.responses(rng, 1)
    probe = ShiftedProbe.of(iris_codes.codes_of(rng, iris_codes.another_image(rng, fields), 3)[0])
    own = iris_codes.codes_of(rng, fields, 3)[0]
    assert search_whole(probe, *split(own.code[np.newaxis], own.mask[np.newaxis]))[0] > 0.15
    assert search_whole(probe, heads, tails).max() < 0.13
    given_up = (search(probe, heads, tails, np.ones(len(heads), bool)) == STOPPED).mean()
    assert 0.5 < given_up < 0.95  # as of real codes: neither all nor none
    for number in range(iris_codes.VARIANTS):  # variants of one iris are other irises
        one = ShiftedProbe.of(
            IrisCode(0, *(np.concatenate([h, t]) for h, t in zip(heads[number], tails[number], strict=True)))
        )
        assert np.delete(search_whole(one, heads, tails), number).max() < 0.14


def test_an_encoding_is_timed_without_the_yardstick(root: Path, tmp_path: Path) -> None:
    (root / "one").mkdir()
    (root / "one" / "1L01.png").write_bytes((root / "a" / "1L01.png").read_bytes())
    options = ["--images", str(root / "one"), "--rounds", "1", "--cache", str(root / "none"), "--no-fetch-yardstick"]
    output = _run("encode", "iris", *options, "--json", str(tmp_path / "figures.json"))
    assert "--no-fetch-yardstick" in output
    figures: dict[str, Any] = json.loads((tmp_path / "figures.json").read_text())
    assert figures["ms_1_thread"] > 0
    assert figures["ms_2_threads"] > 0
    assert figures["yardstick_ratio"] is None
    assert (figures["images"], figures["rounds"]) == (1, 1)


def test_an_encounter_of_fingers_and_eyes_is_timed_from_its_last_sample(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    _run("encounter", "--size", "30", "--encounters", "1", "--pause", "0", "--threads", "1", "--json", str(path))
    figures: dict[str, Any] = json.loads(path.read_text())
    assert (figures["persons"], figures["encounters"], figures["leads"]) == (30, 2, 2)
    assert 0 < figures["after_last_eye_s"] <= figures["after_last_eye_longest_s"]
