"""Checks that every module has a test at the mirrored path, except those listed in uncovered.toml."""

from pathlib import Path

import pytest

from tests.structure.mirror import ROOT, mirrored_test, modules
from tests.whole.drills import coverage

MODULES = modules()
LISTED = coverage.known()
TESTS = sorted(path.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py"))

# Folders of tests that belong to no single module.
ROOMS = ("structure", "whole")


# Their test cannot import them here: they need torch, or Debian's own Python.
NOT_HERE = {
    "models/training/networks/iris_segmenter.py",
    "models/training/networks/leader_student.py",
    "simulators/transports/usb/umockdev.py",
}

# The list as it was when it was frozen. These numbers may only be lowered.
MOST_MODULES, MOST_LINES = 64, 944


def test_the_list_only_gets_shorter() -> None:
    assert {module for module, lines in LISTED.items() if lines == coverage.ALL} <= NOT_HERE
    assert len(LISTED) <= MOST_MODULES
    assert sum(lines for lines in LISTED.values() if isinstance(lines, int)) <= MOST_LINES


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_has_a_mirrored_test_unless_the_list_says_all(module: Path) -> None:
    there = (ROOT / mirrored_test(module)).exists()
    assert there or LISTED.get(str(module)) == coverage.ALL


def test_the_list_names_only_modules_that_exist() -> None:
    assert set(LISTED) <= {str(module) for module in MODULES}


def test_every_line_of_the_list_has_a_number_or_all() -> None:
    for module, lines in LISTED.items():
        assert lines == coverage.ALL or (isinstance(lines, int) and lines > 0), module


@pytest.mark.parametrize("test", [t for t in TESTS if t.parts[0] not in ROOMS], ids=str)
def test_every_test_is_in_a_folder_of_the_source(test: Path) -> None:
    assert (ROOT / test.parent).is_dir()


# A short run of the drill on two small modules.
@pytest.mark.parametrize("module", ["agent/encounter/decision.py", "models/iris/score.py"])
def test_a_module_that_is_not_on_the_list_is_covered_completely(module: str) -> None:
    assert module not in LISTED
    assert coverage.measure(Path(module)) == 0


def test_a_difference_from_the_list_is_reported() -> None:
    assert coverage.compare({"a.py": 0, "b.py": 3}, {"b.py": 3}) == []
    measured: coverage.Uncovered = {"a.py": 1, "b.py": 2, "c.py": coverage.ALL}
    changed = coverage.compare(measured, {"b.py": 3, "c.py": 9})
    assert [line.partition(":")[0] for line in changed] == ["a.py", "c.py"]
    assert coverage.compare({"a.py": coverage.ALL}, {"a.py": coverage.ALL}) == []
