"""Events on disk until the hub has acknowledged them. `put` is durable when it returns.

Sequences are contiguous from 1 within a class for the life of the file (an *epoch*): an event that expires or is shed
keeps its place as a header-only tombstone, so that the hub's "highest contiguous" never waits for a hole.

A handle belongs to the thread that opened it. Threads and processes may each open their own on the same file.
"""

import logging
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from sqlite_utils import Database

from agent.config import OutboxConfig
from agent.event import Event, EventClass, EventKey, StoredEvent, Tombstone
from agent.schema import StoreFull, open_store, reading, writing

log = logging.getLogger(__name__)

# Age alone drops only what describes the kiosk itself. An encounter's event is the record that a traveller was
# answered: it never expires, and neither do leads, enrolments and audit records.
EXPIRING = (EventClass.HEALTH, EventClass.CAPTURE)

# Without room for a lead these give way, in this order, oldest first. Encounter events come last: their tombstones keep
# id and time, so that the hub can still count them. Leads, enrolments and audit records never give way.
SHEDDABLE = (EventClass.HEALTH, EventClass.CAPTURE, EventClass.ENCOUNTER)
SHED_ROWS = 256  # tombstones made at a time


def _first(db: Database) -> None:
    """Version 1. `body` comes last so that reading the header of a large event does not read the body."""
    db.execute("CREATE TABLE outbox (epoch TEXT NOT NULL)")
    db.execute("INSERT INTO outbox (epoch) VALUES (?)", [secrets.token_hex(8)])
    db.execute(
        "CREATE TABLE counter (event_class TEXT PRIMARY KEY, last INTEGER NOT NULL, acknowledged INTEGER NOT NULL,"
        " CHECK (acknowledged BETWEEN 0 AND last)) WITHOUT ROWID"
    )
    db.execute(
        "CREATE TABLE event (event_class TEXT NOT NULL, sequence INTEGER NOT NULL, subject TEXT NOT NULL,"
        " time TEXT NOT NULL, tombstone TEXT, body BLOB NOT NULL, PRIMARY KEY (event_class, sequence))"
    )
    # Oldest living events of a class, without walking over the tombstones before them.
    db.execute("CREATE INDEX living ON event (event_class, sequence, time) WHERE tombstone IS NULL")


MIGRATIONS = (_first,)


class Outbox:
    """One thread's handle on the outbox file."""

    def __init__(self, path: Path, kiosk: str, config: OutboxConfig | None = None) -> None:
        self._db = open_store(path, "outbox", MIGRATIONS)
        self._kiosk = kiosk
        self._config = config or OutboxConfig()
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
            while self._shed_on_full_disk():
                try:
                    return self._put(event)
                except StoreFull:
                    continue
            raise

    def pending(self, event_class: EventClass, limit: int, after: int = 0) -> list[StoredEvent]:
        """The first `limit` events of a class with a sequence above `after`, in order."""
        with reading(self._db):
            rows = self._db.execute(
                "SELECT sequence, subject, time, body, tombstone FROM event"
                " WHERE event_class = ? AND sequence > ? ORDER BY sequence LIMIT ?",
                [event_class, after, limit],
            ).fetchall()
        return [self._stored(event_class, row) for row in rows]

    def forget(self, epoch: str, event_class: EventClass, upto: int) -> int:
        """Drop what the hub has acknowledged; another epoch is not ours. Returns how many events went."""
        if epoch != self.epoch:
            return 0
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
            self._db.execute("DELETE FROM event WHERE event_class = ? AND sequence <= ?", [event_class, upto])
            self._db.execute("UPDATE counter SET acknowledged = ? WHERE event_class = ?", [upto, event_class])
        return upto - acknowledged

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
        """Turn telemetry older than the configured time into tombstones. Returns how many."""
        before = _text(now - timedelta(seconds=self._config.telemetry_keep_s))
        with writing(self._db):
            return sum(self._bury(event_class, Tombstone.EXPIRED, before) for event_class in EXPIRING)

    def _put(self, event: Event) -> EventKey:
        with writing(self._db):
            sequence = self._next(event.event_class)
            self._db.execute(
                "INSERT INTO event (event_class, sequence, subject, time, body) VALUES (?, ?, ?, ?, ?)",
                [event.event_class, sequence, event.subject, _text(event.time), event.body],
            )
            while self._used_bytes() > self._config.max_bytes and self._shed():
                pass
        return EventKey(self._kiosk, self.epoch, event.event_class, sequence)

    def _next(self, event_class: EventClass) -> int:
        row = self._db.execute(
            "INSERT INTO counter (event_class, last, acknowledged) VALUES (?, 1, 0)"
            " ON CONFLICT (event_class) DO UPDATE SET last = last + 1 RETURNING last",
            [event_class],
        ).fetchone()
        return int(row[0])

    def _shed_on_full_disk(self) -> int:
        """Make room in a file that cannot grow: pages freed here are used again by the next put."""
        with writing(self._db):
            shed = self._shed()
        with reading(self._db):
            self._db.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
        return shed

    def _shed(self) -> int:
        shed = next((count for event_class in SHEDDABLE if (count := self._bury(event_class, Tombstone.SHED))), 0)
        if shed:
            log.warning("outbox is full: dropped the bodies of %d events that may be dropped", shed)
        return shed

    def _bury(self, event_class: EventClass, tombstone: Tombstone, before: str | None = None) -> int:
        """Make tombstones: of everything from before a time, or of the oldest SHED_ROWS."""
        condition, values = ("AND time < ?", [before]) if before else (f"ORDER BY sequence LIMIT {SHED_ROWS}", [])
        cursor = self._db.execute(
            "UPDATE event SET tombstone = ?, body = x'' WHERE rowid IN ("  # noqa: S608 - two fixed texts
            f"SELECT rowid FROM event INDEXED BY living WHERE event_class = ? AND tombstone IS NULL {condition})",
            [tombstone, event_class, *values],
        )
        return cursor.rowcount

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
