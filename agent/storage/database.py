"""Opens encrypted stores with sqlite-utils, upgrades them on start, and turns SQLite's errors into StoreError.

A store file contains our application id, its kind (outbox, watchlist ...), the identity of its kiosk and the number of
migrations applied. encryption.py says how it is encrypted.
Migrations are append-only: a released migration is never edited, and a store is never downgraded. A Database belongs to
the thread that opened it; each thread opens its own.
"""

import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from sqlite_utils import Database

from agent.errors import StoreError
from agent.storage.encryption import DatabaseError, MistakeInAgent, StoreKey, connect, is_plain
from agent.storage.first_encryption import APPLICATION_ID, encrypt_if_plain
from agent.storage.owned_files import check_owned, open_owned, sync

Migration = Callable[[Database], None]

WAL_PAGES = 256  # 1 MiB: on a full disk, the unwritten part of the log must fit into the disk reserve

PRAGMAS = (
    "journal_mode = WAL",  # readers never wait for the writer
    f"wal_autocheckpoint = {WAL_PAGES}",
    "synchronous = FULL",  # a commit that returned survives a power cut
    "foreign_keys = ON",
    "secure_delete = ON",  # deleted rows are overwritten, not only unlinked
)

# For each prefix of SQLite's error name: what is wrong and what to do. The first matching prefix counts.
EXPLANATIONS = (
    ("SQLITE_FULL", "the disk is full: free some space"),
    ("SQLITE_READONLY", "cannot be written: check the owner, the mode and the mount"),
    ("SQLITE_CANTOPEN", "cannot be opened: check the owner, the mode and the directory"),
    ("SQLITE_PERM", "cannot be opened: check the owner and the mode"),
    ("SQLITE_BUSY", "is locked by another process: is a second agent running?"),
    ("SQLITE_LOCKED", "is locked by another process: is a second agent running?"),
    (
        "SQLITE_NOTADB",
        "is encrypted with another key, or damaged or changed: give the agent its store key, or move the file away",
    ),
    (
        "SQLITE_CORRUPT",
        "is damaged or changed: move it away and keep it for recovery, then start again; a new one will be made",
    ),
    ("SQLITE_IOERR", "cannot be read or written: check the disk"),
)


class StoreFull(StoreError):
    """The disk is full, or the store has reached its size limit."""


class StoreDamaged(StoreError):
    """The file was damaged or changed, or is encrypted with another key. Nothing that it holds can be trusted."""


class StoreMissing(StoreError):
    """There is no such store. Only the daemon makes stores, when it starts."""


# An error within a function of SQL, such as the copying of a store, has a text and no name of its own.
NAMES = {
    "database or disk is full": "SQLITE_FULL",
    "database disk image is malformed": "SQLITE_CORRUPT",
    "disk I/O error": "SQLITE_IOERR",
}
# Errors that a caller tells from others.
FAMILIES: tuple[tuple[str, type[StoreError]], ...] = (
    ("SQLITE_FULL", StoreFull),
    ("SQLITE_NOTADB", StoreDamaged),
    ("SQLITE_CORRUPT", StoreDamaged),
)


def open_store(
    path: Path,
    kind: str,
    migrations: Sequence[Migration],
    *,
    key: StoreKey,
    identity: str = "",
    create: bool = True,
) -> Database:
    """Open an encrypted store and upgrade it; with `create` make it if there is none, else StoreMissing.

    `identity` is the kiosk that the store belongs to, as "site/kiosk". StoreDamaged if it is damaged or has another
    key; StoreError if it is foreign, of another kiosk or kind, or newer; OwnershipError if it is not this account's.
    """
    if create:
        _encrypt_earlier(path, key, identity)
    try:
        check_owned(path, create=create)
    except FileNotFoundError as error:
        raise StoreMissing(f"{path}: does not exist; the daemon makes it when it starts") from error
    except OSError as error:
        raise StoreError(f"{path}: cannot be opened: {error.strerror}") from error
    with _translated_errors(path):
        connection = connect(path, key)
    try:
        with _translated_errors(path):
            db = Database(connection, execute_plugins=False)
            _refuse_other_program(db, path)
            for pragma in PRAGMAS:
                db.execute(f"PRAGMA {pragma}").fetchone()
            migrate(db, kind, identity, migrations)
    except BaseException as error:
        connection.close()
        if isinstance(error, StoreDamaged) and is_plain(path):
            raise StoreError(not_encrypted_yet(path)) from error
        raise
    return db


def not_encrypted_yet(path: Path) -> str:
    """What is wrong with a store of an earlier release, for somebody who may not encrypt it."""
    return f"{path}: is of an earlier release and not encrypted yet: start the daemon, which encrypts it"


