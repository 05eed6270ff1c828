"""kiosk-bench search finger: what it reports, and the real people it hides."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from models.compiled import NUMBA
from simulators.bench.command import app
from simulators.bench.mates import people_of, spread
from simulators.bench.search_finger import found
from tests.conftest import impression_of


def test_the_bench_reports_what_the_issue_asks_for(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    done = CliRunner().invoke(
        app, ["search", "finger", "--size", "60", "--fingers", "2", "--threads", "2", "--json", str(file)]
    )
    assert done.exit_code == 0, done.output
    figures = json.loads(file.read_text())
    wanted = {"prefilter_per_s_core", "outside_top1_pct", "rerank_us", "search_s", "open_s", "bytes_per_template"}
    assert figures.keys() >= wanted | {"found_pct", "yardstick_ratio"}
    assert figures["found_pct"] is None
    assert figures["yardstick_ratio"] > 1 or NUMBA is None
    assert figures["short_list"] == 60  # of sixty persons none is left out
    assert figures["rerank_us"] > figures["exact_us"] / 2  # most of the sixty are scored exactly


def test_who_shares_the_first_place_is_not_found() -> None:
    assert found("a", {"a": 1e-7, "b": 1e-6})
    assert not found("a", {"a": 1e-7, "b": 1e-7})
    assert not found("a", {"a": 1e-6, "b": 1e-7})
    assert not found("a", {"b": 1.0})
    assert not found("a", {})


def test_travellers_stand_in_the_middle_of_equal_parts_of_the_gallery() -> None:
    assert spread(100, 2) == [25, 75]
    assert spread(3, 3) == [0, 1, 2]


def _picture(path: Path, seed: int, impression: int) -> None:
    Image.fromarray(impression_of(seed, impression)).save(path)


def test_real_people_are_hidden_and_found_whatever_the_depth_of_their_pictures(tmp_path: Path) -> None:
    _picture(tmp_path / "a_1.png", 1, 1)
    deep = impression_of(1, 2).astype(np.uint16) * 257
    Image.fromarray(deep).save(tmp_path / "a_2.png")
    _picture(tmp_path / "b_1.png", 2, 1)  # of whom there is nothing to search with
    file = tmp_path / "figures.json"
    options = ["--size", "80", "--mates", str(tmp_path), "--json", str(file)]
    done = CliRunner().invoke(app, ["search", "finger", *options])
    assert done.exit_code == 0, done.output
    figures = json.loads(file.read_text())
    assert (figures["probes"], figures["found_pct"], figures["outside_top1_pct"]) == (1, 100, 0)
    people = list(people_of(tmp_path, 1, 500.0, 80))
    assert [(one.number, len(one.probes)) for one in people] == [(20, 1), (60, 0)]
    shallow = tmp_path / "shallow"
    shallow.mkdir()
    _picture(shallow / "a_1.png", 1, 1)
    _picture(shallow / "a_2.png", 1, 2)
    (same,) = people_of(shallow, 1, 500.0, 80)
    assert (same.probes[0][0] == people[0].probes[0][0]).all()


@pytest.mark.parametrize(
    ("names", "options", "complaint"),
    [
        ([], [], "contains no image FINGER_IMPRESSION.png"),
        (["thumb.png"], [], "thumb.png: the name of an image must be FINGER_IMPRESSION.png"),
        (["a_1.png", "a_01.png"], [], "a_1.png and a_01.png are the same impression"),
        (["a_1.png", "b_1.png"], [], "no finger has a second impression"),
        (
            ["a_1.png", "b_2.png"],
            ["--fingers", "2"],
            "a and b belong to one person but have no impression with",
        ),
        (["a_1.png", "a_2.png"], ["--fingers", "2"], "has 0 persons of 2 fingers"),
        (["a_1.png", "a_2.png", "text_1.png"], [], "text_1.png is not a readable image"),
    ],
)
def test_a_folder_that_cannot_be_used_is_named_with_what_is_expected(
    tmp_path: Path, names: list[str], options: list[str], complaint: str
) -> None:
    for name in names:
        if name.startswith("text"):
            (tmp_path / name).write_text("not a picture")
        else:
            _picture(tmp_path / name, 1, 1)
    arguments = ["search", "finger", "--size", "9", "--mates", str(tmp_path), *options]
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "400"})
    assert done.exit_code == 2
    assert complaint in done.output
