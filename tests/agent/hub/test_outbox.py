"""The outbox keeps what put() has promised: through reopening, killing, full disks and every order of calls."""

import itertools
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlite_utils import Database

from agent.config import OutboxConfig
from agent.events.event import EventClass, Held, HoldReason, StoredEvent, Tombstone
from agent.hub import outbox as module
from agent.hub.outbox import BATCH_ROWS, EXPIRING, NO_LIMIT, SHEDDABLE, Outbox, held_events
from agent.storage.database import StoreFull, open_store
from agent.storage.disk_reserve import DiskReserve
from agent.storage.encryption import MistakeInAgent
from tests.rigs.decrypted_pages import pages_of
from tests.rigs.events import NOON, raw
from tests.rigs.store_key import TEST_KEY

LEAD, HEALTH, ENCOUNTER, CAPTURE = EventClass.LEAD, EventClass.HEALTH, EventClass.ENCOUNTER, EventClass.CAPTURE
SMALLEST = OutboxConfig(max_bytes=64 * 1024)


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "outbox.db"


@pytest.fixture(name="outbox")
def _outbox(path: Path) -> Iterator[Outbox]:
    with Outbox(path, "k1", key=TEST_KEY) as outbox:
        yield outbox


def everything(outbox: Outbox, event_class: EventClass) -> list[StoredEvent]:
    return outbox.pending(event_class, 10**6)


def sequences(outbox: Outbox, event_class: EventClass) -> list[int]:
    return [stored.key.sequence for stored in everything(outbox, event_class)]


def test_events_come_back_as_they_were_put_and_in_order(outbox: Outbox) -> None:
    events = [raw(LEAD, bytes([n]) * n, f"e-{n}", NOON + timedelta(microseconds=n)) for n in range(5)]
    keys = [outbox.put(event) for event in events]
    assert [stored.event for stored in everything(outbox, LEAD)] == events
    assert [stored.key for stored in everything(outbox, LEAD)] == keys
    assert str(keys[2]) == f"k1/{outbox.epoch}/lead/3"


def test_pending_begins_after_a_sequence_and_ends_at_the_limit(outbox: Outbox) -> None:
    for _ in range(10):
        outbox.put(raw(LEAD))
    assert [stored.key.sequence for stored in outbox.pending(LEAD, 3, after=4)] == [5, 6, 7]


def test_classes_are_numbered_apart(outbox: Outbox) -> None:
    assert [outbox.put(raw(c)).sequence for c in (LEAD, HEALTH, LEAD, HEALTH, LEAD)] == [1, 1, 2, 2, 3]


def test_forgetting_drops_what_was_acknowledged_and_keeps_counting(outbox: Outbox) -> None:
    for _ in range(5):
        outbox.put(raw(LEAD))
    assert outbox.forget(outbox.epoch, LEAD, 3) == 3
    assert sequences(outbox, LEAD) == [4, 5]
    assert outbox.forget(outbox.epoch, LEAD, 5) == 2
    assert outbox.put(raw(LEAD)).sequence == 6
    assert (outbox.acknowledged()[LEAD], outbox.last()[LEAD], outbox.counts()[LEAD]) == (5, 6, 1)


def test_an_acknowledgement_of_another_epoch_forgets_nothing(outbox: Outbox) -> None:
    outbox.put(raw(LEAD))
    assert outbox.forget("0" * 16, LEAD, 1) == 0
    assert sequences(outbox, LEAD) == [1]


def test_an_old_acknowledgement_forgets_nothing(outbox: Outbox) -> None:
    for _ in range(3):
        outbox.put(raw(LEAD))
    outbox.forget(outbox.epoch, LEAD, 2)
    assert outbox.forget(outbox.epoch, LEAD, 1) == 0
    assert outbox.acknowledged()[LEAD] == 2


