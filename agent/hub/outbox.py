"""Keeps events on disk until the hub has acknowledged them. An event is durable when `put` returns.

Sequence numbers are contiguous from 1 within a class for the life of the file (an *epoch*). An event that expires or is
shed keeps its number as a tombstone, which has a header and no body. So the hub, which acknowledges the highest
contiguous number, never waits for a gap to be filled.

A handle belongs to the thread that opened it. Threads and processes may each open their own handle on the same file.
"""

import contextlib
import logging
import secrets
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Self

from sqlite_utils import Database

from agent.config import OutboxConfig
from agent.events.event import Event, EventClass, EventKey, Held, HoldReason, StoredEvent, Tombstone
from agent.log_limit import LimitedLog
from agent.storage.database import StoreFull, open_store, reading, save_copy, truncate_log, writing
from agent.storage.disk_reserve import DiskReserve
from agent.storage.encryption import StoreKey

log = logging.getLogger(__name__)

# Only events about the kiosk itself expire by age. An encounter event is the record that a traveller got an answer: it
# never expires, and neither do leads, enrolments and audit records.
EXPIRING = (EventClass.HEALTH, EventClass.CAPTURE)

# When there is no room for a lead, these lose their bodies, in this order, oldest first. Encounter events come last:
# their tombstones keep id and time, so the hub can still count them. Leads, enrolments, audit records are never shed.
SHEDDABLE = (EventClass.HEALTH, EventClass.CAPTURE, EventClass.ENCOUNTER)
BATCH_ROWS = 32  # rows of a transaction small enough to fit on a nearly full disk
NO_LIMIT = -1  # as the LIMIT of an SQL query

# What an operator does about an event that the hub cannot verify.
HELD = {
    HoldReason.UNKNOWN_KIOSK_KEY: "the hub does not know this kiosk's key: give it the output of `kiosk-agent keys`",
    HoldReason.WRONG_SIGNATURE: "its signature is wrong: ask the maker of the hub",
    HoldReason.CANNOT_DECRYPT: "the hub cannot decrypt it: is hub.encryption_key the hub's present key?",
}

MAX_PAGES = 0xFFFFFFFE  # the maximum of SQLite
PLACES_PER_CLASS = 1 << 40  # key range of the bodies of one class: more than a kiosk will ever put


def _create_tables(db: Database) -> None:
    """Version 1. Bodies have their own table, ordered by class, so that dropping the oldest of a class frees pages."""
    db.execute("CREATE TABLE outbox (epoch TEXT NOT NULL)")
    db.execute("INSERT INTO outbox (epoch) VALUES (?)", [secrets.token_hex(8)])
    db.execute(
        "CREATE TABLE counter (number INTEGER PRIMARY KEY, event_class TEXT NOT NULL UNIQUE, last INTEGER NOT NULL,"
        " acknowledged INTEGER NOT NULL, CHECK (acknowledged BETWEEN 0 AND last))"
    )
    db.execute(
        "CREATE TABLE event (event_class TEXT NOT NULL, sequence INTEGER NOT NULL, subject TEXT NOT NULL,"
        " time TEXT NOT NULL, tombstone TEXT, PRIMARY KEY (event_class, sequence)) WITHOUT ROWID"
    )
    # place = PLACES_PER_CLASS * number of the class + sequence
    db.execute("CREATE TABLE body (place INTEGER PRIMARY KEY, body BLOB NOT NULL)")


def _create_held(db: Database) -> None:
    """Version 2. The event of a class that the hub has received and cannot verify."""
    db.execute("CREATE TABLE held (event_class TEXT PRIMARY KEY, sequence INTEGER NOT NULL, reason TEXT NOT NULL)")


MIGRATIONS = (_create_tables, _create_held)