def migrate(db: Database, kind: str, identity: str, migrations: Sequence[Migration]) -> None:
    """Apply the missing migrations, all or none. StoreError for another kind or kiosk, or a newer version.

    A store that is up to date is only read, so that opening it does not wait for a writer.
    """
    if _integer(db, "user_version") == len(migrations) + 1:
        _refuse_other_store(db, kind, identity)
        return
    with writing(db):
        version = _integer(db, "user_version")
        if version == 0:
            db.execute("CREATE TABLE store (kind TEXT NOT NULL, identity TEXT NOT NULL)")
            db.execute("INSERT INTO store (kind, identity) VALUES (?, ?)", [kind, identity])
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        _refuse_other_store(db, kind, identity)
        # Version 0 is an empty file, so a store without migrations has version 1.
        if version > len(migrations) + 1:
            raise StoreError(f"{path_of(db)}: was written by a newer version of the agent: install that version again")
        for migration in migrations[max(version - 1, 0) :]:
            migration(db)
        db.execute(f"PRAGMA user_version = {len(migrations) + 1}")


@contextmanager
def writing(db: Database) -> Iterator[Database]:
    """One transaction. Takes the write lock immediately; durable when the block ends, rolled back when it raises."""
    with _translated_errors(db):
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
            db.execute("COMMIT")
        except BaseException:
            db.rollback()
            raise


@contextmanager
def reading(db: Database) -> Iterator[Database]:
    """Reads outside a transaction. Turns SQLite's errors into StoreError."""
    with _translated_errors(db):
        yield db


def truncate_log(db: Database) -> bool:
    """Move the write-ahead log into the store and empty it: what was deleted cannot be read there any more.

    Whether that was possible: not while another handle reads what is older.
    """
    with _translated_errors(db):
        return not db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]


def set_aside(path: Path) -> Path:
    """Rename a damaged store, which nobody may have open, so that a new one can be made. Returns its new name.

    The write-ahead log goes first: beside a new store it would damage that.
    """
    aside = path.with_name(f"{path.name}.damaged-{time.time():.0f}")
    try:
        for part in ("-wal", "-shm", "-journal", ""):
            with contextlib.suppress(FileNotFoundError):
                path.with_name(path.name + part).rename(aside.with_name(aside.name + part))
        sync(path.parent)
    except OSError as error:
        raise StoreError(f"{path}: cannot be renamed: {error.strerror}") from error
    return aside


def save_copy(db: Database, path: Path, key: StoreKey) -> None:
    """Write everything that is in the store to another file, durable, encrypted with the store's own key.

    StoreError if that is not possible.

    Works also when the store's own file was deleted.
    """
    try:
        path.unlink(missing_ok=True)
        os.close(open_owned(path, create=True))
        with _translated_errors(path), closing(connect(path, key)) as copy:
            db.conn.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE").fetchone()  # the whole copy in one file
        for place in (path, path.parent):
            sync(place)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror}") from error


def path_of(db: Database) -> str:
    """The path of a Database's file."""
    return str(db.execute("PRAGMA database_list").fetchone()[2])


def _encrypt_earlier(path: Path, key: StoreKey, identity: str) -> None:
    """Encrypt a store of an earlier release."""
    try:
        with _translated_errors(path):
            encrypt_if_plain(path, key, identity)
    except OSError as error:
        family = StoreFull if error.errno == errno.ENOSPC else StoreError
        raise family(f"{path}: cannot be encrypted: {error.strerror}; the file is as it was") from error


@contextmanager
def _translated_errors(where: Path | Database) -> Iterator[None]:
    try:
        yield
    except MistakeInAgent:
        raise
    except DatabaseError as error:
        path = path_of(where) if isinstance(where, Database) else where
        name = NAMES.get(str(error)) or getattr(error, "sqlite_errorname", "") or ""
        explanation = next((text for prefix, text in EXPLANATIONS if name.startswith(prefix)), str(error))
        family = next((family for prefix, family in FAMILIES if name.startswith(prefix)), StoreError)
        raise family(f"{path}: {explanation}") from error


def _refuse_other_program(db: Database, path: Path) -> None:
    empty = _integer(db, "schema_version") == 0
    if not empty and _integer(db, "application_id") != APPLICATION_ID:
        raise StoreError(f"{path}: is a database of another program: move it away or configure another path")


def _refuse_other_store(db: Database, kind: str, identity: str) -> None:
    found, kiosk = db.execute("SELECT kind, identity FROM store").fetchone()
    if found != kind:
        raise StoreError(f"{path_of(db)}: holds the {found}, not the {kind}: do not rename or swap store files")
    if kiosk != identity:
        raise StoreError(
            f"{path_of(db)}: is the {kind} of the kiosk {kiosk}, not of {identity}: do not copy stores between kiosks; "
            "if kiosk.site or kiosk.name was changed, change it back, or move the file away"
        )


def _integer(db: Database, pragma: str) -> int:
    return int(db.execute(f"PRAGMA {pragma}").fetchone()[0])
