"""Lets an update wait while a search runs. A traveller stands there; the new list has time.

The updater shares the processor, the memory and the interpreter with the search. So it does its work in short steps,
one block of a list or a few lines of a part, and asks before each of them.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

MOST_S = 2.0  # that one step waits: where one search follows another, the update goes on nevertheless


class SearchesFirst:
    """Counts the searches that run. Shared by the threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running = 0

    @contextmanager
    def search(self) -> Iterator[None]:
        """A search runs as long as this context."""
        with self._changed:
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def give_way(self) -> None:
        """Wait until no search runs, MOST_S at most. Costs next to nothing if none does."""
        if self._running:
            with self._changed:
                self._changed.wait_for(lambda: not self._running, MOST_S)


def at_once() -> None:
    """In place of give_way() where nobody searches: wait for nothing."""
