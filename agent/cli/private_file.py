"""A new file for biometric data: its owner's alone, and never in the place of another."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from agent.errors import AgentError


@contextmanager
def own_file(path: Path) -> Iterator[BinaryIO]:
    """Make the file (mode 0600) and write it. AgentError: something is there already, or it cannot be written."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            yield file
    except FileExistsError:
        raise _in_the_way(path) from None
    except OSError as error:
        raise AgentError(f"{path}: cannot be written: {error.strerror or error}") from error


def check_place(path: Path) -> None:
    """AgentError, as of own_file(), where that would not work now. Leaves nothing there."""
    with own_file(path):
        path.unlink()


def _in_the_way(path: Path) -> AgentError:
    """Others may read or hold open a file that is there already, or it is a sample still needed."""
    return AgentError(f"{path}: is there already: delete it, or name another file")
