"""A short run of the drill `swaps`, and a check that it notices a wrong reader."""

import json
import subprocess
import sys
from pathlib import Path

from tests.rigs.umockdev import ROOT, command, needs_umockdev
from tests.whole.drills import swaps

# Gives the readers the wrong ports.
WRONG = """
import sys
from pathlib import Path
from tests.whole.drills.swaps import TwoReaders
readers = TwoReaders(Path(sys.argv[1]), 1)
readers.at = {0: "1-2", 1: "1-1"}
print(readers.count_wrong())
"""


@needs_umockdev
def test_two_readers_of_a_kind_keep_their_names_whatever_is_pulled_out_and_put_back() -> None:
    seen = swaps.run(rounds=3, seed=5)
    assert seen["exchanged"] > 0
    assert (seen["rounds"], seen["opened"], seen["swaps"]) == (3, 12, 0)


@needs_umockdev
def test_a_reader_under_the_wrong_name_would_be_seen(tmp_path: Path) -> None:
    control = tmp_path / "control"
    child = [sys.executable, "-c", WRONG, str(control)]
    whole = command("tests.rigs.usb_machines:readers", control, *child)
    done = subprocess.run(whole, cwd=ROOT, check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) == 2
