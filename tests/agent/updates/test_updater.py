"""The thread "watchlist", with a real keeper: it works on time and when asked, and leaves nobody waiting."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.errors import ControlError, StoreError
from agent.updates import updater as updater_module
from agent.updates.keeper import ASKED_S, ListKeeper
from agent.updates.updater import SWITCH_S, ListUpdater, yield_to_travellers
from simulators.polling import wait_until
from simulators.provider.provider import ListProvider
from tests.conftest import FakeClock
from tests.rigs.list_keeper import KeeperRig, entry_of, make_provider

SOON_S = 20.0


def nothing(_: ListKeeper) -> None:
    """Work for the updater."""


@pytest.fixture(autouse=True)
def _switch_interval() -> Iterator[None]:
    """The interval belongs to the whole process."""
    before = sys.getswitchinterval()
    yield
    sys.setswitchinterval(before)


@pytest.fixture(name="lists")
def _lists(tmp_path: Path, clock: FakeClock) -> Iterator[ListProvider]:
    with make_provider(tmp_path / "lists", clock) as lists:
        lists.put([entry_of(1, clock.now())])
        lists.publish(now=clock.now())
        yield lists


class UpdaterRig:
    """An updater, its crashes, and the rig whose keeper its thread opens."""

    def __init__(self, folder: Path, lists: ListProvider, clock: FakeClock) -> None:
        self.folder, self.lists, self.clock = folder, lists, clock
        self.crashes: list[tuple[str, BaseException]] = []
        self.updater = ListUpdater(self._open, lambda name, error: self.crashes.append((name, error)))

    def do(self, work: Any) -> Any:  # noqa: ANN401 - whatever the work returns
        return self.updater.submit(work).result(SOON_S)

    @property
    def revision(self) -> int:
        return int(self.do(lambda keeper: keeper._memory.view.segments["police"].segment.revision))

    def _open(self, _: ListUpdater) -> AbstractContextManager[ListKeeper]:
        return self._opened()

    @contextmanager
    def _opened(self) -> Iterator[ListKeeper]:
        with KeeperRig(self.folder, str(self.lists.public), self.lists.root_bytes(), self.clock) as rig:
            yield rig.keeper


@pytest.fixture(name="rig")
def _rig(tmp_path: Path, lists: ListProvider, clock: FakeClock) -> Iterator[UpdaterRig]:
    rig = UpdaterRig(tmp_path / "kiosk", lists, clock)
    yield rig
    assert rig.updater.stop(SOON_S)


def test_it_checks_at_its_start_and_works_in_its_own_thread(rig: UpdaterRig) -> None:
    rig.updater.start()
    assert rig.do(lambda _: threading.current_thread().name) == "watchlist"
    assert rig.revision == 1
    assert rig.updater.problems == {}
    assert rig.updater.silent_for < SOON_S


def test_what_is_wrong_with_a_list_can_be_seen_from_outside(rig: UpdaterRig, tmp_path: Path) -> None:
    (tmp_path / "lists" / "public").rename(tmp_path / "away")
    rig.updater.start()
    assert wait_until(lambda: "cannot be reached" in rig.updater.problems.get("", ""), SOON_S)


def test_when_asked_it_checks_but_not_again_and_again(rig: UpdaterRig, clock: FakeClock) -> None:
    rig.updater.start()
    assert rig.revision == 1
    rig.lists.withdraw(["p1"])
    rig.lists.publish(now=clock.now())
    rig.updater.ask()
    assert rig.revision == 1
    clock.advance(ASKED_S)
    rig.updater.ask()
    assert rig.revision == 2


def test_a_flood_of_messages_is_one_request(rig: UpdaterRig) -> None:
    for _ in range(1000):
        rig.updater.ask()
    assert rig.updater._inbox.qsize() == 1
    rig.updater.start()
    assert rig.revision == 1


def test_it_goes_on_by_itself(rig: UpdaterRig, monkeypatch: pytest.MonkeyPatch, clock: FakeClock) -> None:
    monkeypatch.setattr(updater_module, "TICK_S", 0.001)
    rig.updater.start()
    assert rig.revision == 1
    rig.lists.withdraw(["p1"])
    rig.lists.publish(now=clock.now())
    clock.advance(900)
    assert wait_until(lambda: rig.revision == 2, SOON_S)


def test_an_error_goes_to_who_asked_and_the_work_goes_on(rig: UpdaterRig) -> None:
    rig.updater.start()
    with pytest.raises(ZeroDivisionError):
        rig.do(lambda _: 1 / 0)
    assert rig.revision == 1
    assert rig.crashes == []


def test_work_that_nobody_waits_for_any_more_is_not_done(rig: UpdaterRig) -> None:
    done: list[ListKeeper] = []
    assert rig.updater.submit(done.append).cancel()
    rig.updater.start()
    assert rig.revision == 1
    assert done == []


def test_what_waits_when_it_is_stopped_is_refused_and_what_comes_later_too(rig: UpdaterRig) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def wait(_: ListKeeper) -> str:
        begun.set()
        go_on.wait(SOON_S)
        return "done"

    rig.updater.start()
    running = rig.updater.submit(wait)
    assert begun.wait(SOON_S)
    waiting, given_up = rig.updater.submit(nothing), rig.updater.submit(nothing)
    given_up.cancel()
    rig.updater.ask()
    rig.updater.stopping.set()
    late = rig.updater.submit(nothing)
    go_on.set()
    assert running.result(SOON_S) == "done"
    for refused in (waiting, late):
        with pytest.raises(ControlError, match="the kiosk is being stopped"):
            refused.result(SOON_S)


def test_trusted_time_is_stored_at_the_end(rig: UpdaterRig, clock: FakeClock) -> None:
    rig.updater.start()
    assert rig.revision == 1
    clock.advance(30)
    assert rig.updater.stop(SOON_S)
    rig.clock = FakeClock()
    rig.clock.wall = clock.now().replace(year=1970)
    rig.updater = ListUpdater(rig._open, lambda *_: None)
    rig.updater.start()
    assert rig.do(lambda keeper: keeper._memory.clock.now()) == clock.now()


def test_stores_that_cannot_be_opened_are_a_crash_and_nobody_waits_for_it(rig: UpdaterRig) -> None:
    def refuse(_: ListUpdater) -> AbstractContextManager[ListKeeper]:
        raise StoreError("watchlist.db: damaged")

    rig.updater._open_keeper = refuse
    waiting = rig.updater.submit(nothing)
    rig.updater.start()
    with pytest.raises(ControlError):
        waiting.result(SOON_S)
    assert wait_until(lambda: [str(error) for _, error in rig.crashes] == ["watchlist.db: damaged"], SOON_S)
    with pytest.raises(ControlError):
        rig.do(nothing)


def test_who_sends_events_is_told_of_them(rig: UpdaterRig) -> None:
    told: list[bool] = []
    rig.updater.tell()
    rig.updater.on_event = lambda: told.append(True)
    rig.updater.tell()
    assert told == [True]


def test_its_threads_give_the_interpreter_away_soon_and_keep_their_priority() -> None:
    """A thread of low priority would hold the interpreter and not be run while other programs are busy."""
    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    yield_to_travellers()
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before
    assert sys.getswitchinterval() == pytest.approx(SWITCH_S)


def test_where_a_thread_has_no_priority_it_works_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", refuse)
    yield_to_travellers()


def test_a_long_step_ends_when_it_is_stopped(rig: UpdaterRig) -> None:
    begun = threading.Event()

    def work(_: ListKeeper) -> None:
        begun.set()
        while True:
            rig.updater.step()

    rig.updater.start()
    running = rig.updater.submit(work)
    assert begun.wait(SOON_S)
    assert rig.updater.stop(SOON_S)
    with pytest.raises(ControlError, match="the kiosk is being stopped"):
        running.result(SOON_S)
    assert rig.crashes == []
