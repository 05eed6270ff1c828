"""Notices that stores were deleted or replaced below the running daemon, and keeps the events that wait in the outbox.

An open file lives on without its name: the threads of the daemon go on writing to it, and it is gone when the last of
them closes it. So the outbox is written to a new file through a handle that is still open, and the daemon then starts
again with that file. The watchlist is not written again: whoever deletes it may want the references to be gone.
"""

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from agent.errors import AgentError
from agent.storage.owned_files import WatchedFile

log = logging.getLogger(__name__)


class EventStore(Protocol):
    """The part of the outbox that is needed here."""

    def save_copy(self, path: Path) -> None:
        """Write all events to another file. AgentError if that is not possible."""


class Rescue:
    """Watches the files of the state directory, of which `outbox` is one. `problem` is for `status`, else empty."""

    def __init__(self, outbox: Path, others: Sequence[Path]) -> None:
        self._outbox = WatchedFile(outbox)
        self._files = (self._outbox, *map(WatchedFile, others))
        self._copy = outbox.with_name(f"{outbox.name}.rescued-{time.time():.0f}")  # never that of an earlier rescue
        self.problem = ""

    def check(self, store: EventStore, waiting: Callable[[], int]) -> bool:
        """Whether the daemon must start again: files are gone, and the events that wait can be kept.

        As long as the events cannot be written to disk, False: the daemon keeps them in its open file and tries again.
        """
        gone = [file.path for file in self._files if file.replaced]
        if not gone:
            return False
        known, text = self.problem, f"{', '.join(map(str, gone))}: deleted or replaced while the agent runs"
        try:
            if self._outbox.replaced:
                store.save_copy(self._copy)
        except AgentError as error:
            self.problem = f"{text}; {waiting()} events would be lost if the agent ended now: {error}"
            log.log(logging.DEBUG if known else logging.ERROR, "%s", self.problem)
            return False
        self.problem = text
        log.error("%s: the agent ends, and systemd starts it again; if it was started by hand, start it again", text)
        return True

    def finish(self, store: EventStore, waiting: Callable[[], int]) -> None:
        """After the last event was put: write the outbox again if its file is gone."""
        if not self._outbox.replaced:
            return
        try:
            store.save_copy(self._copy)
            if self._outbox.path.exists():
                where = f"{self._outbox.path} is another file now; the events of this agent are in {self._copy}"
            else:
                for part in ("-wal", "-shm"):  # left of the deleted file; the log would be applied to the new one
                    self._outbox.path.with_name(self._outbox.path.name + part).unlink(missing_ok=True)
                self._copy.rename(self._outbox.path)
                where = f"{self._outbox.path} was written again"
            log.warning("%s: %d events wait for the hub in it", where, waiting())
        except (AgentError, OSError) as error:
            log.critical("%d events that waited for the hub are lost: %s", waiting(), error)
