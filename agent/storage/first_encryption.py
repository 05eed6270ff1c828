"""Encrypts a store of an earlier release, which was not encrypted. A power cut at any moment loses nothing.

The contents are copied into NAME.new, encrypted. Then NAME gets a second name, NAME.plain, and NAME.new becomes NAME in
one step. Last, NAME.plain is overwritten and deleted. The next start goes on where this one was cut short.
"""

import logging
import os
from pathlib import Path
from typing import Any

from agent.errors import StoreError
from agent.storage.encryption import SETTINGS, StoreKey, connect, is_plain
from agent.storage.owned_files import check_owned, open_owned, sync

log = logging.getLogger(__name__)

APPLICATION_ID = 0x6B696F73  # "kios" at byte 68 of the file: distinguishes our stores from other databases
ZEROS = bytes(1 << 20)


def encrypt_if_plain(path: Path, key: StoreKey, identity: str) -> None:
    """Encrypt a store that is not encrypted, and destroy what is left of the plain one. Nobody may have it open.

    StoreError if it is a database of another program. An error of SQLite or OSError leaves the store as it was.
    """
    _finish_earlier(path)
    if not path.exists():
        return
    check_owned(path, create=False)
    if not is_plain(path):
        return
    new = _beside(path, "new")
    try:
        empty = not _copy(path, new, key, identity)
        if empty:  # the first start of the earlier release was cut short
            _destroy(path)
            new.unlink()
            return
        sync(new)
        _exchange(path, new)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    _finish_earlier(path)
    log.warning("%s: was not encrypted, and is now", path)


def _finish_earlier(path: Path) -> None:
    """Remove what an encryption that was cut short has left."""
    _beside(path, "new").unlink(missing_ok=True)
    plain = _beside(path, "plain")
    if not plain.exists():
        return
    if path.exists() and path.samefile(plain):  # cut short before the exchange
        plain.unlink()
    else:
        _destroy(plain)


def _copy(path: Path, new: Path, key: StoreKey, identity: str) -> bool:
    """Copy everything into a new encrypted file; whether there was something. Leaves no write-ahead log of the old one.

    Only rows of tables are copied, and nothing of what was deleted.
    """
    os.close(open_owned(new, create=True))
    plain = connect(path, None)
    try:
        plain.execute("PRAGMA locking_mode = EXCLUSIVE").fetchone()  # nobody else, and no file with shared memory
        tables = [name for (name,) in plain.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        if tables:
            _refuse_other_program(plain, path)
            _export(plain, new, key, identity, tables)
        # The log is moved into the old file and then overwritten: closing the last handle only deletes it.
        plain.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
        log_file = path.with_name(f"{path.name}-wal")
        if log_file.exists():
            _overwrite(log_file)
    finally:
        plain.close()
    for part in ("-wal", "-shm"):  # a log beside a file to which it does not belong would destroy that
        path.with_name(path.name + part).unlink(missing_ok=True)
    return bool(tables)


def _export(plain: Any, new: Path, key: StoreKey, identity: str, tables: list[str]) -> None:  # noqa: ANN401 - no types
    plain.execute("ATTACH DATABASE ? AS encrypted KEY ?", [str(new), key.literal])
    for setting in ("journal_mode = OFF", *SETTINGS):  # without a journal: a copy that was cut short is thrown away
        plain.execute(f"PRAGMA encrypted.{setting}").fetchone()
    plain.execute("SELECT sqlcipher_export('encrypted')").fetchone()
    plain.execute("ALTER TABLE encrypted.store ADD COLUMN identity TEXT NOT NULL DEFAULT ''")
    plain.execute("UPDATE encrypted.store SET identity = ?", [identity])
    for pragma in ("user_version", "application_id"):
        plain.execute(f"PRAGMA encrypted.{pragma} = {plain.execute(f'PRAGMA {pragma}').fetchone()[0]}").fetchone()
    counts = [[_rows(plain, place, table) for table in tables] for place in ("main", "encrypted")]
    if counts[0] != counts[1]:
        raise StoreError(f"{new}: the encrypted copy is not complete")
    plain.execute("DETACH DATABASE encrypted")


def _rows(plain: Any, place: str, table: str) -> int:  # noqa: ANN401 - no types
    return int(plain.execute(f"SELECT count(*) FROM {place}.{table}").fetchone()[0])  # noqa: S608 - our own tables


def _refuse_other_program(plain: Any, path: Path) -> None:  # noqa: ANN401 - no types
    if plain.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise StoreError(f"{path}: is a database of another program: move it away or configure another path")


def _exchange(path: Path, new: Path) -> None:
    """The new file takes the place of the old one, which keeps the name NAME.plain until it is overwritten."""
    os.link(path, _beside(path, "plain"))
    sync(path.parent)
    new.rename(path)
    sync(path.parent)


def _destroy(path: Path) -> None:
    """Overwrite a file and delete it. A disk that writes elsewhere than it is told (flash) may keep old contents."""
    _overwrite(path)
    path.unlink()
    sync(path.parent)


def _overwrite(path: Path) -> None:
    with os.fdopen(open_owned(path, create=False), "r+b", buffering=0) as file:
        left = os.fstat(file.fileno()).st_size
        while left > 0:
            left -= file.write(ZEROS[: min(left, len(ZEROS))])
        os.fsync(file.fileno())


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(f"{path.name}.{suffix}")
