"""Whether a list fits on the disk and in memory, asked before it is loaded: a full disk refuses it, not a traveller."""

import os
from pathlib import Path

from agent.errors import StoreError

MARGIN = 64 * 1024 * 1024  # bytes left for everything else
MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")
_UNLIMITED = 1 << 62


class TooLittleMemory(StoreError):
    """A list does not fit into memory."""


class TooLittleDisk(StoreError):
    """A list does not fit on the disk."""


def check_memory(needed: int, what: str) -> None:
    """TooLittleMemory with the figures if `needed` bytes are not free for this process."""
    free = free_memory()
    if needed + MARGIN > free:
        raise TooLittleMemory(
            f"{what} needs {_megabytes(needed)} of memory, and {_megabytes(max(0, free - MARGIN))} are free: "
            "add memory, raise MemoryMax of the unit, or take fewer lists"
        )


def check_disk(folder: Path, needed: int, what: str) -> None:
    """TooLittleDisk with the figures if `needed` bytes are not free on the disk of a folder."""
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    if needed + MARGIN > free:
        raise TooLittleDisk(
            f"{what} needs {_megabytes(needed)} on the disk, and {_megabytes(max(0, free - MARGIN))} are free: "
            "free some space; the list that is here is searched on"
        )


def free_memory(meminfo: Path = MEMINFO, cgroup: Path = CGROUP, own: Path = OWN_CGROUP) -> int:
    """Bytes that this process may still take: of the computer, and of the limits of its unit (cgroup version 2)."""
    available = _UNLIMITED
    for line in _text(meminfo).splitlines():
        if line.startswith("MemAvailable:"):
            available = int(line.split()[1]) * 1024
    name = _text(own).strip().removeprefix("0::").lstrip("/")
    for folder in (cgroup / name, *(cgroup / name).parents):
        if not folder.is_relative_to(cgroup):
            break
        limit, used = _text(folder / "memory.max").strip(), _text(folder / "memory.current").strip()
        if limit.isdecimal() and used.isdecimal():
            available = min(available, int(limit) - int(used))
    return available


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def _megabytes(number: int) -> str:
    return f"{number / 1e6:.0f} MB"
