"""The room on the disk and in memory: a list that does not fit is refused with the figures."""

from pathlib import Path

import pytest

from agent.storage.free_space import MARGIN, TooLittleDisk, TooLittleMemory, check_disk, check_memory, free_memory

PETABYTE = 10**15


def test_a_list_that_fits_is_not_refused(tmp_path: Path) -> None:
    check_memory(1, "the list")
    check_disk(tmp_path, 1, "the list")


def test_a_list_that_does_not_fit_into_memory_is_refused_with_the_figures() -> None:
    with pytest.raises(
        TooLittleMemory, match=r"the list of a needs 1000000000 MB of memory, and \d+ MB are free"
    ) as refused:
        check_memory(PETABYTE, "the list of a")
    assert "MemoryMax" in str(refused.value)


def test_a_list_that_does_not_fit_on_the_disk_is_refused_with_the_figures(tmp_path: Path) -> None:
    with pytest.raises(TooLittleDisk, match=r"needs 1000000000 MB on the disk, and \d+ MB are free"):
        check_disk(tmp_path, PETABYTE, "the list of a")


def files(folder: Path, limit: str, outer: str) -> tuple[Path, Path, Path]:
    unit = folder / "cgroup" / "system.slice" / "kiosk-agent.service"
    unit.mkdir(parents=True)
    (unit / "memory.max").write_text(limit)
    (unit / "memory.current").write_text("1000")
    (unit.parent / "memory.max").write_text(outer)
    (unit.parent / "memory.current").write_text("500")
    (folder / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:   8000 kB\n")
    (folder / "own").write_text("0::/system.slice/kiosk-agent.service\n")
    return folder / "meminfo", folder / "cgroup", folder / "own"


@pytest.mark.parametrize(
    ("limit", "outer", "free"),
    [("max\n", "max", 8000 * 1024), ("5000", "max", 4000), ("5000", "1500", 1000), ("max", "99999999999", 8000 * 1024)],
)
def test_the_smallest_limit_counts(tmp_path: Path, limit: str, outer: str, free: int) -> None:
    assert free_memory(*files(tmp_path, limit, outer)) == free


def test_without_any_of_these_files_there_is_no_limit(tmp_path: Path) -> None:
    assert free_memory(tmp_path / "m", tmp_path / "c", tmp_path / "o") > PETABYTE
    assert MARGIN > 0
