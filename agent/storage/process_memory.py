"""Keeps the memory of the daemon, with its templates and keys, out of files: no core dump, and no swap if allowed."""

import ctypes
import logging
import os
import resource
from pathlib import Path

log = logging.getLogger(__name__)

PR_GET_DUMPABLE, PR_SET_DUMPABLE = 3, 4  # prctl(2)
MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT = 1, 2, 4  # mlockall(2)
SWAPS = Path("/proc/swaps")

libc = ctypes.CDLL(None, use_errno=True)


def protect_memory(swaps: Path = SWAPS) -> None:
    """Forbid core dumps and reading by other processes of the account; lock the memory if this process may.

    A warning if what it holds may be swapped to disk. The unit forbids that twice: MemorySwapMax= and LimitMEMLOCK=.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # A core file may also go to a program (systemd-coredump), for which the limit does not count: this does.
    _call("prctl", PR_SET_DUMPABLE, 0, 0, 0, 0)
    if not _lock() and _swap_exists(swaps):
        log.warning("the memory of the agent may be swapped to disk: give the unit LimitMEMLOCK=infinity")


def _lock() -> bool:
    """Lock what is used now and later, page by page when it is first used. Whether that is allowed.

    With a limit it is not tried: as soon as that is reached, the process would get no more memory.
    """
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] != resource.RLIM_INFINITY:
        return False
    return _call("mlockall", MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)


def _swap_exists(swaps: Path) -> bool:
    """Whether the computer has swap space; the first line of the file is a heading."""
    try:
        return len(swaps.read_text(encoding="utf-8").splitlines()) > 1
    except OSError:
        return False


def _call(name: str, *arguments: int) -> bool:
    """A function of the C library that returns 0. Logs a failure: the agent works without it."""
    if getattr(libc, name)(*map(ctypes.c_ulong, arguments)) == 0:
        return True
    log.warning("%s: %s", name, os.strerror(ctypes.get_errno()))
    return False
