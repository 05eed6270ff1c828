"""The thread "watchlist": runs the steps of agent/updates/keeper.py on time, and when asked."""

import contextlib
import math
import queue
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

from agent.errors import ControlError
from agent.updates.keeper import ListKeeper, Stopping
from agent.worker import OnCrash, Worker

TICK_S = 2.0
SWITCH_S = 0.0005

Job = Callable[[ListKeeper], Any]


def yield_to_travellers() -> None:
    """Let threads of this process give the interpreter away soon.

    A search runs in compiled code on all cores, and needs the interpreter for a moment after each block: with the usual
    interval of Python it would wait 5 ms there, a hundred times. A low priority of this thread would do harm: while
    other programs are busy, it would hold the interpreter for a second and not be run.
    """
    sys.setswitchinterval(SWITCH_S)


class ListUpdater(Worker):
    """Owns the keeper of the lists. `open_keeper` opens its stores, in this thread."""

    patience_s = math.inf  # the first load of a long list takes minutes, and the lane works meanwhile

    def __init__(
        self, open_keeper: "Callable[[ListUpdater], AbstractContextManager[ListKeeper]]", on_crash: OnCrash
    ) -> None:
        super().__init__("watchlist", on_crash)
        self._open_keeper = open_keeper
        self._inbox: queue.SimpleQueue[tuple[Job, Future[Any]] | None] = queue.SimpleQueue()
        self._asked = threading.Event()
        self._ended = False
        self._guard = threading.Lock()
        self.automatic = True  # False: checks only when asked to, as for one command without a daemon
        self.problems: dict[str, str] = {}
        self.checked_at: datetime | None = None
        self.on_event: Callable[[], None] = lambda: None  # called when there is an event for the hub

    def tell(self) -> None:
        """There is an event for the hub."""
        self.on_event()

    def ask(self) -> None:
        """There may be something new: check soon. May be called from any thread, as often as one likes."""
        if not self._asked.is_set():
            self._asked.set()
            self._inbox.put(None)

    def submit(self, work: Job) -> "Future[Any]":
        """Do some work with the keeper, in this thread."""
        result: Future[Any] = Future()
        with self._guard:
            if self._ended or self.stopping.is_set():
                result.set_exception(ControlError("the kiosk is being stopped"))
            else:
                self._inbox.put((work, result))
        return result

    def interrupt(self) -> None:
        """End what run() waits for."""
        self._inbox.put(None)

    def run(self) -> None:
        """Work until stopped."""
        yield_to_travellers()
        try:
            with self._open_keeper(self) as keeper:
                with contextlib.suppress(Stopping):
                    self._work(keeper)
                keeper.store_time()
        finally:
            self._refuse_waiting()

    def step(self) -> None:
        """There is progress. Stopping if the thread is to end."""
        self.beat()
        if self.stopping.is_set():
            raise Stopping

    def _work(self, keeper: ListKeeper) -> None:
        while not self.stopping.is_set():
            if self._asked.is_set():
                self._asked.clear()
                keeper.check_soon()
            keeper.automatic = self.automatic
            keeper.tick()
            self.problems, self.checked_at = dict(keeper.problems), keeper.checked_at
            self._do(self._next(), keeper)

    def _next(self) -> tuple[Job, "Future[Any]"] | None:
        self.beat()
        try:
            return self._inbox.get(timeout=TICK_S)
        except queue.Empty:
            return None

    def _do(self, job: tuple[Job, "Future[Any]"] | None, keeper: ListKeeper) -> None:
        if job is None:
            return
        work, result = job
        if not result.set_running_or_notify_cancel():
            return
        try:
            result.set_result(work(keeper))
        except Stopping:
            result.set_exception(ControlError("the kiosk is being stopped"))
            raise
        except Exception as error:  # noqa: BLE001 - it goes to who asked
            result.set_exception(error)

    def _refuse_waiting(self) -> None:
        with self._guard:
            self._ended = True
        while not self._inbox.empty():
            job = self._inbox.get()
            if job is not None and job[1].set_running_or_notify_cancel():
                job[1].set_exception(ControlError("the kiosk is being stopped"))
