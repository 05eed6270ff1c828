"""Compiled code on disk: a function is compiled again when its own module or one that it imports has changed."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from models.compiled import NUMBA, PLAIN, compiled

ROOT = Path(__file__).parents[2]
ADDER = """
from models.compiled import compiled
from constants import STEP

@compiled
def next_after(number):
    return number + STEP
"""


IMPORTS = (  # ways to write an import of counting/values/steps.py, which imports its START from start.py
    "from counting.values.steps import STEP",
    "from counting.values import steps\nSTEP = steps.STEP",
    "import counting.values.steps\nSTEP = counting.values.steps.STEP",
    "from ..values.steps import STEP",
    "from counting.values import STEP",  # from the __init__ of the folder
)
needs_numba = pytest.mark.skipif(NUMBA is None, reason="numba is not installed")


def run_python(folder: Path, code: str, **environment: str) -> str:
    """What a new Python process prints that finds the modules of `folder`."""
    paths = {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
    run = [sys.executable, "-c", code]
    done = subprocess.run(
        run, cwd=folder, env=os.environ | paths | environment, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@needs_numba
def test_a_function_is_compiled_again_when_a_constant_of_another_module_changes(tmp_path: Path) -> None:
    (tmp_path / "adder.py").write_text(ADDER)
    for step in (1, 2):
        (tmp_path / "constants.py").write_text(f"STEP = {step}\n")
        assert run_python(tmp_path, "from adder import next_after; print(next_after(40))") == f"{40 + step}"
    assert list(tmp_path.rglob("*.nbc"))  # the compiled code is on disk, or the test shows nothing


@needs_numba
def test_a_function_is_compiled_again_when_a_constant_in_another_folder_changes(tmp_path: Path) -> None:
    package = tmp_path / "counting"
    (package / "values").mkdir(parents=True)
    (package / "kernels").mkdir()
    (package / "__init__.py").write_text("")
    (package / "kernels" / "__init__.py").write_text("")
    (package / "values" / "__init__.py").write_text("from counting.values.steps import STEP\n")
    (package / "values" / "steps.py").write_text("from counting.values.start import START\nSTEP = START + 1\n")
    for number, importing in enumerate(IMPORTS):
        source = ADDER.replace("from constants import STEP", importing)
        (package / "kernels" / f"adder{number}.py").write_text(source)
    code = (
        "from importlib import import_module\n"
        f"for number in range({len(IMPORTS)}):\n"
        "    print(import_module(f'counting.kernels.adder{number}').next_after(40))"
    )
    for start in (0, 1):
        (package / "values" / "start.py").write_text(f"START = {start}\n")
        assert run_python(tmp_path, code).split() == [f"{41 + start}"] * len(IMPORTS)
    assert len(list(tmp_path.rglob("*.nbi"))) == len(IMPORTS)


@needs_numba
@pytest.mark.parametrize(
    ("value", "found"), [("", "True"), ("0", "True"), ("False", "True"), ("1", "False"), ("x", "False")]
)
def test_compiled_code_is_off_only_when_plain_search_is_on(value: str, found: str) -> None:
    code = "from models.compiled import NUMBA; print(NUMBA is not None)"
    assert run_python(ROOT, code, **{PLAIN: value}) == found


@needs_numba
def test_a_function_is_compiled_with_its_options_and_gives_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "def halved(number):\n    return number / 2\n"
    (tmp_path / "halving.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    plain = importlib.import_module("halving").halved
    for options in ({}, {"exact": True}, {"inline": True}):
        assert compiled(plain, **options)(7) == 3.5
    monkeypatch.setattr("models.compiled.NUMBA", None)
    assert compiled(plain) is plain
