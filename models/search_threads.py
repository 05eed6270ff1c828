"""The number of threads of a search: set once from the configuration; by default the number of cores."""

import os

_thread_count = os.cpu_count() or 1


def set_thread_count(threads: int) -> None:
    """Set the number of threads of every gallery that was not given its own number."""
    global _thread_count  # noqa: PLW0603 - a setting of the process
    _thread_count = threads


def thread_count() -> int:
    """The number of threads of a search, unless its gallery has its own number."""
    return _thread_count
