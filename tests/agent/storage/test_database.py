"""A store file: opened privately, upgraded on start, refused when it is not ours, errors of SQLite named once."""

import os
import shutil
import stat
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_utils import Database

from agent.errors import StoreError
from agent.storage.database import (
    StoreDamaged,
    StoreFull,
    StoreMissing,
    open_store,
    path_of,
    reading,
    save_copy,
    set_aside,
    truncate_log,
    writing,
)
from agent.storage.encryption import MistakeInAgent, connect, is_plain
from agent.storage.owned_files import OwnershipError
from tests.rigs.earlier_store import make_store
from tests.rigs.store_key import OTHER_KEY, TEST_KEY


def _first(db: Database) -> None:
    db.execute("CREATE TABLE t (a)")


def _insert(db: Database, value: object) -> None:
    with writing(db):
        db.execute("INSERT INTO t VALUES (?)", [value])


def _values(db: Database) -> list[object]:
    with reading(db):
        return [row[0] for row in db.execute("SELECT a FROM t")]


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "store.db"


def test_every_commit_is_synced_and_deleted_rows_are_overwritten(path: Path) -> None:
    with closing(open_store(path, "things", (_first,), key=TEST_KEY)) as db:
        assert db.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL
        assert db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        _insert(db, "find me later")
        with writing(db):
            db.execute("DELETE FROM t")
    assert b"find me later" not in path.read_bytes()


def test_the_file_is_private_and_so_are_the_directories_made_for_it(path: Path) -> None:
    with closing(open_store(path, "things", (_first,), key=TEST_KEY)) as db:
        _insert(db, 1)
        files = [path, path.with_name("store.db-wal"), path.with_name("store.db-shm")]
        assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600] * 3
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_the_path_of_a_store_is_that_of_its_file(path: Path) -> None:
    with closing(open_store(path, "things", (), key=TEST_KEY)) as db:
        assert path_of(db) == str(path)


def test_a_store_is_upgraded_on_start_and_only_once(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    ran: list[str] = []

    def first(db: Database) -> None:
        ran.append("first")
        db.execute("CREATE TABLE t (a)")

    def second(db: Database) -> None:
        ran.append("second")
        db.execute("ALTER TABLE t ADD COLUMN b")

    for migrations in ((first,), (first, second), (first, second)):
        open_store(path, "things", migrations, key=TEST_KEY).close()
    assert ran == ["first", "second"]


def test_opening_a_store_that_is_up_to_date_writes_nothing_and_waits_for_no_writer(path: Path) -> None:
    with (
        closing(open_store(path, "things", (_first,), key=TEST_KEY)) as db,
        closing(connect(path, TEST_KEY)) as writer,
    ):
        _insert(db, 1)
        log = path.with_name(path.name + "-wal")
        before = log.read_bytes()
        writer.execute("BEGIN IMMEDIATE")  # and does not end: opening would wait for 5 s, then raise
        for _ in range(3):
            with closing(open_store(path, "things", (_first,), key=TEST_KEY)) as reader:
                assert _values(reader) == [1]
        assert log.read_bytes() == before
        writer.execute("ROLLBACK")


def test_a_failed_upgrade_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "store.db"

    def broken(db: Database) -> None:
        db.execute("INSERT INTO t VALUES (1)")
        db.execute("CREATE TABLE t (a)")

    open_store(path, "things", (_first,), key=TEST_KEY).close()
    with pytest.raises(StoreError, match=r"store\.db"):
        open_store(path, "things", (_first, broken), key=TEST_KEY)
    with closing(open_store(path, "things", (_first,), key=TEST_KEY)) as db:
        assert db.execute("SELECT count(*) FROM t").fetchone()[0] == 0


def test_a_store_of_a_newer_version_is_refused(path: Path) -> None:
    open_store(path, "things", (_first, lambda _: None), key=TEST_KEY).close()
    with pytest.raises(StoreError, match="newer version"):
        open_store(path, "things", (_first,), key=TEST_KEY)


def test_a_store_of_another_kind_is_refused(path: Path) -> None:
    open_store(path, "watchlist", (), key=TEST_KEY).close()
    for migrations in ((), (_first,)):
        with pytest.raises(StoreError, match="holds the watchlist, not the outbox"):
            open_store(path, "outbox", migrations, key=TEST_KEY)


def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with closing(Database(path)) as foreign:
        foreign.table("notes").insert({"text": "mine"})
    with pytest.raises(StoreError, match="another program"):
        open_store(path, "things", (), key=TEST_KEY)
    with closing(Database(path)) as foreign:
        assert foreign.table_names() == ["notes"]


def test_an_encrypted_database_of_another_program_is_refused(path: Path) -> None:
    path.parent.mkdir()
    with closing(connect(path, TEST_KEY)) as foreign:
        foreign.execute("CREATE TABLE notes (text)")
    with pytest.raises(StoreError, match="another program"):
        open_store(path, "things", (), key=TEST_KEY)


@pytest.mark.parametrize(
    ("content", "says"), [(b"no database at all" * 100, "another key"), (b"SQLite format 3\0", "store.db")]
)
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=says):
        open_store(path, "things", (), key=TEST_KEY)


