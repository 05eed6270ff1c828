"""Reserves disk space for the moment when the disk is full: SQLite needs free space even to delete rows.

While the disk has room, a file takes up the reserved space. When the disk is full, the file is deleted. From then on a
store may use the free space to delete rows, but not to grow.
"""

import contextlib
import os
from pathlib import Path

from agent.errors import ConfigError
from agent.storage.owned_files import open_owned

RESERVE_BYTES = 2 * 1024 * 1024  # twice a store's whole write-ahead log; see WAL_PAGES in agent.storage.database


class DiskReserve:
    """The reserve of one store. It is taken when the object is made, if there is room for it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._unfinished = path.with_name(path.name + ".new")  # a fixed name: the next start reuses what a crash left
        self.hold()

    @property
    def allows_growth(self) -> bool:
        """Whether a store may use more disk space."""
        free = self._free()
        return free is None or self._path.exists() or free >= 2 * RESERVE_BYTES

    def hold(self) -> None:
        """Take the space, unless it is already taken or the disk is too full."""
        if self._path.exists() or (self._free() or 0) < 4 * RESERVE_BYTES:
            return
        try:
            _allocate(self._unfinished)
            self._unfinished.rename(self._path)  # complete or not there, even after a crash or a power cut
        except (OSError, ConfigError):  # another handle was faster, the disk became full, or the name is taken
            self._unlink(self._unfinished)

    def release(self) -> None:
        """Free the space."""
        self._unlink(self._path)
        self._unlink(self._unfinished)

    def _free(self) -> int | None:
        """The free bytes of the disk; None if somebody deleted the folder."""
        try:
            disk = os.statvfs(self._path.parent)
        except OSError:
            return None
        return disk.f_bavail * disk.f_frsize

    def _unlink(self, path: Path) -> None:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _allocate(path: Path) -> None:
    descriptor = open_owned(path, create=True)
    try:
        os.posix_fallocate(descriptor, 0, RESERVE_BYTES)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
