"""kiosk-bench encounter: the time from the last sample to the answer."""

import json
from pathlib import Path
from typing import Any

from tests.simulators.bench.conftest import bench


def test_an_encounter_of_fingers_and_eyes_is_timed_from_its_last_sample(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    bench("encounter", "--size", "30", "--encounters", "1", "--pause", "0", "--threads", "1", "--json", str(path))
    figures: dict[str, Any] = json.loads(path.read_text())
    assert (figures["persons"], figures["encounters"], figures["leads"]) == (30, 2, 2)
    assert 0 < figures["after_last_eye_s"] <= figures["after_last_eye_longest_s"]
