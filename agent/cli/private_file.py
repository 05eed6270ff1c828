"""Creates files for biometric data: only their owner can read them, and no existing file is overwritten."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from agent.errors import AgentError


@contextmanager
def private_file(path: Path) -> Iterator[BinaryIO]:
    """Create the file (mode 0600) for writing. AgentError if it exists already or cannot be written."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            yield file
    except FileExistsError:
        # Others may be able to read an existing file or have it open; or it is a sample that is still needed.
        raise AgentError(f"{path}: already exists: delete it, or name another file") from None
    except OSError as error:
        raise AgentError(f"{path}: cannot be written: {error.strerror or error}") from error


def check_writable(path: Path) -> None:
    """AgentError if private_file() would fail now. Leaves no file behind."""
    with private_file(path):
        path.unlink()
