"""How many threads a search may use: said once, by whoever configures the models; as many as there are cores else."""

import os

_granted = os.cpu_count() or 1


def allow(threads: int) -> None:
    """From now on, in every gallery that was not given a number of its own."""
    global _granted  # noqa: PLW0603 - a setting of the process
    _granted = threads


def granted() -> int:
    """At most so many at once."""
    return _granted
