"""Runs a function as another account, in a process of its own. Only root can, so other accounts skip such a test.

The process is a new one: a fork of a process with several threads can wait for ever for a lock that one of them held.
"""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

import pytest

from tests.structure.mirror import ROOT

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

OTHER = 54_321  # an account that no machine has
CHILD_S = 60.0

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another account")


def in_child(work: Callable[Parameters, Result], *arguments: Parameters.args, **named: Parameters.kwargs) -> Result:
    """What a function of a module returns in a new process; raises what it raises there."""
    return _run(None, work, arguments, named)


def as_other(work: Callable[Parameters, Result], *arguments: Parameters.args, **named: Parameters.kwargs) -> Result:
    """What a function of a module returns when the account OTHER runs it."""
    return _run(OTHER, work, arguments, named)


def _run(uid: int | None, work: Callable[..., Result], arguments: object, named: object) -> Result:
    order = pickle.dumps((uid, work, arguments, named))
    command = [sys.executable, "-m", "tests.rigs.other_account"]
    done = subprocess.run(command, cwd=ROOT, input=order, check=True, capture_output=True, timeout=CHILD_S)
    good, result = pickle.loads(done.stdout)  # noqa: S301 - from our own child
    if not good:
        raise result
    return result  # type: ignore[no-any-return]


def _main() -> None:
    """The new process: does the work that it gets on stdin."""
    uid, work, arguments, named = pickle.load(sys.stdin.buffer)  # noqa: S301 - from our own parent
    out, sys.stdout = sys.stdout.buffer, sys.stderr
    try:
        if uid is not None:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
        done: tuple[bool, object] = (True, work(*arguments, **named))
    except BaseException as error:  # noqa: BLE001 - raised again by the parent
        done = (False, error)
    out.write(pickle.dumps(done))


def give_to_other(path: Path) -> None:
    """Make OTHER the owner of a file or folder, and let everybody reach it."""
    os.chown(path, OTHER, OTHER, follow_symlinks=False)
    for folder in path.resolve().parents:
        if folder.stat().st_uid == os.geteuid() and not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)


if __name__ == "__main__":
    _main()