def test_damage_found_later_is_a_store_error_too(path: Path) -> None:
    with closing(open_store(path, "things", (_first,), key=TEST_KEY)) as db:
        for _ in range(200):
            _insert(db, b"x" * 500)
    content = bytearray(path.read_bytes())
    content[8192:] = b"\xa5" * (len(content) - 8192)
    path.write_bytes(content)
    with pytest.raises(StoreError, match="damaged"), closing(open_store(path, "things", (_first,), key=TEST_KEY)) as db:
        _values(db)


def test_a_directory_in_place_of_the_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(OwnershipError, match="is not a plain file"):
        open_store(tmp_path, "things", (), key=TEST_KEY)


def test_a_page_that_somebody_changed_is_damaged_or_changed(path: Path) -> None:
    with closing(open_store(path, "things", (_first,), key=TEST_KEY)) as db:
        for _ in range(200):
            _insert(db, b"x" * 500)
    content = path.read_bytes()
    for page in (1, 2, 4, 17):
        changed = bytearray(content)
        changed[4096 * (page - 1) + 1000] ^= 1
        path.write_bytes(changed)
        with pytest.raises(StoreDamaged, match=r"store\.db: is .*damaged or changed"):
            closing_values(path)
    path.write_bytes(content[: 4096 * 6])
    with pytest.raises(StoreDamaged, match="damaged or changed"):
        closing_values(path)
    path.write_bytes(content)
    assert len(closing_values(path)) == 200


def closing_values(path: Path) -> list[object]:
    with closing(open_store(path, "things", (_first,), key=TEST_KEY)) as db:
        return _values(db)


def test_another_key_opens_nothing_and_changes_nothing(path: Path) -> None:
    db = open_store(path, "things", (_first,), key=TEST_KEY)
    _insert(db, "kept")
    left = path.parent.parent / "killed" / "store.db"  # with a write-ahead log
    left.parent.mkdir()
    for part in ("", "-wal"):
        shutil.copy(f"{path}{part}", f"{left}{part}")
    db.close()
    for store in (path, left):
        for create in (True, False):
            with pytest.raises(StoreDamaged, match="encrypted with another key, or damaged"):
                open_store(store, "things", (_first,), key=OTHER_KEY, create=create)
        assert closing_values(store) == ["kept"]


def test_a_store_of_another_kiosk_is_refused_even_with_the_same_key(path: Path) -> None:
    open_store(path, "things", (_first,), key=TEST_KEY, identity="s/k1").close()
    with pytest.raises(StoreError, match="is the things of the kiosk s/k1, not of s/k2: do not copy stores"):
        open_store(path, "things", (_first,), key=TEST_KEY, identity="s/k2")
    open_store(path, "things", (_first,), key=TEST_KEY, identity="s/k1").close()


def test_opening_another_handle_drops_no_lock_of_this_process(path: Path) -> None:
    """Closing any descriptor of a file drops the POSIX locks that the process has on it."""
    with closing(open_store(path, "things", (_first,), key=TEST_KEY)) as db:
        _insert(db, 1)
        before = locks(path)
        assert before
        open_store(path, "things", (_first,), key=TEST_KEY, create=False).close()
        assert locks(path) == before


def locks(path: Path) -> int:
    """How many locks this process has on a file, as the kernel says."""
    number, us = path.stat().st_ino, str(os.getpid())
    found = [line.split() for line in Path("/proc/locks").read_text(encoding="ascii").splitlines()]
    return sum(line[4] == us and line[5].endswith(f":{number}") for line in found)


def test_the_log_is_emptied_unless_somebody_reads_what_is_older(path: Path) -> None:
    with (
        closing(open_store(path, "things", (_first,), key=TEST_KEY)) as db,
        closing(open_store(path, "things", (_first,), key=TEST_KEY)) as other,
    ):
        _insert(db, 1)
        db.execute("PRAGMA busy_timeout = 10").fetchone()
        other.execute("BEGIN")
        other.execute("SELECT * FROM t").fetchall()
        _insert(db, 2)
        log = path.with_name("store.db-wal")
        assert not truncate_log(db)
        assert log.stat().st_size > 0
        other.execute("ROLLBACK")
        assert truncate_log(db)
        assert log.stat().st_size == 0
        assert _values(other) == [1, 2]


