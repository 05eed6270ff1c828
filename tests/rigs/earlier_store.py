"""Stores as the release before encryption left them: SQLite files, with a write-ahead log if the agent was killed."""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from sqlite_utils import Database

from agent.hub.outbox import MIGRATIONS, PLACES_PER_CLASS
from agent.storage.first_encryption import APPLICATION_ID

EPOCH = "0123456789abcdef"


def make_store(path: Path, kind: str, migrations: Sequence[Callable[[Database], None]]) -> Database:
    """An open store that is not encrypted. Copy its files before it is closed to have those of a killed agent."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    db = Database(sqlite3.connect(path, isolation_level=None), execute_plugins=False)
    for pragma in ("journal_mode = WAL", "wal_autocheckpoint = 0", "secure_delete = ON"):
        db.execute(f"PRAGMA {pragma}").fetchone()
    db.execute("CREATE TABLE store (kind TEXT NOT NULL)")
    db.execute("INSERT INTO store VALUES (?)", [kind])
    for migration in migrations:
        migration(db)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {len(migrations) + 1}")
    return db


def make_outbox(path: Path, bodies: Sequence[bytes], acknowledged: int = 3) -> Database:
    """An outbox in which leads wait, after `acknowledged` that the hub has confirmed."""
    db = make_store(path, "outbox", MIGRATIONS)
    db.execute("UPDATE outbox SET epoch = ?", [EPOCH])
    db.execute("INSERT INTO counter VALUES (1, 'lead', ?, ?)", [acknowledged + len(bodies), acknowledged])
    for number, body in enumerate(bodies, acknowledged + 1):
        values = ["lead", number, f"s-{number}", "2026-03-01T12:00:00.000000+00:00", None]
        db.execute("INSERT INTO event VALUES (?, ?, ?, ?, ?)", values)
        db.execute("INSERT INTO body VALUES (?, ?)", [PLACES_PER_CLASS + number, body])
    return db


def leave(db: Database, path: Path, left: Path, *, killed: bool) -> None:
    """Put the files of a store that was open at `path` to `left`: closed properly, or as a killed agent leaves them."""
    if not killed:
        db.close()
    left.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for part in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            left.with_name(left.name + part).write_bytes(path.with_name(path.name + part).read_bytes())
    db.close()
