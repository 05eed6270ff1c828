"""Events on disk until the hub has acknowledged them. `put` is durable when it returns.

Sequences are contiguous from 1 within a class for the life of the file (an *epoch*): an event that expires or is shed
keeps its place as a header-only tombstone, so that the hub's "highest contiguous" never waits for a hole.

A handle belongs to the thread that opened it. Threads and processes may each open their own on the same file.
"""

import contextlib
import logging
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from sqlite_utils import Database

from agent.config import OutboxConfig
from agent.events.event import Event, EventClass, EventKey, StoredEvent, Tombstone
from agent.storage.database import StoreFull, open_store, reading, writing
from agent.storage.disk_reserve import DiskReserve

log = logging.getLogger(__name__)

# Age alone drops only what describes the kiosk itself. An encounter's event is the record that a traveller was
# answered: it never expires, and neither do leads, enrolments and audit records.
EXPIRING = (EventClass.HEALTH, EventClass.CAPTURE)

# Without room for a lead these give way, in this order, oldest first. Encounter events come last: their tombstones keep
# id and time, so that the hub can still count them. Leads, enrolments and audit records never give way.
SHEDDABLE = (EventClass.HEALTH, EventClass.CAPTURE, EventClass.ENCOUNTER)
FEW_ROWS = 32  # a transaction so small that a full disk may just have room for it
ALL = -1  # no LIMIT, to sqlite

MOST_PAGES = 0xFFFFFFFE  # as many as sqlite can number
SPAN = 1 << 40  # places of bodies for each class: more than a kiosk will ever put


def _first(db: Database) -> None:
    """Version 1. Bodies lie apart and by class, so that dropping the oldest of a class frees whole pages."""
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
    # place = SPAN * number of the class + sequence
    db.execute("CREATE TABLE body (place INTEGER PRIMARY KEY, body BLOB NOT NULL)")


MIGRATIONS = (_first,)


