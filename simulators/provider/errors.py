"""The error of kiosk-list, and how files are written so that a power cut leaves the old one or the new one."""

import os
from pathlib import Path

from agent.errors import AgentError


class ProviderError(AgentError):
    """A list cannot be made, signed or checked. The message says what is wrong and what to do."""


def write_file(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a file whole, durable when this returns. Readers see the old file or the new one."""
    unfinished = path.with_name(f".{path.name}.new")
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
