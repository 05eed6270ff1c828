"""Timing and output of figures."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from simulators.bench.figures import Timings, cpu_timed, timed, write_figures


@dataclass(frozen=True, slots=True)
class Figures:
    search_s: float
    found_pct: float | None


def test_work_is_timed_and_its_result_returned() -> None:
    for clock in (timed, cpu_timed):
        seconds, result = clock(lambda: sum(range(1000)))
        assert seconds >= 0
        assert result == 499_500


def test_medians_and_ratios_are_those_of_single_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def takes(factor: float) -> object:
        def run(seconds: float) -> None:
            nonlocal now
            now += seconds * factor

        return run

    monkeypatch.setattr("time.perf_counter", lambda: now)
    timings = Timings({"one": takes(1.0), "other": takes(2.5)}, [0.1, 0.4, 0.2])  # type: ignore[dict-item]
    assert timings.median_ms("one") == 200.0
    assert timings.ratio("other", "one", 2) == 2.5
    assert timings.median_ms("absent") is None
    assert timings.ratio("one", "absent", 2) is None


def test_figures_are_printed_and_written_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "figures.json"
    write_figures(Figures(0.25, None), path)
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert printed[1:] == [["search", "s", "0.25"], ["found", "pct", "-"]]
    assert json.loads(path.read_text()) == {"search_s": 0.25, "found_pct": None}
    write_figures(Figures(0.25, None), None)
    assert len(list(tmp_path.iterdir())) == 1
