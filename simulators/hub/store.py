"""Stores what the hub has received, in SQLite. Each batch is one transaction; acknowledgements follow its commit.

A class is stored strictly in order: an event that arrives before its predecessor is not stored; the kiosk sends both
again.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from simulators.hub.rules import Key, Message

DatabaseError = sqlite3.Error  # what opening a file as a store may raise

TABLES = """
CREATE TABLE IF NOT EXISTS events (
    arrival INTEGER PRIMARY KEY, received TEXT NOT NULL, kiosk TEXT NOT NULL, epoch TEXT NOT NULL, class TEXT NOT NULL,
    sequence INTEGER NOT NULL, source TEXT NOT NULL, subject TEXT NOT NULL, time TEXT NOT NULL, tombstone TEXT,
    body TEXT NOT NULL, UNIQUE (kiosk, epoch, class, sequence));
CREATE TABLE IF NOT EXISTS progress (
    kiosk TEXT NOT NULL, epoch TEXT NOT NULL, class TEXT NOT NULL, upto INTEGER NOT NULL DEFAULT 0,
    duplicates INTEGER NOT NULL DEFAULT 0, early INTEGER NOT NULL DEFAULT 0, lost INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (kiosk, epoch, class));
CREATE TABLE IF NOT EXISTS invalid (
    arrival INTEGER PRIMARY KEY, received TEXT NOT NULL, topic TEXT NOT NULL, reason TEXT NOT NULL,
    attributes TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS held (
    kiosk TEXT NOT NULL, epoch TEXT NOT NULL, class TEXT NOT NULL, sequence INTEGER NOT NULL, received TEXT NOT NULL,
    reason TEXT NOT NULL, PRIMARY KEY (kiosk, epoch, class));
CREATE TABLE IF NOT EXISTS states (
    arrival INTEGER PRIMARY KEY, received TEXT NOT NULL, site TEXT NOT NULL, kiosk TEXT NOT NULL, body TEXT NOT NULL);
"""


@dataclass(frozen=True)
class Progress:
    """How many events of a kiosk, epoch and class are stored, and how many were duplicates, early or lost."""

    kiosk: str
    epoch: str
    event_class: str
    upto: int
    duplicates: int
    early: int
    lost: int


class HubStore:
    """The connection that writes; for one thread. `rows` reads from any thread with its own connection."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL").fetchone()
        self._connection.execute("PRAGMA synchronous = FULL")  # an acknowledgement is a promise
        self._connection.executescript(TABLES)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def batch(self) -> Iterator[None]:
        """One transaction, durable when the block ends."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def classify(self, key: Key, acknowledged: int) -> str:
        """Whether an arriving event is the next, a duplicate or early; counts it."""
        values = [key.kiosk, key.epoch, key.event_class]
        self._connection.execute("INSERT OR IGNORE INTO progress (kiosk, epoch, class) VALUES (?, ?, ?)", values)
        upto = self.upto(key)
        if acknowledged > upto:
            # Acknowledged by this hub before it lost its store: the kiosk has deleted these and cannot send them again.
            self._set(key, "lost = lost + ?, upto = ?", [acknowledged - upto, acknowledged])
            upto = acknowledged
        if key.sequence <= upto:
            self._set(key, "duplicates = duplicates + 1", [])
            return "duplicate"
        if key.sequence > upto + 1:
            self._set(key, "early = early + 1", [])
            return "early"
        return "next"

    def store(self, key: Key, message: Message) -> None:
        """Store the next event of its class."""
        attributes = message.attributes
        self._connection.execute(
            "INSERT INTO events (received, kiosk, epoch, class, sequence, source, subject, time, tombstone, body)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                *(_now(), key.kiosk, key.epoch, key.event_class, key.sequence),
                *(
                    attributes["source"],
                    attributes["subject"],
                    attributes["time"],
                    attributes.get("tombstone"),
                    message.body.decode(),
                ),
            ],
        )
        self._set(key, "upto = ?", [key.sequence])

    def store_invalid(self, message: Message, reason: str, key: Key | None = None) -> None:
        """Store an invalid message with the reason. If it has a key, it takes its place in the sequence."""
        self._connection.execute(
            "INSERT INTO invalid (received, topic, reason, attributes, body) VALUES (?, ?, ?, ?, ?)",
            [_now(), message.topic, reason, json.dumps(message.attributes), message.body],
        )
        if key is not None:
            self._set(key, "upto = ?", [key.sequence])

    def hold(self, key: Key, reason: str) -> None:
        """Keep why an event cannot be verified. It is not stored, so it stays the next of its class."""
        self._connection.execute(
            "INSERT OR REPLACE INTO held (kiosk, epoch, class, sequence, received, reason) VALUES (?, ?, ?, ?, ?, ?)",
            [key.kiosk, key.epoch, key.event_class, key.sequence, _now(), reason],
        )

    def held(self, key: Key) -> tuple[int, str] | None:
        """Sequence and reason of the event of the key's class that cannot be verified, if it is still the next."""
        row = self._connection.execute(
            "SELECT sequence, reason FROM held WHERE kiosk = ? AND epoch = ? AND class = ? AND sequence = ?",
            [key.kiosk, key.epoch, key.event_class, self.upto(key) + 1],
        ).fetchone()
        return (int(row[0]), str(row[1])) if row else None

    def store_state(self, site: str, kiosk: str, body: bytes) -> None:
        """Store a state that a kiosk has published, or the broker as the kiosk's last will."""
        self._connection.execute(
            "INSERT INTO states (received, site, kiosk, body) VALUES (?, ?, ?, ?)", [_now(), site, kiosk, body.decode()]
        )

    def upto(self, key: Key) -> int:
        """The highest contiguous sequence of the key's class."""
        row = self._connection.execute(
            "SELECT upto FROM progress WHERE kiosk = ? AND epoch = ? AND class = ?",
            [key.kiosk, key.epoch, key.event_class],
        ).fetchone()
        return int(row[0]) if row else 0

    def _set(self, key: Key, assignment: str, values: list[int]) -> None:
        self._connection.execute(
            f"UPDATE progress SET {assignment} WHERE kiosk = ? AND epoch = ? AND class = ?",  # noqa: S608 - fixed strings
            [*values, key.kiosk, key.epoch, key.event_class],
        )


def event_key(row: Mapping[str, Any]) -> str:
    """The key of a stored event, in the kiosk's notation."""
    return f"{row['kiosk']}/{row['epoch']}/{row['class']}/{row['sequence']}"


def rows(path: Path, table: str) -> list[dict[str, Any]]:
    """All rows of a table in order of arrival. Callable from any thread while the hub runs."""
    connection = sqlite3.connect(path)
    try:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY rowid")]  # noqa: S608 - our names
    finally:
        connection.close()


def progress(path: Path) -> list[Progress]:
    """The progress of every class of every epoch."""
    return [Progress(event_class=row.pop("class"), **row) for row in rows(path, "progress")]


def _now() -> str:
    return datetime.now(UTC).isoformat()