class Outbox:
    """One thread's handle on the outbox file."""

    def __init__(
        self,
        path: Path,
        kiosk: str,
        config: OutboxConfig | None = None,
        *,
        key: StoreKey,
        identity: str = "",
        create: bool = True,
    ) -> None:
        self._db, self._reserve = _open(path, key, identity, create=create)
        self._kiosk = kiosk
        self._key = key
        self._config = config or OutboxConfig()
        self._shedding = False
        # What was deleted can still be read in the write-ahead log: also in one that a power cut has brought back.
        self._log_holds_deleted = True
        self._limited = LimitedLog(log)
        with reading(self._db):
            self.epoch: str = self._db.execute("SELECT epoch FROM outbox").fetchone()[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def save_copy(self, path: Path) -> None:
        """Write all events to another file: the outbox, if its own file was deleted."""
        save_copy(self._db, path, self._key)

    def put(self, event: Event) -> EventKey:
        """Make an event durable. StoreFull if there is no room and nothing left that may be shed."""
        try:
            key = self._put(event)
        except StoreFull:
            self._reserve.release()
            key = self._put_after_shedding(event)
        self._empty_log()
        return key

    def pending(self, event_class: EventClass, limit: int, after: int = 0) -> list[StoredEvent]:
        """The first `limit` events of a class with a sequence above `after`, in order."""
        with reading(self._db):
            rows = self._db.execute(
                "SELECT sequence, subject, time, coalesce(body, x''), tombstone"
                " FROM event LEFT JOIN body ON place = sequence + ?"
                " WHERE event_class = ? AND sequence > ? ORDER BY sequence LIMIT ?",
                [self._start(event_class), event_class, after, limit],
            ).fetchall()
        return [self._stored(event_class, row) for row in rows]

    def forget(self, epoch: str, event_class: EventClass, upto: int) -> int:
        """Delete what the hub has acknowledged; ignores another epoch. Returns the number of deleted events.

        What is deleted cannot be read any more in any file, even with the key.
        """
        if epoch != self.epoch:
            return 0
        try:
            deleted = self._forget(event_class, upto)
        except StoreFull:
            self._reserve.release()
            deleted = self._forget_in_batches(event_class, upto)
        self._empty_log()
        return deleted

    def hold(self, held: Held) -> bool:
        """Keep the reason why the hub cannot verify an event that waits. Whether that is new."""
        if held.epoch != self.epoch or self.held().get(held.event_class) == held:
            return False
        with writing(self._db):
            last, acknowledged = self._counter(held.event_class)
            if not acknowledged < held.sequence <= last:
                return False
            values = [held.event_class, held.sequence, held.reason]
            self._db.execute("INSERT OR REPLACE INTO held VALUES (?, ?, ?)", values)
        return True

    def held(self) -> dict[EventClass, Held]:
        """The event of each class that the hub cannot verify."""
        with reading(self._db):
            rows = self._db.execute("SELECT event_class, sequence, reason FROM held").fetchall()
        return {EventClass(c): Held(self.epoch, EventClass(c), n, HoldReason(reason)) for c, n, reason in rows}

    @property
    def refused(self) -> dict[str, int]:
        """How many acknowledgements of events that never were this handle has refused."""
        return self._limited.counts

    def last(self) -> dict[EventClass, int]:
        """The highest sequence number assigned in each class; 0 if there was none."""
        return {event_class: last for event_class, (last, _) in self._counters().items()}

    def acknowledged(self) -> dict[EventClass, int]:
        """The highest sequence number acknowledged in each class; 0 if there was none."""
        return {event_class: acknowledged for event_class, (_, acknowledged) in self._counters().items()}

    def counts(self) -> dict[EventClass, int]:
        """The number of events of each class that wait for the hub, with tombstones. Fast for an outbox of any size."""
        return {event_class: last - acknowledged for event_class, (last, acknowledged) in self._counters().items()}

    def expire(self, now: datetime) -> int:
        """Turn telemetry that is too old into tombstones; call it about once a minute. Returns their number."""
        self._reserve.hold()
        before = now - timedelta(seconds=self._config.telemetry_keep_s)
        try:
            expired = self._expire(before)
        except StoreFull:
            self._reserve.release()
            expired = self._expire_in_batches(before)
        self._empty_log()
        return expired

    def _put(self, event: Event) -> EventKey:
        with writing(self._db):
            self._limit_file_size()
            sequence = self._next(event.event_class)
            self._db.execute(
                "INSERT INTO event (event_class, sequence, subject, time) VALUES (?, ?, ?, ?)",
                [event.event_class, sequence, event.subject, _text(event.time)],
            )
            place = self._start(event.event_class) + sequence
            self._db.execute("INSERT INTO body VALUES (?, ?)", [place, event.body])
            while self._used_bytes() > self._config.max_bytes and self._shed():
                pass
        return EventKey(self._kiosk, self.epoch, event.event_class, sequence)

    def _forget(self, event_class: EventClass, upto: int) -> int:
        with writing(self._db):
            last, acknowledged = self._counter(event_class)
            if upto > last:
                self._limited.warning(
                    f"acknowledgements of {event_class} events that never were",
                    f"the hub acknowledges {event_class} {upto}, but this outbox ends at {last}: "
                    "is it an old copy? Move it away",
                )
                return 0
            if upto <= acknowledged:
                return 0
            self._log_holds_deleted = True
            start = self._start(event_class)
            self._db.execute("DELETE FROM body WHERE place BETWEEN ? AND ?", [start + acknowledged + 1, start + upto])
            self._db.execute("DELETE FROM event WHERE event_class = ? AND sequence <= ?", [event_class, upto])
            self._db.execute("UPDATE counter SET acknowledged = ? WHERE event_class = ?", [upto, event_class])
            self._db.execute("DELETE FROM held WHERE event_class = ? AND sequence <= ?", [event_class, upto])
        return upto - acknowledged

    def _forget_in_batches(self, event_class: EventClass, upto: int) -> int:
        """Delete few rows at a time: deleting overwrites them, and every write needs room in the write-ahead log."""
        _, acknowledged = self._counter(event_class)
        deleted = 0
        for step in range(acknowledged + BATCH_ROWS, upto + BATCH_ROWS, BATCH_ROWS):
            self._checkpoint()
            deleted += self._forget(event_class, min(step, upto))
        return deleted

    def _expire(self, before: datetime, limit: int = NO_LIMIT) -> int:
        with writing(self._db):
            return sum(
                self._make_tombstones(c, Tombstone.EXPIRED, self._older_than(c, before, limit)) for c in EXPIRING
            )

    def _expire_in_batches(self, before: datetime) -> int:
        """In batches for the reason given in _forget_in_batches."""
        expired = 0
        while True:
            self._checkpoint()
            if not (batch := self._expire(before, BATCH_ROWS)):
                return expired
            expired += batch

    def _put_after_shedding(self, event: Event) -> EventKey:
        while True:
            self._checkpoint()
            try:
                return self._put(event)
            except StoreFull:
                if not self._shed_in_transaction():
                    raise

    def _next(self, event_class: EventClass) -> int:
        row = self._db.execute(
            "INSERT INTO counter (event_class, last, acknowledged) VALUES (?, 1, 0)"
            " ON CONFLICT (event_class) DO UPDATE SET last = last + 1 RETURNING last",
            [event_class],
        ).fetchone()
        return int(row[0])

    def _shed_in_transaction(self) -> int:
        with writing(self._db):
            return self._shed()

    def _checkpoint(self) -> None:
        """Move the write-ahead log into the database, so that its disk space is reused from the beginning."""
        with contextlib.suppress(StoreFull), reading(self._db):
            self._db.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()

    def _empty_log(self) -> None:
        """Empty the write-ahead log after a deletion. If it cannot be done now, the next call tries again."""
        if self._log_holds_deleted:
            with contextlib.suppress(StoreFull):
                self._log_holds_deleted = not truncate_log(self._db)

    def _shed(self) -> int:
        """Drop the oldest bodies of the first class in SHEDDABLE that has any."""
        for event_class in SHEDDABLE:
            if shed := self._make_tombstones(event_class, Tombstone.SHED, self._oldest(event_class)):
                level = logging.DEBUG if self._shedding else logging.WARNING
                log.log(level, "outbox is full: dropped the bodies of %d %s events", shed, event_class)
                self._shedding = True
                return shed
        return 0

    def _oldest(self, event_class: EventClass) -> list[int]:
        start = self._start(event_class)
        sql = "SELECT place - ? FROM body WHERE place BETWEEN ? AND ? ORDER BY place LIMIT ?"
        return [row[0] for row in self._db.execute(sql, [start, start, start + PLACES_PER_CLASS - 1, BATCH_ROWS])]

    def _older_than(self, event_class: EventClass, time: datetime, limit: int) -> list[int]:
        sql = "SELECT sequence FROM event WHERE event_class = ? AND tombstone IS NULL AND time < ? LIMIT ?"
        return [row[0] for row in self._db.execute(sql, [event_class, _text(time), limit])]

    def _make_tombstones(self, event_class: EventClass, tombstone: Tombstone, sequences: list[int]) -> int:
        """Delete the bodies, then mark the headers: on a full disk these may need the pages that the bodies free."""
        self._log_holds_deleted |= bool(sequences)
        start = self._start(event_class)
        self._db.conn.executemany("DELETE FROM body WHERE place = ?", [(start + n,) for n in sequences])
        self._db.conn.executemany(
            "UPDATE event SET tombstone = ? WHERE event_class = ? AND sequence = ?",
            [(tombstone, event_class, n) for n in sequences],
        )
        return len(sequences)

    def _start(self, event_class: EventClass) -> int:
        """The place before the first body of a class; 0 if the class has no event yet, so that nothing is found."""
        row = self._db.execute("SELECT number FROM counter WHERE event_class = ?", [event_class]).fetchone()
        return PLACES_PER_CLASS * row[0] if row else 0

    def _limit_file_size(self) -> None:
        """Keep the size of the file on a full disk: new events then use the pages that shedding has freed."""
        pages = MAX_PAGES if self._reserve.allows_growth else self._pragma("page_count")
        self._db.execute(f"PRAGMA max_page_count = {pages}").fetchone()

    def _used_bytes(self) -> int:
        pages, free, size = (self._pragma(name) for name in ("page_count", "freelist_count", "page_size"))
        return (pages - free) * size

    def _pragma(self, name: str) -> int:
        return int(self._db.execute(f"PRAGMA {name}").fetchone()[0])

    def _counter(self, event_class: EventClass) -> tuple[int, int]:
        sql = "SELECT last, acknowledged FROM counter WHERE event_class = ?"
        row = self._db.execute(sql, [event_class]).fetchone()
        return (row[0], row[1]) if row else (0, 0)

    def _counters(self) -> dict[EventClass, tuple[int, int]]:
        with reading(self._db):
            rows = self._db.execute("SELECT event_class, last, acknowledged FROM counter").fetchall()
        found = {EventClass(name): (last, acknowledged) for name, last, acknowledged in rows}
        return {event_class: found.get(event_class, (0, 0)) for event_class in EventClass}

    def _stored(self, event_class: EventClass, row: tuple[int, str, str, bytes, str | None]) -> StoredEvent:
        sequence, subject, time, body, tombstone = row
        return StoredEvent(
            EventKey(self._kiosk, self.epoch, event_class, sequence),
            Event(event_class, subject, datetime.fromisoformat(time), body),
            Tombstone(tombstone) if tombstone else None,
        )


def _open(path: Path, key: StoreKey, identity: str, *, create: bool) -> tuple[Database, DiskReserve]:
    """The store, and the disk space reserved for it, which the encryption of an earlier store may need."""
    opened = partial(open_store, path, "outbox", MIGRATIONS, key=key, identity=identity, create=create)
    reserve = path.with_suffix(".reserve")
    try:
        return opened(), DiskReserve(reserve)
    except StoreFull:
        DiskReserve(reserve).release()
        return opened(), DiskReserve(reserve)


def held_events(outbox: Outbox) -> list[dict[str, str | int]]:
    """The events that the hub cannot verify, as `status` and `outbox` show them: class, sequence and what to do."""
    return [
        {"class": held.event_class, "sequence": held.sequence, "reason": HELD[held.reason]}
        for held in outbox.held().values()
    ]


def _text(time: datetime) -> str:
    """The time in UTC and with a fixed length, so that sorting the texts sorts the times."""
    return time.astimezone(UTC).isoformat(timespec="microseconds")
