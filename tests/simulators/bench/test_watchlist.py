"""kiosk-bench list: the life of a list in figures, each stage in a process of its own."""

import json
import os
from pathlib import Path

import pytest

from models.gallery import BLOCK
from simulators.bench import watchlist
from simulators.bench.watchlist import ListFigures, alone
from simulators.list_life.stages import Bench, RestartFigures
from tests.simulators.bench.conftest import bench


@pytest.fixture(name="here")
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """All stages in this process: to start one takes seconds, and what it does is the same."""
    monkeypatch.setattr(watchlist, "alone", lambda stage, of: stage(of))


@pytest.mark.usefixtures("here")
def test_a_list_is_published_loaded_opened_again_and_changed_while_it_is_searched(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    bench("list", "--size", "40", "--threads", "1", "--json", str(path))
    figures = ListFigures(**json.loads(path.read_text()))
    assert (figures.persons, figures.threads, figures.delta_persons) == (40, 1, 2)
    assert 0 <= figures.open_s <= figures.ready_s
    assert figures.searches_during >= 1
    assert 0 < figures.search_before_ms <= figures.search_before_longest_ms
    assert 0 < figures.search_during_ms <= figures.search_during_longest_ms
    assert figures.pause_ms == pytest.approx(figures.search_during_longest_ms - figures.search_before_ms, abs=0.2)
    assert 0 < figures.packed_mb < min(figures.disk_mb, figures.first_load_peak_mb, figures.delta_peak_mb)


@pytest.mark.usefixtures("here")
def test_a_million_is_written_directly_and_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "figures.json"
    monkeypatch.setattr(watchlist, "MILLION", BLOCK + 100)  # a block that is full, and one that is not
    bench("list", "--million", "--threads", "1", "--json", str(path))
    figures = RestartFigures(**json.loads(path.read_text()))
    assert figures.persons == BLOCK + 100
    assert figures.packed_mb < figures.disk_mb < 1.5 * figures.packed_mb
    assert 0 <= figures.open_s <= figures.ready_s


def test_a_stage_runs_in_a_process_of_its_own(tmp_path: Path) -> None:
    assert alone(_process, Bench(tmp_path, b"", 1, 1)) != os.getpid()


def _process(_: Bench) -> int:
    return os.getpid()
