"""Compiled code is read from one place, and only if nobody can write there who cannot write the source."""

import os
import pickle
from pathlib import Path

import pytest

pytest.importorskip("numba")

from models.compiled_cache import distrusted
from tests.models.test_compiled import run_python

SOURCE = """
import logging, sys
logging.basicConfig(level="INFO", stream=sys.stdout, format="%(levelname)s %(message)s")
from models.compiled import compiled

@compiled
def next_after(number):
    return number + 1

@compiled
def twice(number):
    return number * 2
"""
RUN = "import adder; print(adder.next_after(40), adder.twice(4))"
ANSWER = "41 8"


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir(mode=0o755)
    (folder / "adder.py").write_text(SOURCE)
    (folder / "adder.py").chmod(0o644)
    return folder


def _run(folder: Path, **environment: str) -> list[str]:
    return run_python(folder, RUN, **environment).splitlines()


def test_code_is_compiled_once_and_read_afterwards(folder: Path) -> None:
    first = _run(folder)
    assert first[-1] == ANSWER
    assert sum(line.startswith("INFO compiling the searches") for line in first) == 1
    assert _run(folder) == [ANSWER]


def test_nothing_is_kept_in_the_home_directory_or_where_the_environment_says(folder: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (folder / "__pycache__").write_text("no folder, so nothing can be kept next to the source")
    elsewhere = {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "NUMBA_CACHE_DIR": str(home / "numba")}
    for _ in range(2):  # the second run finds nothing either
        lines = _run(folder, **elsewhere)
        assert lines[-1] == ANSWER
        assert [line.split(" (")[0] for line in lines if line.startswith("WARNING")] == [
            "WARNING compiled searches cannot be kept next to their source"
        ]
    assert list(home.rglob("*")) == []


class _Planted:
    """Pickled code that an attacker wrote: it makes a file when it is read."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[object, tuple[Path, int]]:
        return (os.mkdir, (self._mark, 0o700))


@pytest.mark.parametrize(("mode", "runs"), [(0o644, True), (0o666, False), (0o664, False), (0o646, False)])
def test_a_file_that_others_can_write_is_not_read(folder: Path, tmp_path: Path, *, mode: int, runs: bool) -> None:
    mark = tmp_path / "was read"
    _run(folder)
    (index,) = (folder / "__pycache__").glob("adder.next_after*.nbi")
    index.write_bytes(pickle.dumps(_Planted(mark)))
    index.chmod(mode)
    lines = run_python(folder, f"try: exec({RUN!r})\nexcept Exception: print('damaged')").splitlines()
    assert mark.exists() is runs  # who can write the source, can run code anyway
    if not runs:
        reason = f"{index} can be written by more people than its source"
        assert lines[-1] == ANSWER
        assert f"WARNING compiled code is not used: {reason}; delete it" in lines


def test_the_owner_is_that_of_the_source_or_root(tmp_path: Path) -> None:
    found = tmp_path.stat()
    others = os.stat_result((found.st_mode, *found[1:4], found.st_uid + 1, *found[5:]))
    reason = f"{tmp_path} belongs to user {found.st_uid}" if found.st_uid else ""
    assert distrusted([tmp_path], found) == ""
    assert distrusted([tmp_path], others) == reason


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_account_is_not_read(folder: Path) -> None:
    _run(folder)
    for file in (folder / "__pycache__").glob("*.nbc"):
        os.chown(file, 65534, 65534)
    lines = _run(folder)
    assert lines[-1] == ANSWER
    assert any("belongs to user 65534; delete it" in line for line in lines)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_account_is_neither_read_nor_written(folder: Path) -> None:
    (folder / "__pycache__").mkdir()
    os.chown(folder / "__pycache__", 65534, 65534)
    for _ in range(2):
        lines = _run(folder)
        assert lines[-1] == ANSWER
        assert any("__pycache__ belongs to user 65534; delete it" in line for line in lines)
    assert list(folder.rglob("*.nb?")) == []


@pytest.mark.parametrize("umask", [0o077, 0o002])
def test_who_can_read_the_source_can_read_the_compiled_code_whatever_the_umask(folder: Path, umask: int) -> None:
    code = f"import os; os.umask({umask}); {RUN}"  # Python makes the folder, with this umask
    run_python(folder, code)
    kept = [path for path in (folder / "__pycache__").iterdir() if path.suffix in (".nbi", ".nbc")]
    assert len(kept) == 4
    assert {path.stat().st_mode & 0o777 for path in kept} == {0o644}
    assert (folder / "__pycache__").stat().st_mode & 0o777 == 0o755
    assert _run(folder) == [ANSWER]