def test_a_damaged_store_is_set_aside_with_its_log_and_a_new_one_is_made(path: Path) -> None:
    db = open_store(path, "things", (_first,), key=TEST_KEY)
    _insert(db, 1)
    log = path.with_name("store.db-wal").read_bytes()
    db.close()
    path.with_name("store.db-wal").write_bytes(log)
    aside = set_aside(path)
    assert aside.name.startswith("store.db.damaged-")
    assert not list(path.parent.glob("store.db-*"))
    assert aside.with_name(aside.name + "-wal").read_bytes() == log
    assert closing_values(path) == []
    with pytest.raises(StoreError, match=r"store\.db: cannot be renamed: No such file"):
        set_aside(path.parent / "nowhere" / "store.db")


def test_nothing_that_sqlite_sorts_goes_to_a_temporary_file(path: Path) -> None:
    with closing(open_store(path, "things", (_first,), key=TEST_KEY)) as db:
        assert db.execute("PRAGMA temp_store").fetchone()[0] == 2  # memory


def test_a_copy_is_one_encrypted_file_that_opens_as_the_store_did(path: Path) -> None:
    copy = path.with_name("copy.db")
    with closing(open_store(path, "things", (_first,), key=TEST_KEY, identity="s/k1")) as db:
        _insert(db, "kept")
        path.unlink()  # a store whose file was deleted can still be copied
        save_copy(db, copy, TEST_KEY)
        assert not is_plain(copy)
        assert [file.name for file in path.parent.glob("copy.db*")] == ["copy.db"]
        with pytest.raises(StoreError, match=r"inside\.db: cannot be written: Not a directory"):
            save_copy(db, copy / "inside.db", TEST_KEY)
    with closing(open_store(copy, "things", (_first,), key=TEST_KEY, identity="s/k1")) as db:
        assert _values(db) == ["kept"]


def test_a_command_makes_no_store_and_encrypts_none(tmp_path: Path) -> None:
    with pytest.raises(StoreMissing, match="the daemon makes it when it starts"):
        open_store(tmp_path / "store.db", "things", (), key=TEST_KEY, create=False)
    make_store(tmp_path / "earlier.db", "things", ()).close()
    with pytest.raises(StoreError, match="not encrypted yet: start the daemon, which encrypts it"):
        open_store(tmp_path / "earlier.db", "things", (), key=TEST_KEY, create=False)
    open_store(tmp_path / "earlier.db", "things", (), key=TEST_KEY).close()
    open_store(tmp_path / "earlier.db", "things", (), key=TEST_KEY, create=False).close()


def test_a_folder_that_this_account_may_not_enter_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("agent.storage.database.check_owned", refuse)
    with pytest.raises(StoreError, match=r"store\.db: cannot be opened: Permission denied"):
        open_store(path, "things", (), key=TEST_KEY)


@pytest.mark.parametrize(("number", "family"), [(28, StoreFull), (5, StoreError)])
def test_an_earlier_store_that_cannot_be_encrypted_is_named(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int, family: type[StoreError]
) -> None:
    make_store(path, "things", ()).close()

    def fail(*_: object) -> None:
        raise OSError(number, "it failed")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(family, match="cannot be encrypted: it failed; the file is as it was"):
        open_store(path, "things", (), key=TEST_KEY)


def _make_a_table_and_fail(db: Database) -> None:
    with writing(db):
        db.execute("CREATE TABLE t (a)")
        raise ZeroDivisionError


def test_a_transaction_that_raises_leaves_nothing_behind(path: Path) -> None:
    with closing(open_store(path, "things", (), key=TEST_KEY)) as db:
        with pytest.raises(ZeroDivisionError):
            _make_a_table_and_fail(db)
        with reading(db):
            assert db.table_names() == ["store"]


def test_a_store_locked_by_another_writer_is_a_store_error(path: Path) -> None:
    with (
        closing(open_store(path, "things", (), key=TEST_KEY)) as db,
        closing(open_store(path, "things", (), key=TEST_KEY)) as other,
    ):
        other.execute("PRAGMA busy_timeout = 10").fetchone()
        with writing(db), pytest.raises(StoreError, match="locked by another process"), writing(other):
            pass


def test_a_store_that_may_not_grow_any_further_is_full(path: Path) -> None:
    with closing(open_store(path, "things", (_first,), key=TEST_KEY)) as db:
        db.execute("PRAGMA max_page_count = 10").fetchone()
        with pytest.raises(StoreFull, match=r"store\.db: the disk is full"):
            _insert(db, b"x" * 100_000)
        assert _values(db) == []


def test_an_error_that_is_not_in_the_table_is_reported_in_the_words_of_sqlite(path: Path) -> None:
    with (
        closing(open_store(path, "things", (), key=TEST_KEY)) as db,
        pytest.raises(StoreError, match=r"store\.db: no such table: t"),
    ):
        _values(db)


def test_a_mistake_in_the_agent_is_no_store_error(path: Path) -> None:
    db = open_store(path, "things", (), key=TEST_KEY)
    db.close()
    with pytest.raises(MistakeInAgent), writing(db):
        pass
