"""Runs a function as another account, in a process of its own. Only root can, so other accounts skip such a test."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

Result = TypeVar("Result")

OTHER = 54_321  # an account that no machine has

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another account")


def in_child(work: Callable[[], Result]) -> Result:
    """What `work` returns in a process of its own; raises what it raises there."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            done: tuple[bool, object] = (True, work())
        except BaseException as error:  # noqa: BLE001 - raised again by the parent
            done = (False, error)
        with os.fdopen(writing, "wb") as end:
            end.write(pickle.dumps(done))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as end:
        good, result = pickle.loads(end.read())  # noqa: S301 - from our own child
    os.waitpid(child, 0)
    if not good:
        raise result
    return result  # type: ignore[no-any-return]


def as_other(work: Callable[[], Result]) -> Result:
    """What `work` returns when the account OTHER runs it."""

    def become_other() -> Result:
        os.setgroups([])
        os.setgid(OTHER)
        os.setuid(OTHER)
        return work()

    return in_child(become_other)


def give_to_other(path: Path) -> None:
    """Make OTHER the owner of a file or folder, and let everybody reach it."""
    os.chown(path, OTHER, OTHER, follow_symlinks=False)
    for folder in path.resolve().parents:
        if folder.stat().st_uid == os.geteuid() and not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
