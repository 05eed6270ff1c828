"""Machine code that is kept on disk: a changed source is compiled anew, whichever module it lies in."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from models.compiled import NUMBA, PLAIN

ROOT = Path(__file__).parents[2]
ADDER = """
from models.compiled import compiled
from constants import STEP

@compiled
def next_after(number):
    return number + STEP
"""


def told(folder: Path) -> str:
    run = [sys.executable, "-c", "from adder import next_after; print(next_after(40))"]
    places = {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
    return subprocess.run(run, cwd=folder, env=os.environ | places, check=True, capture_output=True, text=True).stdout


@pytest.mark.skipif(NUMBA is None, reason="numba is not there")
def test_machine_code_of_yesterday_does_not_outlive_a_constant_of_another_module(tmp_path: Path) -> None:
    (tmp_path / "adder.py").write_text(ADDER)
    for step in (1, 2):
        (tmp_path / "constants.py").write_text(f"STEP = {step}\n")
        assert told(tmp_path) == f"{40 + step}\n"
    assert list(tmp_path.rglob("*.nbc"))  # it is kept, or the test shows nothing


@pytest.mark.skipif(NUMBA is None, reason="numba is not there")
@pytest.mark.parametrize(
    ("value", "found"), [("", "True"), ("0", "True"), ("False", "True"), ("1", "False"), ("x", "False")]
)
def test_machine_code_is_off_only_when_plain_search_is_on(value: str, found: str) -> None:
    run = [sys.executable, "-c", "from models.compiled import NUMBA; print(NUMBA is not None)"]
    done = subprocess.run(run, cwd=ROOT, env=os.environ | {PLAIN: value}, check=True, capture_output=True, text=True)
    assert done.stdout == f"{found}\n"
