"""kiosk-bench encode iris: times without the yardstick."""

import json
from pathlib import Path
from typing import Any

from tests.simulators.bench.conftest import bench


def test_an_encoding_is_timed_without_the_yardstick(eyes: Path, tmp_path: Path) -> None:
    (eyes / "one").mkdir()
    (eyes / "one" / "1L01.png").write_bytes((eyes / "a" / "1L01.png").read_bytes())
    options = ["--images", str(eyes / "one"), "--rounds", "1", "--cache", str(eyes / "none"), "--no-fetch-yardstick"]
    output = bench("encode", "iris", *options, "--json", str(tmp_path / "figures.json"))
    assert "--no-fetch-yardstick" in output
    figures: dict[str, Any] = json.loads((tmp_path / "figures.json").read_text())
    assert figures["ms_1_thread"] > 0
    assert figures["ms_2_threads"] > 0
    assert figures["yardstick_ratio"] is None
    assert (figures["images"], figures["rounds"]) == (1, 1)