def test_an_acknowledgement_beyond_the_end_is_an_error_in_the_log_and_forgets_nothing(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    outbox.put(raw(LEAD))
    assert outbox.forget(outbox.epoch, LEAD, 2) == 0
    assert sequences(outbox, LEAD) == [1]
    assert "old copy" in caplog.text
    assert outbox.refused == {"acknowledgements of lead events that never were": 1}


def test_why_the_hub_cannot_verify_an_event_is_kept_until_it_is_acknowledged(path: Path) -> None:
    with Outbox(path, "k1", key=TEST_KEY) as outbox:
        for _ in range(3):
            outbox.put(raw(LEAD))
        held = Held(outbox.epoch, LEAD, 2, HoldReason.CANNOT_DECRYPT)
        assert [outbox.hold(held), outbox.hold(held)] == [True, False]
    with Outbox(path, "k1", key=TEST_KEY) as outbox:
        assert outbox.held() == {LEAD: held}
        reason = "the hub cannot decrypt it: is hub.encryption_key the hub's present key?"
        assert held_events(outbox) == [{"class": "lead", "sequence": 2, "reason": reason}]
        outbox.forget(outbox.epoch, LEAD, 1)
        assert outbox.held() == {LEAD: held}
        outbox.forget(outbox.epoch, LEAD, 2)
        assert outbox.held() == {}


@pytest.mark.parametrize("sequence", [1, 3])
def test_an_event_that_does_not_wait_is_not_held(outbox: Outbox, sequence: int) -> None:
    for _ in range(2):
        outbox.put(raw(LEAD))
    outbox.forget(outbox.epoch, LEAD, 1)
    assert not outbox.hold(Held(outbox.epoch, LEAD, sequence, HoldReason.CANNOT_DECRYPT))
    assert not outbox.hold(Held("f" * 16, LEAD, 2, HoldReason.CANNOT_DECRYPT))


def test_a_new_file_is_a_new_epoch_and_a_reopened_one_is_not(path: Path, tmp_path: Path) -> None:
    with (
        Outbox(path, "k1", key=TEST_KEY) as first,
        Outbox(path, "k1", key=TEST_KEY) as second,
        Outbox(tmp_path / "other.db", "k1", key=TEST_KEY) as other,
    ):
        assert first.epoch == second.epoch != other.epoch


def test_telemetry_expires_to_tombstones_that_keep_place_subject_and_time(outbox: Outbox) -> None:
    outbox.put(raw(HEALTH, b"old", "h-1", NOON))
    outbox.put(raw(HEALTH, b"new", "h-2", NOON + timedelta(days=5)))
    assert outbox.expire(NOON + timedelta(days=7, seconds=1)) == 1
    old, new = everything(outbox, HEALTH)
    assert (old.tombstone, old.event) == (Tombstone.EXPIRED, raw(HEALTH, b"", "h-1", NOON))
    assert (new.tombstone, new.event.body) == (None, b"new")
    assert outbox.expire(NOON + timedelta(days=7, seconds=1)) == 0


@pytest.mark.parametrize("event_class", sorted(set(EventClass) - set(EXPIRING)))
def test_what_is_no_telemetry_never_expires(outbox: Outbox, event_class: EventClass) -> None:
    outbox.put(raw(event_class, b"kept"))
    assert outbox.expire(NOON + timedelta(days=36500)) == 0
    assert everything(outbox, event_class)[0].event.body == b"kept"


def test_over_its_limit_the_outbox_drops_telemetry_first_then_encounters_and_never_leads(path: Path) -> None:
    with Outbox(path, "k1", SMALLEST, key=TEST_KEY) as outbox:
        for _ in range(8):
            for event_class in (HEALTH, ENCOUNTER, LEAD):
                outbox.put(raw(event_class, b"x" * 1000))
        for _ in range(45):
            outbox.put(raw(LEAD, b"x" * 1000))
        kept = {c: [s.tombstone for s in everything(outbox, c)] for c in (HEALTH, ENCOUNTER, LEAD)}
        assert kept[HEALTH] == [Tombstone.SHED] * 8
        assert kept[ENCOUNTER] == [Tombstone.SHED] * 8
        assert kept[LEAD] == [None] * 53
        assert sequences(outbox, HEALTH) == list(range(1, 9))


def test_encounters_are_whole_as_long_as_dropping_telemetry_is_enough(path: Path) -> None:
    with Outbox(path, "k1", OutboxConfig(max_bytes=256 * 1024), key=TEST_KEY) as outbox:
        for _ in range(150):
            outbox.put(raw(HEALTH, b"x" * 1000))
        for _ in range(90):
            outbox.put(raw(ENCOUNTER, b"x" * 1000))
        assert everything(outbox, HEALTH)[0].tombstone == Tombstone.SHED
        assert {s.tombstone for s in everything(outbox, ENCOUNTER)} == {None}


def test_on_a_full_disk_a_lead_takes_the_room_of_the_oldest_telemetry(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Outbox(path, "k1", key=TEST_KEY) as outbox:
        for _ in range(16 * BATCH_ROWS):
            outbox.put(raw(HEALTH, b"x" * 500))
        monkeypatch.setattr(DiskReserve, "allows_growth", False)
        for _ in range(10):
            outbox.put(raw(LEAD, b"x" * 5000))
        bodies = [bool(s.event.body) for s in everything(outbox, HEALTH)]
        assert bodies == sorted(bodies)
        assert not bodies[0]
        assert bodies[-1]
        assert len(everything(outbox, LEAD)) == 10


def test_on_a_full_disk_with_nothing_to_drop_put_says_so_and_keeps_what_was_durable(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Outbox(path, "k1", key=TEST_KEY) as outbox:
        for _ in range(20):
            outbox.put(raw(LEAD, b"x" * 500))
        monkeypatch.setattr(DiskReserve, "allows_growth", False)
        with pytest.raises(StoreFull, match=r"outbox\.db: the disk is full"):
            outbox.put(raw(LEAD, b"x" * 50_000))
        kept = sequences(outbox, LEAD)
        assert kept == list(range(1, 21))
        assert outbox.last()[LEAD] == 20


def test_on_a_full_disk_old_telemetry_expires_into_the_room_of_the_reserve(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Outbox(path, "k1", key=TEST_KEY) as outbox:
        for _ in range(3 * BATCH_ROWS + 1):
            outbox.put(raw(HEALTH, b"x", time=NOON))
        reserve = path.with_suffix(".reserve")
        expire, tries = Outbox._expire, []

        def full_until_the_reserve_is_gone(self: Outbox, before: datetime, limit: int = NO_LIMIT) -> int:
            tries.append(limit)
            if reserve.exists():
                raise StoreFull("outbox.db: the disk is full")
            return expire(self, before, limit)

        monkeypatch.setattr(Outbox, "_expire", full_until_the_reserve_is_gone)
        assert outbox.expire(NOON + timedelta(days=8)) == 3 * BATCH_ROWS + 1
        assert tries == [NO_LIMIT, *[BATCH_ROWS] * 5]  # the last one finds nothing
        assert {s.tombstone for s in everything(outbox, HEALTH)} == {Tombstone.EXPIRED}


def test_on_a_full_disk_what_is_acknowledged_is_deleted_with_the_room_of_the_reserve(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Outbox(path, "k1", key=TEST_KEY) as outbox:
        for _ in range(3 * BATCH_ROWS):
            outbox.put(raw(LEAD))
        reserve = path.with_suffix(".reserve")
        forget, deleted = Outbox._forget, []

        def full_until_the_reserve_is_gone(self: Outbox, event_class: EventClass, upto: int) -> int:
            if reserve.exists():
                raise StoreFull("outbox.db: the disk is full")
            deleted.append(forget(self, event_class, upto))
            return deleted[-1]

        monkeypatch.setattr(Outbox, "_forget", full_until_the_reserve_is_gone)
        assert outbox.forget(outbox.epoch, LEAD, 2 * BATCH_ROWS + 1) == 2 * BATCH_ROWS + 1
        assert deleted == [BATCH_ROWS, BATCH_ROWS, 1]
        assert sequences(outbox, LEAD) == list(range(2 * BATCH_ROWS + 2, 3 * BATCH_ROWS + 1))


# A disk of its own, in a mount namespace that ends with the process. First others fill the disk, then we do.
ON_A_SMALL_DISK = """
import contextlib, errno, os, subprocess, sys
from datetime import timedelta
from pathlib import Path
from agent.events.event import EventClass
from agent.hub.outbox import Outbox
from agent.storage.disk_reserve import DiskReserve
from agent.storage.database import StoreFull
from tests.rigs.events import NOON, raw
from tests.rigs.store_key import TEST_KEY

disk = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", disk], check=True)
path = disk / "outbox.db"
with Outbox(path, "k1", key=TEST_KEY) as outbox, Outbox(path, "k1", key=TEST_KEY) as publishers:
    for _ in range(2000):
        outbox.put(raw(EventClass.HEALTH, b"x" * 900))
    with contextlib.suppress(OSError), (disk / "somebody's log").open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    assert os.statvfs(disk).f_bavail == 0
    for _ in range(500):
        outbox.put(raw(EventClass.LEAD, b"x" * 900))
    try:
        while True:
            outbox.put(raw(EventClass.LEAD, b"x" * 900))
    except StoreFull:
        pass
    last = outbox.last()
    for event_class in (EventClass.LEAD, EventClass.HEALTH):
        assert [s.key.sequence for s in outbox.pending(event_class, 10**6)] == list(range(1, last[event_class] + 1))
    assert all(s.event.body for s in outbox.pending(EventClass.LEAD, 10**6))
    assert publishers.forget(outbox.epoch, EventClass.LEAD, last[EventClass.LEAD]) == last[EventClass.LEAD]
    for _ in range(500):
        outbox.put(raw(EventClass.LEAD, b"x" * 900))
    bodies = sum(bool(s.event.body) for s in publishers.pending(EventClass.HEALTH, 10**6))
    assert publishers.expire(NOON + timedelta(days=8)) == bodies
print("all well")
"""
UNSHARE = ["unshare", "--mount", "--map-root-user"]


def can_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not can_mount(), reason="no mount namespaces here: a small disk cannot be made")
def test_a_really_full_disk_takes_leads_and_lets_go_of_them_again(tmp_path: Path) -> None:
    drill = subprocess.run(
        [*UNSHARE, sys.executable, "-c", ON_A_SMALL_DISK, tmp_path], capture_output=True, text=True, check=False
    )
    assert drill.stdout == "all well\n", drill.stderr


def test_every_commit_is_synced_and_forgotten_bodies_are_overwritten(outbox: Outbox, path: Path) -> None:
    assert outbox._db.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL
    assert outbox._db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    outbox.put(raw(LEAD, b"find me later"))
    assert b"find me later" in pages_of(path, TEST_KEY)
    outbox.forget(outbox.epoch, LEAD, 1)
    outbox.close()
    assert b"find me later" not in pages_of(path, TEST_KEY)


def test_what_is_forgotten_or_expired_is_in_no_page_of_the_file_or_its_log(outbox: Outbox, path: Path) -> None:
    """As somebody sees it who has the key: a lead must not live on in the write-ahead log."""
    outbox.put(raw(LEAD, b"find me later"))
    outbox.put(raw(HEALTH, b"and me too"))
    assert b"find me later" in pages_of(path, TEST_KEY)
    outbox.forget(outbox.epoch, LEAD, 1)
    assert b"find me later" not in pages_of(path, TEST_KEY)
    assert b"and me too" in pages_of(path, TEST_KEY)
    outbox.expire(NOON + timedelta(days=8))
    assert b"and me too" not in pages_of(path, TEST_KEY)


def test_what_is_shed_is_in_no_page_either(path: Path) -> None:
    with Outbox(path, "k1", SMALLEST, key=TEST_KEY) as outbox:
        outbox.put(raw(HEALTH, b"the oldest"))
        while everything(outbox, HEALTH)[0].tombstone is None:
            outbox.put(raw(HEALTH, b"x" * 1000))
        assert b"the oldest" not in pages_of(path, TEST_KEY)


def test_while_another_handle_reads_the_log_is_emptied_later(outbox: Outbox, path: Path) -> None:
    outbox.put(raw(LEAD, b"find me later"))
    outbox._db.execute("PRAGMA busy_timeout = 10").fetchone()
    with Outbox(path, "k1", key=TEST_KEY) as reader:
        reader._db.execute("BEGIN")
        assert len(everything(reader, LEAD)) == 1
        outbox.forget(outbox.epoch, LEAD, 1)
        assert b"find me later" in pages_of(path, TEST_KEY)
        reader._db.execute("ROLLBACK")
        outbox.expire(NOON)  # the publisher calls it once a minute
        assert b"find me later" not in pages_of(path, TEST_KEY)


def test_an_outbox_that_needs_the_reserved_space_to_open_gets_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Outbox(path, "k1", key=TEST_KEY).close()
    reserve = path.with_suffix(".reserve")
    assert reserve.exists()

    def full_until_the_reserve_is_gone(*args: Any, **kwargs: Any) -> Database:  # noqa: ANN401 - as open_store
        if reserve.exists():
            raise StoreFull("full")
        return open_store(*args, **kwargs)

    monkeypatch.setattr(module, "open_store", full_until_the_reserve_is_gone)
    with Outbox(path, "k1", key=TEST_KEY) as outbox:
        assert outbox.put(raw(LEAD)).sequence == 1


def test_threads_with_a_handle_each_put_without_a_gap(path: Path) -> None:
    Outbox(path, "k1", key=TEST_KEY).close()
    given: queue.SimpleQueue[int] = queue.SimpleQueue()

    def put_some() -> None:
        with Outbox(path, "k1", key=TEST_KEY) as outbox:
            for _ in range(25):
                given.put(outbox.put(raw(LEAD)).sequence)

    threads = [threading.Thread(target=put_some) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(given.get() for _ in range(100)) == list(range(1, 101))


def test_a_handle_refuses_another_thread(outbox: Outbox) -> None:
    refused: list[Exception] = []

    def use() -> None:
        try:
            outbox.put(raw(LEAD))
        except MistakeInAgent as error:
            refused.append(error)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert len(refused) == 1


# -- killed while putting

PUT_FOR_EVER = """
import sys
from pathlib import Path
from agent.events.event import EventClass
from agent.hub.outbox import Outbox
from tests.rigs.events import raw
from tests.rigs.store_key import TEST_KEY
with Outbox(Path(sys.argv[1]), "k1", key=TEST_KEY) as outbox:
    while True:
        for event_class in (EventClass.LEAD, EventClass.HEALTH):
            print(outbox.put(raw(event_class, b"x" * 700)).sequence, event_class, flush=True)
"""


def test_every_put_that_returned_survives_kill_9(path: Path) -> None:
    promised: dict[str, int] = {}
    for round_number in range(4):
        with subprocess.Popen([sys.executable, "-c", PUT_FOR_EVER, path], stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            lines = list(itertools.islice(child.stdout, 20 + 7 * round_number))
            child.send_signal(signal.SIGKILL)
            lines += child.stdout.readlines()
        promised |= {name: int(number) for number, name in (line.split() for line in lines if line.endswith("\n"))}
        with Outbox(path, "k1", key=TEST_KEY) as outbox:
            for event_class in (LEAD, HEALTH):
                kept = sequences(outbox, event_class)
                assert kept == list(range(1, len(kept) + 1))
                assert len(kept) - promised[event_class] in (0, 1)  # one may be durable and not yet said so
                assert all(len(stored.event.body) == 700 for stored in everything(outbox, event_class))


# -- any order of calls


@dataclass
class Expected:
    """What one class should hold."""

    last: int = 0
    acknowledged: int = 0
    events: dict[int, tuple[bytes, datetime]] = field(default_factory=dict)
    expired: set[int] = field(default_factory=set)


class OutboxMachine(RuleBasedStateMachine):
    """The outbox against a model of it, with every way to come back from a crash."""

    config = OutboxConfig()

    @initialize()
    def open(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="outbox-"))
        self.generation = itertools.count()
        self.path = self.folder / "0" / "outbox.db"
        self.outbox = Outbox(self.path, "k1", self.config, key=TEST_KEY)
        self.epoch = self.outbox.epoch
        self.expected = {event_class: Expected() for event_class in EventClass}
        self.now = NOON

    def teardown(self) -> None:
        self.outbox.close()
        shutil.rmtree(self.folder)

    @rule(event_class=st.sampled_from(EventClass), size=st.integers(0, 6000))
    def put(self, event_class: EventClass, size: int) -> None:
        model = self.expected[event_class]
        model.last += 1
        body = bytes([model.last % 251]) * size
        key = self.outbox.put(raw(event_class, body, f"s-{model.last}", self.now))
        assert (key.epoch, key.sequence) == (self.epoch, model.last)
        model.events[model.last] = (body, self.now)

    @rule(event_class=st.sampled_from(EventClass), part=st.floats(0, 1), epoch=st.sampled_from(["ours", "another"]))
    def forget(self, event_class: EventClass, part: float, epoch: str) -> None:
        model, ours = self.expected[event_class], epoch == "ours"
        upto = round(model.last * part)
        gone = max(0, upto - model.acknowledged) if ours else 0
        assert self.outbox.forget(self.epoch if ours else "f" * 16, event_class, upto) == gone
        if ours:
            model.acknowledged = max(model.acknowledged, upto)
            model.events = {n: kept for n, kept in model.events.items() if n > upto}

    @rule(days=st.integers(0, 5))
    def expire(self, days: int) -> None:
        self.now += timedelta(days=days)
        self.outbox.expire(self.now)
        before = self.now - timedelta(seconds=self.config.telemetry_keep_s)
        for event_class in EXPIRING:
            model = self.expected[event_class]
            model.expired |= {n for n, (_, time) in model.events.items() if time < before}

    @rule()
    def reopen(self) -> None:
        self.outbox.close()
        self.outbox = Outbox(self.path, "k1", self.config, key=TEST_KEY)

    @rule()
    def crash(self) -> None:
        """What a killed process leaves: the files as they are, nothing closed."""
        left = self.folder / str(next(self.generation) + 1) / "outbox.db"
        left.parent.mkdir()
        for suffix in ("", "-wal"):
            shutil.copy(f"{self.path}{suffix}", f"{left}{suffix}")
        self.outbox.close()
        self.path = left
        self.outbox = Outbox(left, "k1", self.config, key=TEST_KEY)

    @invariant()
    def holds_what_was_put_and_not_forgotten(self) -> None:
        assert self.outbox.epoch == self.epoch
        for event_class, model in self.expected.items():
            stored = everything(self.outbox, event_class)
            assert [s.key.sequence for s in stored] == list(range(model.acknowledged + 1, model.last + 1))
            assert self.outbox.counts()[event_class] == len(stored)
            for s in stored:
                self.check(s, model)

    def check(self, stored: StoredEvent, model: Expected) -> None:
        number = stored.key.sequence
        body, time = model.events[number]
        assert (stored.event.subject, stored.event.time) == (f"s-{number}", time)
        assert stored.tombstone == (Tombstone.EXPIRED if number in model.expired else None)
        assert stored.event.body == (b"" if stored.tombstone else body)


class FullOutboxMachine(OutboxMachine):
    """The same with hardly any room: what may be dropped is dropped, everything else is as before."""

    config = SMALLEST

    @precondition(lambda self: self.now < NOON + timedelta(days=3))
    @rule()
    def put_a_large_lead(self) -> None:
        self.put(LEAD, 20_000)

    def check(self, stored: StoredEvent, model: Expected) -> None:
        if stored.tombstone is not Tombstone.SHED:
            super().check(stored, model)
            return
        assert stored.key.event_class in SHEDDABLE
        assert stored.event.body == b""
        assert stored.event.subject == f"s-{stored.key.sequence}"
        model.expired.discard(stored.key.sequence)  # dropped before it could expire
        model.events[stored.key.sequence] = (b"", datetime.max.replace(tzinfo=NOON.tzinfo))


BUDGET = settings(max_examples=15, stateful_step_count=25, deadline=None)
TestAnyOrderOfCalls = OutboxMachine.TestCase
TestAnyOrderOfCalls.settings = BUDGET
TestAnyOrderOfCallsWithHardlyAnyRoom = FullOutboxMachine.TestCase
TestAnyOrderOfCallsWithHardlyAnyRoom.settings = BUDGET


def test_a_log_that_a_power_cut_has_brought_back_is_emptied_after_the_start(path: Path, tmp_path: Path) -> None:
    """The store was written and the log emptied; only the second of both was lost."""
    log = path.with_name("outbox.db-wal")
    with Outbox(path, "k1", key=TEST_KEY) as outbox:
        outbox.put(raw(HEALTH, b"the first one empties the log"))
        outbox.put(raw(LEAD, b"find me later"))
        outbox._db.execute("DELETE FROM body")
        outbox._db.conn.commit()
        shutil.copy(log, tmp_path / "log")
    shutil.copy(tmp_path / "log", log)
    assert b"find me later" in pages_of(path, TEST_KEY)
    with Outbox(path, "k1", key=TEST_KEY) as outbox:
        outbox.expire(NOON)
        assert b"find me later" not in pages_of(path, TEST_KEY)
