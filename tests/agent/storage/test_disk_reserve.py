"""The file that keeps room on the disk: whole or not there, made while there is room, given up when it is needed."""

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.storage.disk_reserve import RESERVE_BYTES, DiskReserve


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.reserve"


def _leave_free(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=count, f_frsize=1))


def test_a_reserve_is_held_from_the_start_and_gone_when_released(path: Path) -> None:
    reserve = DiskReserve(path)
    assert path.stat().st_size == RESERVE_BYTES
    reserve.hold()  # it is held already
    reserve.release()
    assert list(path.parent.iterdir()) == []
    reserve.hold()
    assert path.stat().st_size == RESERVE_BYTES


def test_a_disk_that_is_nearly_full_is_not_filled_by_the_reserve(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _leave_free(monkeypatch, 4 * RESERVE_BYTES - 1)
    DiskReserve(path)
    assert not path.exists()


def test_without_the_reserve_a_store_may_grow_only_where_there_is_room(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserve = DiskReserve(path)
    _leave_free(monkeypatch, 0)
    assert reserve.allows_growth  # it is held: what is full is full without it
    reserve.release()
    assert not reserve.allows_growth
    _leave_free(monkeypatch, 2 * RESERVE_BYTES)
    assert reserve.allows_growth


def test_a_reserve_whose_making_was_cut_short_is_not_held_and_made_whole_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "outbox.reserve"

    def power_cut(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", power_cut)
        with pytest.raises(SystemExit):
            DiskReserve(path)
    assert not path.exists()
    DiskReserve(path)
    assert path.stat().st_size == RESERVE_BYTES
    assert [file.name for file in tmp_path.iterdir()] == ["outbox.reserve"]


def test_a_disk_that_fills_up_while_the_reserve_is_made_keeps_nothing_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    DiskReserve(tmp_path / "outbox.reserve")
    assert list(tmp_path.iterdir()) == []
