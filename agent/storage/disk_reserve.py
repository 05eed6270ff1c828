"""Room on the disk kept for the moment when it is full: without it a full disk is a trap, for sqlite writes to delete.

While the disk has room there is a file that only takes up space. On a full disk the file is given up, and from then on
a store may use what is free to tidy up, but not to grow.
"""

import contextlib
import os
from pathlib import Path

SIZE = 2 * 1024 * 1024  # a store's whole write-ahead log twice over; see WAL_PAGES in agent.storage.database


class Reserve:
    """Held from the start wherever there is room for it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._unfinished = path.with_name(path.name + ".new")  # one name: what a crash left behind is finished
        self.hold()

    @property
    def allows_growth(self) -> bool:
        """Whether a store may take more of the disk."""
        return self._path.exists() or self._free() >= 2 * SIZE

    def hold(self) -> None:
        """Take the room, unless it is held or the disk is too full to spare it."""
        if self._path.exists() or self._free() < 4 * SIZE:
            return
        try:
            _allocate(self._unfinished)
            self._unfinished.rename(self._path)  # whole or not at all, wherever a crash or a power cut comes
        except OSError:  # another handle was first, or the disk filled up just now
            self._unlink(self._unfinished)

    def give_up(self) -> None:
        """Free the room."""
        self._unlink(self._path)
        self._unlink(self._unfinished)

    def _free(self) -> int:
        disk = os.statvfs(self._path.parent)
        return disk.f_bavail * disk.f_frsize

    def _unlink(self, path: Path) -> None:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _allocate(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, SIZE)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
