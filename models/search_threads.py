"""The number of threads of a search: set once from the configuration; by default the number of cores."""

import os

_granted = os.cpu_count() or 1


def allow(threads: int) -> None:
    """Set the number of threads of every gallery that was not given its own number."""
    global _granted  # noqa: PLW0603 - a setting of the process
    _granted = threads


def granted() -> int:
    """The number of threads that a search may use."""
    return _granted