class Outbox:
    """One thread's handle on the outbox file."""

    def __init__(self, path: Path, kiosk: str, config: OutboxConfig | None = None) -> None:
        self._db = open_store(path, "outbox", MIGRATIONS)
        self._kiosk = kiosk
        self._config = config or OutboxConfig()
        self._reserve = DiskReserve(path.with_suffix(".reserve"))
        self._shedding = False
        with reading(self._db):
            self.epoch: str = self._db.execute("SELECT epoch FROM outbox").fetchone()[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def put(self, event: Event) -> EventKey:
        """Make an event durable. StoreFull when there is no room and nothing left that may be dropped."""
        try:
            return self._put(event)
        except StoreFull:
            self._reserve.release()
            return self._put_into_room_made(event)

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
        """Drop what the hub has acknowledged; another epoch is not ours. Returns how many events went."""
        if epoch != self.epoch:
            return 0
        try:
            return self._forget(event_class, upto)
        except StoreFull:
            self._reserve.release()
            return self._forget_in_steps(event_class, upto)

    def last(self) -> dict[EventClass, int]:
        """The highest sequence given in each class; 0 when there was none."""
        return {event_class: last for event_class, (last, _) in self._counters().items()}

    def acknowledged(self) -> dict[EventClass, int]:
        """The highest sequence forgotten in each class; 0 when there was none."""
        return {event_class: acknowledged for event_class, (_, acknowledged) in self._counters().items()}

    def counts(self) -> dict[EventClass, int]:
        """How many events of each class wait for the hub, tombstones included. Cheap at any length."""
        return {event_class: last - acknowledged for event_class, (last, acknowledged) in self._counters().items()}

    def expire(self, now: datetime) -> int:
        """Turn telemetry that is too old into tombstones; to be called every minute or so. Returns how many."""
        self._reserve.hold()
        before = now - timedelta(seconds=self._config.telemetry_keep_s)
        try:
            return self._expire(before)
        except StoreFull:
            self._reserve.release()
            return self._expire_in_steps(before)

    def _put(self, event: Event) -> EventKey:
        with writing(self._db):
            self._bound_growth()
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
                log.error(
                    "the hub acknowledges %s %d, but this outbox ends at %d: is it an old copy? Move it away",
                    event_class,
                    upto,
                    last,
                )
                return 0
            if upto <= acknowledged:
                return 0
            start = self._start(event_class)
            self._db.execute("DELETE FROM body WHERE place BETWEEN ? AND ?", [start + acknowledged + 1, start + upto])
            self._db.execute("DELETE FROM event WHERE event_class = ? AND sequence <= ?", [event_class, upto])
            self._db.execute("UPDATE counter SET acknowledged = ? WHERE event_class = ?", [upto, event_class])
        return upto - acknowledged

    def _forget_in_steps(self, event_class: EventClass, upto: int) -> int:
        """What is forgotten is overwritten, and all that is written goes through the log first: little at a time."""
        _, acknowledged = self._counter(event_class)
        gone = 0
        for step in range(acknowledged + FEW_ROWS, upto + FEW_ROWS, FEW_ROWS):
            self._empty_log()
            gone += self._forget(event_class, min(step, upto))
        return gone

    def _expire(self, before: datetime, limit: int = ALL) -> int:
        with writing(self._db):
            return sum(self._bury(c, Tombstone.EXPIRED, self._older_than(c, before, limit)) for c in EXPIRING)

    def _expire_in_steps(self, before: datetime) -> int:
        """As _forget_in_steps."""
        gone = 0
        while True:
            self._empty_log()
            if not (few := self._expire(before, FEW_ROWS)):
                return gone
            gone += few

    def _put_into_room_made(self, event: Event) -> EventKey:
        while True:
            self._empty_log()
            try:
                return self._put(event)
            except StoreFull:
                if not self._shed_at_once():
                    raise

    def _next(self, event_class: EventClass) -> int:
        row = self._db.execute(
            "INSERT INTO counter (event_class, last, acknowledged) VALUES (?, 1, 0)"
            " ON CONFLICT (event_class) DO UPDATE SET last = last + 1 RETURNING last",
            [event_class],
        ).fetchone()
        return int(row[0])

    def _shed_at_once(self) -> int:
        with writing(self._db):
            return self._shed()

    def _empty_log(self) -> None:
        """Write the log into the file, so that the log's room on disk can be used again from its beginning."""
        with contextlib.suppress(StoreFull), reading(self._db):
            self._db.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()

    def _shed(self) -> int:
        """Drop the oldest bodies of the first class that has any and may lose them."""
        for event_class in SHEDDABLE:
            if shed := self._bury(event_class, Tombstone.SHED, self._oldest(event_class)):
                level = logging.DEBUG if self._shedding else logging.WARNING
                log.log(level, "outbox is full: dropped the bodies of %d %s events", shed, event_class)
                self._shedding = True
                return shed
        return 0

    def _oldest(self, event_class: EventClass) -> list[int]:
        start = self._start(event_class)
        sql = "SELECT place - ? FROM body WHERE place BETWEEN ? AND ? ORDER BY place LIMIT ?"
        return [row[0] for row in self._db.execute(sql, [start, start, start + SPAN - 1, FEW_ROWS])]

    def _older_than(self, event_class: EventClass, time: datetime, limit: int) -> list[int]:
        sql = "SELECT sequence FROM event WHERE event_class = ? AND tombstone IS NULL AND time < ? LIMIT ?"
        return [row[0] for row in self._db.execute(sql, [event_class, _text(time), limit])]

    def _bury(self, event_class: EventClass, tombstone: Tombstone, sequences: list[int]) -> int:
        """Bodies first: on a full disk, the pages that they free are what the headers may need."""
        start = self._start(event_class)
        self._db.conn.executemany("DELETE FROM body WHERE place = ?", [(start + n,) for n in sequences])
        self._db.conn.executemany(
            "UPDATE event SET tombstone = ? WHERE event_class = ? AND sequence = ?",
            [(tombstone, event_class, n) for n in sequences],
        )
        return len(sequences)

    def _start(self, event_class: EventClass) -> int:
        """Before the place of the first body. A class has its number since its first event; else nothing is found."""
        row = self._db.execute("SELECT number FROM counter WHERE event_class = ?", [event_class]).fetchone()
        return SPAN * row[0] if row else 0

    def _bound_growth(self) -> None:
        """On a disk without room the file keeps its size: what is put takes the place of what was dropped."""
        pages = MOST_PAGES if self._reserve.allows_growth else self._pragma("page_count")
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


def _text(time: datetime) -> str:
    """Of one length and in UTC, so that texts sort as times do."""
    return time.astimezone(UTC).isoformat(timespec="microseconds")
