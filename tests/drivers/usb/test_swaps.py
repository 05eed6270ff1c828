"""A short seed of the drill of swaps, and that it would see one."""

import json
import subprocess
import sys
from pathlib import Path

from tests.rigs.umockdev import ROOT, command, needs_umockdev
from tests.whole.drills import swaps

# Asks for the reader of one socket and takes what stands in the other.
WRONG = """
import sys
from pathlib import Path
from tests.whole.drills.swaps import Desk
desk = Desk(Path(sys.argv[1]), 1)
desk.at = {0: "1-2", 1: "1-1"}
print(desk.wrong())
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
