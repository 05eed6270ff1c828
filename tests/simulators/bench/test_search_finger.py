"""kiosk-bench search finger: what it reports, and the real people it hides."""

import json
from pathlib import Path

import numpy as np
from PIL import Image
from typer.testing import CliRunner

from models.compiled import NUMBA
from simulators.bench.command import app
from simulators.bench.search_finger import found
from tests.conftest import impression_of
from tests.simulators.bench.conftest import write_impression


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


def test_real_people_are_hidden_and_found_whatever_the_depth_of_their_images(tmp_path: Path) -> None:
    write_impression(tmp_path / "a_1.png", 1, 1)
    deep = impression_of(1, 2).astype(np.uint16) * 257
    Image.fromarray(deep).save(tmp_path / "a_2.png")
    write_impression(tmp_path / "b_1.png", 2, 1)  # of whom there is nothing to search with
    file = tmp_path / "figures.json"
    options = ["--size", "80", "--mates", str(tmp_path), "--json", str(file)]
    done = CliRunner().invoke(app, ["search", "finger", *options])
    assert done.exit_code == 0, done.output
    figures = json.loads(file.read_text())
    assert (figures["probes"], figures["found_pct"], figures["outside_top1_pct"]) == (1, 100, 0)


def test_a_folder_without_people_ends_the_command_with_its_reason(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app, ["search", "finger", "--size", "9", "--mates", str(tmp_path)], env={"COLUMNS": "400"}
    )
    assert done.exit_code == 2
    assert "contains no image" in done.output
